import ast
import math
import os
import subprocess
import sys
import time
from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import trimesh
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from pointstill.data import open_dataset, primitives
from pointstill.data.keyed_draws import uniforms
from pointstill.data.primitives import Primitives, draw_object
from pointstill.data.primitives.arithmetic import cosine, cross, dot, gaussian, rotate, sine, unit
from pointstill.data.primitives.classes import CLASSES
from pointstill.data.primitives.sensor import LEAST_POINTS, Shot, look
from pointstill.data.primitives.solids import (
    box,
    cylinder,
    ellipsoid,
    hoop,
    sample_surface,
    triangles,
    tube,
)
from pointstill.points.validity import check_cloud

PINNED = {
    "sensed": "a590f3fa4813dc3f05505ccc4c3d3c4681dc104a36df1e7361897609547df2b4",
    "clean": "895916894d16c3b8018ceb7a20ee3e33ea344f49d5e0700c6c78f375bb603b29",
}
DIGEST = """
import hashlib
from pointstill.data.primitives import Primitives
for clean in (False, True):
    digest = hashlib.sha256()
    for shape in Primitives(clean).shapes("train")[:16]:
        digest.update(shape.load().astype("<f4").tobytes())
    print(digest.hexdigest())
"""


def digests(**environment: str) -> list[str]:
    run = subprocess.run(
        [sys.executable, "-c", DIGEST],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return run.stdout.split()


def draws(*shape: int, key: str = "test") -> np.ndarray:
    return uniforms(key, math.prod(shape)).reshape(shape)


class TestBytes:
    def test_points_are_the_pinned_ones(self):
        assert digests() == list(PINNED.values())

    def test_points_do_not_depend_on_the_processor(self):
        found = np.show_config(mode="dicts")["SIMD Extensions"]["found"]
        if not found:
            pytest.skip("NumPy found no SIMD extension to switch off")
        assert digests(NPY_DISABLE_CPU_FEATURES=",".join(found)) == list(PINNED.values())

    def test_only_correctly_rounded_operations_are_used(self):
        # Sums, products of matrices, powers and libm differ in the last bit between machines.
        allowed = {
            "abs", "arange", "argsort", "array", "asarray", "broadcast_to", "concatenate", "cumsum",
            "empty", "flatnonzero", "float32", "float64", "full", "inf", "int64", "intp", "maximum",
            "minimum", "rint", "roll", "searchsorted", "sort", "sqrt", "stack", "where", "zeros",
        }  # fmt: skip
        for file in Path(primitives.__file__).parent.glob("*.py"):
            tree = ast.parse(file.read_text())
            for node in ast.walk(tree):
                assert not isinstance(node, ast.MatMult | ast.Pow), file.name
                if isinstance(node, ast.Attribute):
                    assert node.attr not in {"sum", "mean", "dot", "prod", "std"}, file.name
                    if isinstance(node.value, ast.Name) and node.value.id == "np":
                        assert node.attr in allowed, f"{file.name}: np.{node.attr}"
                if isinstance(node, ast.ImportFrom) and node.module == "math":
                    assert {n.name for n in node.names} <= {"copysign", "factorial", "floor"}

    def test_a_shape_does_not_depend_on_what_was_made_before(self):
        shapes = Primitives().shapes("test")[:6]
        forward = [shape.load() for shape in shapes]
        backward = [shape.load() for shape in reversed(shapes)][::-1]
        for a, b in zip(forward, backward, strict=True):
            np.testing.assert_array_equal(a, b)

    def test_seed_and_split_give_other_points(self):
        clouds = [
            Primitives(seed=seed).cloud(split, "mug", 3).tobytes()
            for seed in (0, 1)
            for split in ("train", "test")
        ]
        assert len(set(clouds)) == 4

    def test_points_lie_on_the_grid(self):
        steps = Primitives().cloud("train", "car", 0).astype(np.float64) * primitives.GRID
        np.testing.assert_array_equal(steps, np.rint(steps))


class TestSource:
    def test_sixteen_classes_in_order(self):
        assert len(Primitives.classes) == 16
        assert list(Primitives.classes) == sorted(Primitives.classes)

    @pytest.mark.parametrize(("split", "each"), [("train", 100), ("test", 50)])
    def test_classes_are_balanced_and_take_turns(self, split, each):
        shapes = Primitives().shapes(split)
        assert Counter(s.label for s in shapes) == dict.fromkeys(range(16), each)
        assert [s.label for s in shapes[:32]] == list(range(16)) * 2
        assert len({s.name for s in shapes}) == len(shapes)
        assert shapes[17].name == "bed-001"

    def test_key_names_every_option(self):
        keys = {Primitives(clean, seed).key for clean in (True, False) for seed in (0, 1)}
        assert len(keys) == 4

    def test_sensed_clouds_are_ragged_and_usable(self):
        shapes = Primitives().shapes("train")[:48]
        clouds = [check_cloud(shape.name, shape.load()) for shape in shapes]
        sizes = [len(cloud) for cloud in clouds]
        assert min(sizes) >= LEAST_POINTS
        assert len(set(sizes)) > 30
        assert max(sizes) > 2 * min(sizes)

    def test_clean_clouds_have_one_size(self):
        shapes = Primitives(clean=True).shapes("train")[:16]
        assert {len(check_cloud(shape.name, shape.load())) for shape in shapes} == {1024}

    def test_sensed_and_clean_are_the_same_object(self):
        for name in Primitives.classes:
            clean = Primitives(clean=True).cloud("train", name, 0)
            sensed = Primitives().cloud("train", name, 0)
            low, high = clean.min(axis=0), clean.max(axis=0)
            slack = 0.25 * (high - low).max()
            assert (sensed > low - slack).all()
            assert (sensed < high + slack).all()

    def test_first_points_are_a_sample_of_all(self):
        cloud = Primitives(clean=True).cloud("train", "table", 0)
        a, b = cloud[:512], cloud[512:]
        span = np.ptp(cloud, axis=0).max()
        assert np.abs(a.mean(axis=0) - b.mean(axis=0)).max() < 0.06 * span

    def test_generation_is_quick(self):
        shapes = Primitives().shapes("train")[:64]
        start = time.process_time()
        for shape in shapes:
            shape.load()
        assert time.process_time() - start < 64 * 0.02

    @pytest.mark.slow
    def test_opens_as_a_data_set(self, tmp_path):
        data = open_dataset("primitives", cache=tmp_path)
        assert (len(data.train), len(data.test)) == (1600, 800)
        assert min(data.train.sizes.min(), data.test.sizes.min()) >= LEAST_POINTS
        assert data.train.fingerprint != data.test.fingerprint


@pytest.mark.parametrize("name", CLASSES)
class TestGrammar:
    def test_has_variants_that_differ(self, name):
        grammar = CLASSES[name]
        middle = [0.5] * len(grammar.parameters)
        count = len(grammar.variants)
        assert count >= 2
        built = [triangles(grammar.draw([(i + 0.5) / count, *middle])) for i in range(count)]
        assert len({mesh.tobytes() for mesh in built}) == count

    def test_at_least_six_parameters_change_the_form(self, name):
        # Not the size alone: meshes are compared after scaling to one height, width and place.
        grammar = CLASSES[name]
        changing, ever = [], set()
        for i in range(len(grammar.variants)):
            variant = (i + 0.5) / len(grammar.variants)
            changes = set()
            for place, parameter in enumerate(grammar.parameters):
                forms = []
                for value in (0.3, 0.7):
                    values = [0.5] * len(grammar.parameters)
                    values[place] = value
                    mesh = triangles(grammar.draw([variant, *values]))
                    corners = mesh.reshape(-1, 3) - mesh.reshape(-1, 3).min(axis=0)
                    forms.append(corners / corners.max())
                same = forms[0].shape == forms[1].shape and np.allclose(*forms, atol=1e-6)
                if not same:
                    changes.add(parameter)
            changing.append(len(changes))
            ever |= changes
        assert len(ever) >= 6
        assert min(changing) >= 5
        assert len(set(grammar.parameters) - ever) <= 1  # one may be the size

    def test_solids_are_closed_and_face_outwards(self, name):
        for index in range(8):
            _, solids = draw_object(name, f"closed/{name}/{index}")
            for solid in solids:
                corners = triangles([solid])
                corners = corners - corners.reshape(-1, 3).mean(axis=0)
                a, b, c = corners[:, 0], corners[:, 1], corners[:, 2]
                volume = (a * np.cross(b, c)).sum() / 6
                area = np.cross(b - a, c - a).sum(axis=0)  # of a closed surface: no direction
                assert volume > 0
                np.testing.assert_allclose(area, 0, atol=1e-9 * np.abs(corners).max() ** 2)

    def test_stands_on_the_floor(self, name):
        for index in range(8):
            _, solids = draw_object(name, f"floor/{name}/{index}")
            corners = triangles(solids).reshape(-1, 3)
            low, size = corners[:, 2].min(), np.ptp(corners, axis=0).max()
            # A guitar leans, and an airliner flies low.
            assert -0.05 * size < low < 0.12 * size


class TestSolids:
    def test_box_is_where_it_should_be(self):
        solid = triangles([box(1, 2, 3, 4, 5, 6)]).reshape(-1, 3)
        np.testing.assert_array_equal(solid.min(axis=0), [3.5, 4, 6])
        np.testing.assert_array_equal(solid.max(axis=0), [4.5, 6, 9])

    @pytest.mark.parametrize(
        ("solid", "area", "volume"),
        [
            (box(1, 2, 3), 22, 6),
            (cylinder(0.5, 2), 2.5 * math.pi, 0.5 * math.pi),
            (ellipsoid(1, 2), 4 * math.pi, 4 / 3 * math.pi),
            (hoop(1, 0.1, 0, 0, 1), 0.4 * math.pi**2, 0.02 * math.pi**2),
            (tube([(0, 0, 0), (0, 3, 0)], 0.5, sides=32), 3.5 * math.pi, 0.75 * math.pi),
        ],
        ids=["box", "cylinder", "sphere", "torus", "tube"],
    )
    def test_area_and_volume(self, solid, area, volume):
        corners = triangles([solid])
        mesh = trimesh.Trimesh(corners.reshape(-1, 3), np.arange(len(corners) * 3).reshape(-1, 3))
        assert mesh.area == pytest.approx(area, rel=0.06)
        assert mesh.volume == pytest.approx(volume, rel=0.12)

    def test_a_flat_tube_is_wide_across_and_thin_the_other_way(self):
        blade = tube([(0, 0, 0), (0, 1, 0)], 0.5, flat=0.1, across="x").reshape(-1, 3)
        np.testing.assert_allclose(np.ptp(blade, axis=0), [1, 1, 0.1], atol=1e-12)

    def test_surface_is_sampled_evenly_with_outward_normals(self):
        mesh = triangles([box(1, 2, 3)])
        points, normals = sample_surface(mesh, draws(3, 6000))
        exact = {0: 6.0, 1: 3.0, 2: 2.0}  # area of the sides that look along each axis
        for axis, area in exact.items():
            for direction in (-1, 1):
                there = normals[:, axis] == direction
                assert there.mean() == pytest.approx(area / 22, abs=0.01)
                face = points[there][:, axis]
                np.testing.assert_allclose(
                    face, [-0.5, -1, 0][axis] if direction < 0 else [0.5, 1, 3][axis]
                )
        top = points[normals[:, 2] == 1]
        np.testing.assert_allclose(top.mean(axis=0)[:2], 0, atol=0.06)
        np.testing.assert_allclose(top.var(axis=0)[:2], [1 / 12, 4 / 12], rtol=0.1)


class TestArithmetic:
    def test_sine_and_cosine(self):
        turns = [*np.linspace(-3, 3, 997).tolist(), 0.25, -0.25, 0.5, -0.5, 1e-9]
        for t in turns:
            assert sine(t) == pytest.approx(math.sin(2 * math.pi * t), abs=4e-15)
            assert cosine(t) == pytest.approx(math.cos(2 * math.pi * t), abs=4e-15)

    def test_vectors_against_numpy(self):
        a, b = draws(2, 20, 3) - 0.5
        np.testing.assert_allclose(cross(a, b), np.cross(a, b), atol=1e-15)
        np.testing.assert_allclose(dot(a, b), (a * b).sum(axis=1), atol=1e-15)
        np.testing.assert_allclose(unit(a), a / np.linalg.norm(a, axis=1, keepdims=True))
        np.testing.assert_array_equal(unit(np.zeros(3)), np.zeros(3))

    @pytest.mark.parametrize("axis", ["x", "y", "z"])
    def test_rotation_against_scipy(self, axis):
        points = draws(10, 3)
        expected = Rotation.from_euler(axis, 2 * math.pi * 0.17).apply(points)
        np.testing.assert_allclose(rotate(points, 0.17, axis), expected, atol=1e-14)

    def test_gaussian_has_mean_zero_and_deviation_one(self):
        noise = gaussian(draws(4, 40000))
        assert noise.mean() == pytest.approx(0, abs=0.02)
        assert noise.std() == pytest.approx(1, abs=0.02)


def two_walls() -> tuple[np.ndarray, np.ndarray]:
    """A wall at x = 1, 2 wide and high, which hides the lower half of another at x = -1."""
    near = box(0.1, 2, 1, x=1)
    far = box(0.1, 2, 2, x=-1)
    return sample_surface(triangles([near, far]), draws(3, 20000))


class TestSensor:
    level = Shot(
        azimuth=0.001, elevation=0.001, distance=50, pixel=0.05, noise=0, lost=0, hidden=0, tilt=0
    )

    def seen(self, key: str = "look", **changes: float) -> np.ndarray:
        return look(*two_walls(), Shot(**{**vars(self.level), **changes}), key)

    def test_sees_the_near_side_and_nothing_behind_it(self):
        cloud = self.seen()  # the camera looks from +x
        front = np.isclose(cloud[:, 0], 1.05)
        back = np.isclose(cloud[:, 0], -0.95)
        assert 0.4 < front.mean() < 0.6
        assert 0.4 < back.mean() < 0.6
        assert cloud[back, 2].min() > 0.9

    def test_keeps_the_nearest_point_of_each_pixel(self):
        points, normals = two_walls()
        middle = (points.min(axis=0) + points.max(axis=0)) / 2
        radius = np.linalg.norm(points.max(axis=0) - middle)
        turn = Rotation.from_euler("z", 0.002 * math.pi) * Rotation.from_euler(
            "y", -0.002 * math.pi
        )
        eye = middle + turn.apply([50 * radius, 0, 0])
        x, y, z = turn.inv().apply(points - eye).T  # the camera looks along -x
        facing = np.flatnonzero(((points - eye) * normals).sum(axis=1) < 0)
        pixels = np.stack([y / -x, z / -x], axis=1)[facing]
        cells = np.floor((pixels - pixels.min(axis=0)) * (50 / 0.05)).astype(int).tolist()
        nearest: dict[tuple[int, ...], tuple[float, int]] = {}
        for i, cell in zip(facing.tolist(), map(tuple, cells), strict=True):
            nearest[cell] = min(nearest.get(cell, (math.inf, -1)), (-float(x[i]), i))
        expected = points[[i for _, i in nearest.values()]]

        cloud = look(points, normals, self.level, "look")
        distance, _ = cKDTree(expected).query(cloud)
        assert len(cloud) == len(expected)
        assert np.mean(distance < 1e-9) > 0.9  # the others fly, along the edge

    def test_flying_pixels_lie_between_two_surfaces(self):
        x = self.seen(elevation=0.02)[:, 0]
        between = (x > -0.9) & (x < 1.0)
        assert 0 < between.mean() < 0.1

    def test_noise_is_along_the_ray(self):
        calm, noisy = self.seen(), self.seen(noise=0.01)
        radius = math.sqrt(1.05**2 + 1 + 1)
        shift = noisy - calm
        assert shift[:, 0].std() == pytest.approx(0.01 * radius, rel=0.1)
        assert np.abs(shift[:, 1:]).max() < 0.05 * np.abs(shift[:, 0]).max()

    def test_farther_and_lossy_means_fewer_points(self):
        full = len(self.seen())
        assert len(self.seen(pixel=0.1)) == pytest.approx(full / 4, rel=0.15)
        assert len(self.seen(lost=0.25)) == pytest.approx(0.75 * full, abs=1)

    def test_an_edge_hides_one_side(self):
        cloud = self.seen(hidden=0.5)  # tilt 0: what is left of the middle
        assert cloud[:, 1].min() > -0.05
        assert cloud[:, 1].max() > 0.9

    def test_steps_nearer_until_there_are_enough_points(self):
        assert len(self.seen(pixel=0.5, hidden=0.7, lost=0.25)) >= LEAST_POINTS

    def test_views_vary_within_bounds(self):
        views = [Shot.sample(f"view/{i}") for i in range(300)]
        assert all(0 <= v.azimuth < 1 and -0.03 < v.elevation < 0.13 for v in views)
        assert all(2.5 <= v.distance <= 6 and 0 <= v.lost <= 0.25 for v in views)
        assert sum(v.hidden == 0 for v in views) == pytest.approx(30, abs=15)
        far = sorted(views, key=lambda v: v.distance)
        assert all(a.pixel <= b.pixel for a, b in pairwise(far))
