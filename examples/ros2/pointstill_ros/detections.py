"""What stands in a scan: ground away, clusters, a class for each. No ROS is needed.

Coordinates are in metres, in a frame in which z points up.
"""

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import DBSCAN
from sklearn.linear_model import LinearRegression, RANSACRegressor

from pointstill import Classifier
from pointstill.deployment.runtime import ENOUGH
from pointstill.errors import DataError

SLOPE = 0.3
"""The ground rises less than this along x and y, in metres a metre."""
BELOW = 0.05
"""A plane with a larger share of the points below it is no ground."""
LOOKED_AT = 2_000
"""Points by which the ground is found."""


class Detection(NamedTuple):
    """One cluster, classified."""

    name: str
    """Its class, or `unknown`."""
    probability: float
    """Of the class; where it is unknown, of that which it would have been."""
    centroid: NDArray[np.float64]
    """Mean of its points: (3,)."""
    low: NDArray[np.float64]
    """Lowest coordinates: (3,)."""
    high: NDArray[np.float64]
    """Highest coordinates: (3,)."""
    points: int
    """How many it has."""


class Found(NamedTuple):
    """What became of the clusters of a scan."""

    detections: list[Detection]
    refused: list[str]
    """Why others have no answer, one line each: as where the student takes a field that is not
    there."""


def classify_clusters(
    classifier: Classifier,
    table: NDArray[Any],
    tolerance: float = 0.1,
    ground: float = 0.05,
    least: int | None = None,
    largest: float = 3.0,
) -> Found:
    """Classify what stands on the ground.

    Args:
        classifier: a student; one with a threshold says `unknown` rather than anything.
        table: (n,) structured array with x, y and z, and what else the student takes. Points whose
            coordinates are NaN or infinite, as of rays that met nothing, are left out.
        tolerance: clusters that are farther apart are two, in metres.
        ground: half the thickness of the ground, in metres; 0: there is none.
        least: points of a cluster; smaller ones are left out. By default half of those that the
            student learned from, as it is not to be trusted below.
        largest: longest edge of a cluster's box, in metres; larger ones, such as walls, are left
            out.

    Returns:
        Detections in the order of their first points, and reasons for clusters without one.

    Raises:
        DataError: no x, y or z.
    """
    least = math.ceil(ENOUGH * classifier.fewest) if least is None else least
    reject = classifier.calibration.threshold is not None
    found = Found([], [])
    for part in _standing(table, tolerance, ground):
        xyz = _xyz(part)
        low, high = xyz.min(0), xyz.max(0)
        if len(part) < least or not 0 < (high - low).max() <= largest:
            continue
        try:
            name, probability = classifier.predict(part, top=1, reject=reject)[0]
        except DataError as error:
            found.refused.append(str(error))
            continue
        found.detections.append(Detection(name, probability, xyz.mean(0), low, high, len(part)))
    return found


def _standing(table: NDArray[Any], tolerance: float, ground: float) -> Iterator[NDArray[Any]]:
    """The parts of a table (n,) that are clusters above the ground."""
    table = table[np.isfinite(_xyz(table)).all(axis=1)]
    if ground and len(table):
        table = table[above_ground(_xyz(table), ground)]
    if not len(table):
        return
    labels = clusters(_xyz(table), tolerance)
    order = np.argsort(labels, kind="stable")
    ends = np.cumsum(np.bincount(labels))
    yield from (table[rows] for rows in np.split(order, ends[:-1]))


def _xyz(table: NDArray[Any]) -> NDArray[np.float64]:
    """Coordinates (n, 3) of a table (n,).

    Raises:
        DataError: it has none.
    """
    names = table.dtype.names or ()
    if lacking := [axis for axis in "xyz" if axis not in names]:
        raise DataError(
            f"has no {' and no '.join(lacking)}, but {', '.join(names) or 'nothing'}",
            where="the cloud",
            fix="look at what the driver publishes",
        )
    return np.stack([table[axis].astype(np.float64) for axis in "xyz"], axis=1)


def above_ground(xyz: NDArray[np.float64], thickness: float) -> NDArray[np.bool_]:
    """Which points stand above the ground: (n, 3) -> (n,).

    The ground is the plane near which most points are, of those that are nearly level and have
    nearly nothing below; by RANSAC, the same each time. Where there is none, all points stand.

    Args:
        xyz: coordinates.
        thickness: what is at most so far above the plane is ground, and so is all below.
    """
    chosen = np.random.default_rng(0).permutation(len(xyz))[:LOOKED_AT]
    level, heights = xyz[chosen, :2], xyz[chosen, 2]

    def is_ground(plane: LinearRegression, *_: Any) -> bool:
        under = heights < plane.predict(level) - thickness
        return bool(np.abs(plane.coef_).max() < SLOPE and under.mean() < BELOW)

    plane = RANSACRegressor(
        residual_threshold=thickness, is_model_valid=is_ground, random_state=0, max_skips=1_000
    )
    try:
        plane.fit(level, heights)
    except ValueError:  # no plane of three points was one
        return np.ones(len(xyz), bool)
    stands: NDArray[np.bool_] = xyz[:, 2] - plane.predict(xyz[:, :2]) > thickness
    return stands


def clusters(xyz: NDArray[np.float64], tolerance: float) -> NDArray[np.intp]:
    """The cluster of each point, from 0 in the order of their first points: (n, 3) -> (n,).

    Euclidean clustering: points nearer each other than `tolerance` are of one cluster. One point of
    each voxel of a quarter of it stands for the others there, so that dense clouds cost no more.
    """
    voxels = np.floor(xyz / (tolerance / 4)).astype(np.int64)
    _, first, voxel = np.unique(voxels, axis=0, return_index=True, return_inverse=True)
    labels = DBSCAN(eps=tolerance, min_samples=1).fit_predict(xyz[first])[voxel.reshape(-1)]
    _, first, label = np.unique(labels, return_index=True, return_inverse=True)
    rank = np.empty(len(first), np.intp)
    rank[np.argsort(first)] = np.arange(len(first))
    ordered: NDArray[np.intp] = rank[label]
    return ordered


def as_message(header: Any, detections: list[Detection]) -> dict[str, Any]:
    """The fields of a `vision_msgs/Detection3DArray`, nested as in the message.

    Args:
        header: that of the cloud, as it is.
        detections: what was found in it.
    """
    return {
        "header": header,
        "detections": [
            {
                "header": header,
                "results": [
                    {
                        "hypothesis": {"class_id": each.name, "score": each.probability},
                        "pose": {"pose": _pose(each.centroid)},
                    }
                ],
                "bbox": {
                    "center": _pose((each.low + each.high) / 2),
                    "size": _vector(each.high - each.low),
                },
            }
            for each in detections
        ],
    }


def _pose(position: NDArray[np.float64]) -> dict[str, dict[str, float]]:
    """There, not turned."""
    return {
        "position": _vector(position),
        "orientation": {"x": 0.0, "y": 0.0, "z": 0.0, "w": 1.0},
    }


def _vector(values: NDArray[np.float64]) -> dict[str, float]:
    return dict(zip("xyz", values.tolist(), strict=True))
