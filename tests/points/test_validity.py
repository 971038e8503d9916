import warnings

import numpy as np
import pytest

from pointstill.errors import DataError
from pointstill.points.validity import check_cloud, check_points, may_have_far_strays


@pytest.mark.parametrize("count", [64, 100, 6400, 10_000])
def test_far_strays_are_seen_wherever_they_are(count: int) -> None:
    """Periodic ones too, such as every hundredth return of a sensor."""
    draw = np.random.default_rng(0)
    for every in (100, 128, 200, 1000):
        cloud = draw.normal(size=(count, 3)) + 1e5
        strays = np.arange(count)[::every][: max(1, count // 100)]
        cloud[strays] = 0
        assert np.flatnonzero(~check_points("a", cloud)).tolist() == strays.tolist()


def test_the_glance_passes_over_usual_clouds_only() -> None:
    draw = np.random.default_rng(0)
    for stretch in ((1, 1, 1), (1, 0.01, 0.01), (5, 1, 0)):
        cloud = draw.normal(size=(1000, 3)) * stretch
        assert not may_have_far_strays(cloud, np.ptp(cloud, axis=0).max())
        cloud[7] += 500
        assert may_have_far_strays(cloud, np.ptp(cloud, axis=0).max())


UTM = np.array([412_345.0, 5_654_321, 87])


@pytest.mark.parametrize("size", [0.3, 3, 100])
def test_float32_far_from_the_origin_is_warned_of(size: float) -> None:
    """At 5,654,321 float32 has steps of a half; that of 0.3 falls into one plane there."""
    shape = np.random.default_rng(0).uniform(-size / 2, size / 2, (1000, 3))
    far = (shape + UTM).astype(np.float32)
    for kind in (np.float32, np.float64):  # however they are kept afterwards
        with pytest.warns(UserWarning, match=r"^tree has .* rounded to steps of 0\.5, and is "):
            check_cloud("tree", far.astype(kind))


def test_few_digits_are_warned_of() -> None:
    shape = np.random.default_rng(0).uniform(-1.5, 1.5, (1000, 3))
    written = np.array([[float(f"{value:.6g}") for value in point] for point in shape + UTM])
    with pytest.warns(UserWarning, match=r"rounded to steps of 1, and is 3\.\d+ across"):
        check_cloud("tree", written)


def test_what_keeps_its_shape_is_not_warned_of() -> None:
    shape = np.random.default_rng(0).uniform(-1.5, 1.5, (1000, 3))
    centimetres = np.round(shape, 2) + UTM
    flat = shape * [1, 1, 0] + UTM
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for cloud in (shape + UTM, centimetres, flat, 500 * shape + UTM):
            check_cloud("tree", cloud)
        check_cloud("tree", (500 * shape + UTM).astype(np.float32))
        check_cloud("tree", (shape + 100).astype(np.float32))


@pytest.mark.parametrize("strays", [1, 10, 100])
def test_a_stray_at_the_origin_takes_no_digits_from_a_scan_in_utm(strays: int) -> None:
    shape = np.random.default_rng(0).uniform(-1.5, 1.5, (1000, 3))
    far = shape + UTM
    far[:strays] = 0
    kept = check_cloud("tree", far)[strays:]
    middle = (far[strays:].min(axis=0) + far[strays:].max(axis=0)) / 2
    np.testing.assert_allclose(kept, far[strays:] - middle, atol=1e-6)
    with pytest.warns(UserWarning, match=r"rounded to steps of 0\.5, and is 5\.\d+ across"):
        check_cloud("tree", far.astype(np.float32))


@pytest.mark.parametrize("share", [0.11, 0.3])
def test_a_dot_with_more_far_points_than_strays_may_be_is_refused(share: float) -> None:
    far = np.random.default_rng(0).uniform(-1.5, 1.5, (1000, 3)) + UTM
    far[: int(1000 * share)] = 0
    with pytest.raises(DataError, match=r"^tree has half of its points within \d.* it would be a"):
        check_cloud("tree", far)


def test_a_stray_at_the_other_end_of_float32_stays_finite() -> None:
    cloud = np.random.default_rng(0).uniform(-1, 1, (100, 3)) * 1e36 + 3.2e38
    cloud[0] = -3.2e38
    assert np.isfinite(check_cloud("tree", cloud)).all()
