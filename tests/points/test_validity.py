import numpy as np
import pytest

from pointstill.errors import DataError
from pointstill.points.validity import check_points, may_have_outliers


@pytest.mark.parametrize("count", [64, 100, 6400, 10_000])
def test_outliers_are_seen_wherever_they_are(count: int) -> None:
    """Periodic ones too, such as every hundredth return of a sensor."""
    draw = np.random.default_rng(0)
    for every in (100, 128, 200, 1000):
        cloud = draw.normal(size=(count, 3)) + 1e5
        cloud[::every][: max(1, count // 100)] = 0
        with pytest.raises(DataError, match="has outliers"):
            check_points("a", cloud)


def test_the_glance_passes_over_usual_clouds_only() -> None:
    draw = np.random.default_rng(0)
    for stretch in ((1, 1, 1), (1, 0.01, 0.01), (5, 1, 0)):
        cloud = draw.normal(size=(1000, 3)) * stretch
        assert not may_have_outliers(cloud, np.ptp(cloud, axis=0).max())
        cloud[7] += 500
        assert may_have_outliers(cloud, np.ptp(cloud, axis=0).max())
