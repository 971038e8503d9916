"""Rotations against SciPy, and that any is uniform over them."""

import numpy as np
import pytest
import torch
from scipy import stats
from scipy.spatial.transform import Rotation

from pointstill.augment.rotate import Rotate

AXES = ["x", "y", "z"]


def test_sample_gives_exact_uniforms():
    bits = torch.tensor([[0, 255, 256], [2**31, 2**32 - 1, 2**30]])
    expected = [[(word >> 8) / 2**24 for word in row] for row in bits.tolist()]
    assert Rotate().sample(bits).tolist() == expected


@pytest.mark.parametrize("degrees", [180, 30.0])
@pytest.mark.parametrize("axis", AXES)
def test_about_an_axis_equals_scipy(axis, degrees, words, points):
    operation = Rotate(axis, degrees)
    parameters = operation.sample(words(5, 3))
    angles = [(2 * u - 1) * degrees for u in parameters[:, 0].tolist()]
    expected = Rotation.from_euler(axis, np.array(angles)[:, None], degrees=True)
    np.testing.assert_allclose(operation.matrix(parameters), expected.as_matrix(), atol=1e-6)
    result = operation.apply(points, parameters)
    for b in range(5):
        np.testing.assert_allclose(result[b], expected[b].apply(points[b].numpy()), atol=1e-5)


def test_any_equals_shoemake_in_scipy(words, points):
    operation = Rotate("any")
    parameters = operation.sample(words(5, 3))
    result = operation.apply(points, parameters)
    for b, (u1, u2, u3) in enumerate(parameters.double().tolist()):
        low, high = np.sqrt(1 - u1), np.sqrt(u1)
        a, c = 2 * np.pi * u2, 2 * np.pi * u3
        quaternion = [low * np.sin(a), low * np.cos(a), high * np.sin(c), high * np.cos(c)]
        expected = Rotation.from_quat(quaternion).apply(points[b].numpy())  # x, y, z, w
        np.testing.assert_allclose(result[b], expected, atol=1e-5)


@pytest.mark.parametrize("axis", [*AXES, "any"])
def test_matrices_are_rotations(axis, words):
    corners = torch.tensor([[0.0, 0, 0], [1 - 2.0**-24] * 3, [0.5] * 3])
    operation = Rotate(axis)
    matrix = operation.matrix(torch.cat((operation.sample(words(500, 3)), corners))).double()
    identity = torch.eye(3, dtype=torch.float64).expand_as(matrix)
    np.testing.assert_allclose(matrix @ matrix.mT, identity, atol=2e-6, rtol=0)
    ones = torch.ones(503, dtype=torch.float64)
    np.testing.assert_allclose(torch.linalg.det(matrix), ones, atol=2e-6, rtol=0)


@pytest.mark.parametrize("axis", AXES)
def test_the_axis_itself_is_left_exactly(axis, words, points):
    operation = Rotate(axis)
    result = operation.apply(points, operation.sample(words(5, 3)))
    column = AXES.index(axis)
    assert torch.equal(result[..., column], points[..., column])
    assert not torch.isclose(result, points).all(dim=(0, 1))[[i != column for i in range(3)]].any()


def test_degrees_bound_the_angle(words):
    operation = Rotate("y", 20.0)
    matrix = operation.matrix(operation.sample(words(4000, 3))).double()
    angles = torch.rad2deg(torch.atan2(matrix[:, 0, 2], matrix[:, 0, 0]))
    assert angles.abs().max() <= 20 + 1e-4
    assert stats.kstest(angles, "uniform", (-20, 40)).pvalue > 1e-4


def test_any_is_uniform_over_rotations(words):
    operation = Rotate("any")
    matrix = operation.matrix(operation.sample(words(4000, 3))).double().numpy()
    for row in range(3):
        for column in range(3):  # any image of any axis is uniform on the sphere: Archimedes
            assert stats.kstest(matrix[:, row, column], "uniform", (-1, 2)).pvalue > 1e-4
    angle = np.arccos(np.clip((np.trace(matrix, axis1=1, axis2=2) - 1) / 2, -1, 1))
    assert stats.kstest(angle, lambda a: (a - np.sin(a)) / np.pi).pvalue > 1e-4


@pytest.mark.parametrize(
    ("axis", "still"), [*((axis, [0.5, 0.1, 0.9]) for axis in AXES), ("any", [1.0, 0.3, 0.0])]
)
def test_no_angle_changes_nothing(axis, still, points):
    assert torch.equal(Rotate(axis).apply(points, torch.tensor([still] * 5)), points)
