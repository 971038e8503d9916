from itertools import permutations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from pointstill.points.upright import turn_up


@pytest.mark.parametrize(("up", "wanted"), list(permutations("xyz", 2)))
def test_it_is_a_turn_by_a_right_angle_about_the_third_axis(up, wanted):
    points = np.random.default_rng(0).normal(size=(9, 3))
    unit = np.eye(3)["xyz".index(up)], np.eye(3)["xyz".index(wanted)]
    wanted_turn = Rotation.from_rotvec(np.pi / 2 * np.cross(*unit))
    np.testing.assert_allclose(turn_up(points, up, wanted), wanted_turn.apply(points), atol=1e-12)
    assert np.array_equal(turn_up(turn_up(points, up, wanted), wanted, up), points)


def test_what_is_upright_stays():
    points = np.ones((2, 3))
    assert turn_up(points, "y", "y") is points
