"""Points on meshes: where they lie, how many on each triangle, and that they stay the same."""

import hashlib

import numpy as np
import pytest
import trimesh
from scipy import stats

from pointstill.data.mesh_sampling import sample_mesh
from pointstill.errors import DataError

CORNERS = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 3.0]])
FACES = np.array([[0, 1, 2], [0, 1, 3], [0, 2, 3], [1, 2, 3]])


def test_points_lie_on_the_surface():
    mesh = trimesh.creation.box((1, 2, 3))
    points = sample_mesh(mesh.vertices, mesh.faces, 500, "key")
    outside = np.abs(points) - np.array([0.5, 1, 1.5])
    np.testing.assert_allclose(outside.max(axis=1), 0, atol=1e-12)


def test_triangles_get_their_share_of_area():
    mesh = trimesh.Trimesh(CORNERS, FACES, process=False)
    points = sample_mesh(CORNERS, FACES, 4000, "key")
    zeros = points < 1e-12
    counts = [zeros[:, 2].sum(), zeros[:, 1].sum(), zeros[:, 0].sum()]
    counts.append(len(points) - sum(counts))
    expected = mesh.area_faces / mesh.area * len(points)
    assert stats.chisquare(counts, expected).pvalue > 1e-3


def test_points_fill_a_triangle_uniformly():
    points = sample_mesh(CORNERS, FACES[:1], 4000, "key")
    # Halving the legs of a right triangle leaves a corner with a quarter of the area.
    counts = [
        (points[:, 0] > 0.5).sum(),
        (points[:, 1] > 0.5).sum(),
        (points.sum(axis=1) < 0.5).sum(),
    ]
    counts.append(len(points) - sum(counts))
    assert stats.chisquare(counts).pvalue > 1e-3


def test_bytes_are_pinned_and_keyed():
    points = sample_mesh(CORNERS, FACES, 256, "tetrahedron.off")
    digest = hashlib.sha256(points.astype("<f8").tobytes()).hexdigest()
    assert digest.startswith("f7239a914669e4c8")
    assert not np.array_equal(points, sample_mesh(CORNERS, FACES, 256, "other.off"))


def test_a_triangle_without_area_is_never_chosen():
    faces = np.concatenate([[[0, 0, 1], [1, 1, 1]], FACES[:1], [[2, 2, 2]]])
    points = sample_mesh(CORNERS, faces, 500, "key")
    assert (points[:, 2] == 0).all()
    assert (points[:, :2] > 0).all()


@pytest.mark.parametrize(
    ("corners", "faces", "message"),
    [
        (CORNERS, np.empty((0, 3), int), "has no faces"),
        (CORNERS, [[0, 1, 4]], "vertices 0 to 4, but 4 vertices"),
        (CORNERS, [[0, 1, -1]], "vertices -1 to 1, but 4"),
        (CORNERS, [[1, 1, 2]], "none with an area"),
        (CORNERS * np.nan, FACES, "NaN"),
        (CORNERS * 1e300, FACES, "out of all proportion"),
    ],
)
def test_meshes_without_a_surface_are_refused(corners, faces, message):
    with pytest.raises(DataError, match=message):
        sample_mesh(corners, faces, 10, "key")
