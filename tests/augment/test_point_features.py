"""What becomes of features: normals against surfaces that are transformed and measured again."""

import numpy as np
import pytest
import torch

from pointstill.augment import Clouds, Pipeline, moments, parse
from pointstill.points.features import Extra

FEATURES = ("xyz", "normal", "colour", "intensity", "height")
AXES = np.array([1.0, 0.6, 0.3])


def ellipsoid(count: int, seed: int) -> tuple[np.ndarray, ...]:
    """Points of an ellipsoid about the origin and two tangents at each: (count, 3) float64."""
    draw = np.random.default_rng(seed)
    u, v = draw.uniform(0.3, np.pi - 0.3, count), draw.uniform(0, 2 * np.pi, count)
    points = np.c_[np.sin(u) * np.cos(v), np.sin(u) * np.sin(v), np.cos(u)] * AXES
    along_u = np.c_[np.cos(u) * np.cos(v), np.cos(u) * np.sin(v), -np.sin(u)] * AXES
    along_v = np.c_[-np.sin(u) * np.sin(v), np.sin(u) * np.cos(v), 0 * u] * AXES
    return points, along_u, along_v


def outwards(points, along_u, along_v):
    """Unit normals of a convex surface about the origin, by the cross product of its tangents."""
    normals = np.cross(along_u, along_v)
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    return normals * np.sign((normals * points).sum(1, keepdims=True))


def views(operations: str, up: str = "z", count: int = 40):
    """Six augmented ellipsoids with their normals, and the surfaces that they were."""
    surfaces = [ellipsoid(count, seed) for seed in range(6)]
    rows = [np.c_[surface[0], outwards(*surface)] for surface in surfaces]
    pipeline = Pipeline(parse(operations, up), seed=5)
    shapes = torch.arange(6)
    points = torch.from_numpy(np.array(rows, np.float32))
    parameters = pipeline.sample(3, shapes)
    return pipeline.apply(points, 3, shapes, parameters, ("xyz", "normal"), up), surfaces


@pytest.mark.parametrize("up", ["y", "z"])
@pytest.mark.parametrize(
    "operations",
    [
        "scale",
        "mirror",
        "rotate",
        "rotate(axis=any)",
        "shift",
        "none",
        "scale,mirror,rotate(axis=any),scale(low=0.2,high=3),shift,rotate",
    ],
)
def test_normals_are_those_of_the_transformed_surface(operations, up):
    result, surfaces = views(operations, up)
    for view, (points, along_u, along_v) in zip(result.double().numpy(), surfaces, strict=True):
        # The map that was applied, from where the points went: x -> A x + b.
        solved, *_ = np.linalg.lstsq(np.c_[points, np.ones(len(points))], view[:, :3], rcond=None)
        matrix = solved[:3]
        expected = outwards(points @ matrix, along_u @ matrix, along_v @ matrix)
        np.testing.assert_allclose(view[:, 3:], expected, atol=2e-5)


def test_a_mirrored_normal_by_hand():
    (mirror,) = parse("mirror", "y")
    normals = torch.tensor([[[1.0, 2.0, 3.0]]])
    found = mirror.alter_features({"normal": normals}, torch.tensor([[-1.0, 1.0, 1.0]]), 1)
    assert found["normal"].tolist() == [[[-1, 2, 3]]]


def test_a_stretched_normal_by_hand():
    """A roof at 45 degrees, twice as wide: its slope halves."""
    (scale,) = parse("scale", "z")
    normals = torch.tensor([[[0.5**0.5, 0.0, 0.5**0.5], [0.0, 0.0, 0.0]]])
    found = scale.alter_features({"normal": normals}, torch.tensor([[2.0, 1.0, 1.0]]), 2)
    np.testing.assert_allclose(found["normal"][0, 0], [0.2**0.5, 0, 0.8**0.5], atol=1e-6)
    assert found["normal"][0, 1].tolist() == [0, 0, 0]  # unknown stays unknown


@pytest.fixture
def extra(ragged) -> Extra:
    """Features of all points of `clouds`."""
    points, _ = ragged()
    draw = np.random.default_rng(1)
    values = draw.uniform(0, 1, (len(points), 8)).astype(np.float32)
    values[:, :3] /= np.linalg.norm(values[:, :3], axis=1, keepdims=True)
    return Extra(values, FEATURES, "y", "")


def test_a_draw_takes_the_features_of_its_points(ragged, extra):
    points, offsets = ragged()
    clouds = Clouds(points, offsets, extra=extra)
    shapes = torch.tensor([4, 1, 4])
    indices = torch.tensor([[3, 0, 56], [7, 7, 2], [1, 2, 3]])
    taken = clouds.take(shapes, indices)
    assert taken.shape == (3, 3, 11)
    for row, shape in enumerate(shapes.tolist()):
        cloud = points[offsets[shape] : offsets[shape + 1]].astype(np.float64)
        radius = np.linalg.norm(cloud - cloud.mean(0), axis=1).max()
        for column, index in enumerate(indices[row].tolist()):
            expected = extra.values[offsets[shape] + index].astype(np.float64)
            expected[7] /= radius  # height, in the units of the normalised cloud
            np.testing.assert_allclose(taken[row, column, 3:], expected, rtol=1e-5)


EVERYTHING = "rotate(axis=any),scale,shift,mirror,jitter,dropout"


def test_xyz_is_the_same_bit_for_bit(ragged, extra):
    points, offsets = ragged()
    plain, rich = Clouds(points, offsets), Clouds(points, offsets, extra=extra)
    pipeline, shapes = Pipeline(parse(EVERYTHING, "y"), 2), torch.arange(7)
    parameters = pipeline.sample(1, shapes)
    one, other = (pipeline.replay(each, 1, shapes, parameters, 32) for each in (plain, rich))
    assert torch.equal(one, other[..., :3])
    assert torch.equal(plain.plain(shapes, 32), rich.plain(shapes, 32)[..., :3])
    assert torch.equal(moments(one), moments(other)[:, :4])
    indices = [pipeline.indices(each, 1, shapes, 32) for each in (plain, rich)]
    proofs = [pipeline.proof(each, 1, shapes, parameters) for each in indices]
    assert proofs[0] == proofs[1]


def test_the_other_features_stay_but_for_height(ragged, extra):
    clouds = Clouds(*ragged(), extra=extra)
    pipeline, shapes = Pipeline(parse("rotate,scale,shift,mirror,jitter", "y"), 2), torch.arange(7)
    parameters = pipeline.sample(1, shapes)
    before = clouds.take(shapes, pipeline.indices(clouds, 1, shapes, 32))
    after = pipeline.replay(clouds, 1, shapes, parameters, 32)
    assert torch.equal(before[..., 6:10], after[..., 6:10])
    factor = parameters[:, pipeline.columns.index("scale_y")]
    np.testing.assert_allclose(after[..., 10], before[..., 10] * factor[:, None], rtol=1e-6)


def test_a_lost_point_is_a_copy_in_all_it_has(ragged, extra):
    clouds = Clouds(*ragged(), extra=extra)
    pipeline, shapes = Pipeline(parse("dropout(most=1)", "y"), 0), torch.arange(7)
    view = pipeline.replay(clouds, 0, shapes, pipeline.sample(0, shapes), 32)
    whole = clouds.take(shapes, pipeline.indices(clouds, 0, shapes, 32))
    lost = (view != whole).any(2)
    assert lost.any()
    for row, column in lost.nonzero().tolist():
        assert torch.equal(view[row, column], whole[row, 0])


def test_moments_cover_the_features(ragged, extra):
    view = Clouds(*ragged(), extra=extra).plain(torch.arange(7), 16)
    np.testing.assert_allclose(moments(view)[:, 4:], view[..., 3:].double().mean(1), rtol=1e-5)
