"""PCD, of the Point Cloud Library."""

from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from .announced import check_count


def pcd(path: Path) -> Any:
    """A whole PCD file, as its library gives it."""
    from pypcd4.pypcd4 import PointCloud

    cloud = PointCloud.from_path(path)
    check_count("points", cloud.metadata.points, len(cloud.pc_data))
    return cloud


def read_pcd(path: Path) -> NDArray[Any]:
    """Points (n, 3)."""
    points: NDArray[Any] = pcd(path).numpy(("x", "y", "z"))
    return points
