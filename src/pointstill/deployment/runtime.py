"""Classify clouds with an exported student: NumPy and ONNX Runtime, nothing else.

One file is all it takes: normalisation, the draw of points, grouping and the network are inside,
class names and axes in its metadata.
"""

import json
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import ArrayLike, NDArray

from ..errors import DataError, PointstillError, UsageError
from ..points.validity import MIN_POINTS, check_points, finite, is_numeric, transpose_fix
from ..storage.files import check_readable
from ..storage.paths import here


class CloudClassifier(ABC):
    """What classifies one cloud at a time, whatever computes its logits.

    Args:
        about: what is known of the student: `classes`, `up` and more.
        drop_missing: first leave out the points of a cloud with a NaN or infinite coordinate, as
            depth cameras mark what they do not see; otherwise such a cloud is refused.
    """

    def __init__(self, about: dict[str, Any], drop_missing: bool):
        self.about, self.drop_missing = about, drop_missing
        self.classes: list[str] = about["classes"]

    @abstractmethod
    def _run(self, cloud: NDArray[np.float32]) -> NDArray[np.float32]:
        """Logits of a cloud near the origin: (n, 3) -> (C,)."""

    def logits(self, points: ArrayLike) -> NDArray[np.float32]:
        """Logits of one cloud.

        Args:
            points: (n, 3) coordinates in any unit, in the axes of the training data
                (`about["up"]` is its up axis); any n from 8 up.

        Returns:
            (C,) logits, in the order of `classes`.

        Raises:
            DataError: see `near_origin`.
            PointstillError: the student answers with NaN or infinite logits.
        """
        logits = self._run(near_origin(points, self.drop_missing))
        if not np.isfinite(logits).all():
            raise PointstillError(
                "the student answers with NaN or infinite logits, so its weights are not sound",
                fix="train it again, and export it again",
            )
        return logits

    def predict(self, points: ArrayLike, top: int = 3) -> list[tuple[str, float]]:
        """The most probable classes of one cloud, with their probabilities; see `logits`.

        Raises:
            UsageError: `top` is below 1.
        """
        if top < 1:
            raise UsageError(f"top is {top}", fix="choose 1 or more classes")
        logits = self.logits(points).astype(np.float64)
        probabilities = np.exp(logits - logits.max())
        probabilities /= probabilities.sum()
        order = np.argsort(-probabilities, kind="stable")[:top]
        return [(self.classes[index], float(probabilities[index])) for index in order]


class Classifier(CloudClassifier):
    """A student from `pointstill export`.

    Args:
        path: the .onnx file.
        threads: threads that ONNX Runtime may use for one cloud.
        drop_missing: first leave out the points of a cloud with a NaN or infinite coordinate, as
            depth cameras mark what they do not see; otherwise such a cloud is refused.

    Raises:
        PointstillError: one that may not be read, or one that `pointstill export` did not write.
        UsageError: no such file, or one that is not on this machine.

    Example:
        >>> classifier = Classifier("student.onnx")  # doctest: +SKIP
        >>> classifier.predict(points)[0]  # doctest: +SKIP
        ('chair', 0.97)
    """

    def __init__(self, path: str | Path, threads: int = 1, drop_missing: bool = False):
        self._session, about = _open(here(path, "model"), threads)
        super().__init__(about, drop_missing)

    def _run(self, cloud: NDArray[np.float32]) -> NDArray[np.float32]:
        (logits,) = self._session.run(None, {"points": cloud[None]})
        result: NDArray[np.float32] = logits[0]
        return result


def near_origin(points: ArrayLike, drop_missing: bool) -> NDArray[np.float32]:
    """A cloud (n, 3) that can be classified, moved to its first point and halved.

    Raises:
        DataError: not such an array, too few points, NaN or infinite coordinates (without
            `drop_missing`), outliers (see `validity.check_points`), or all points in one place.
    """
    try:
        array = np.asarray(points)
    except (TypeError, ValueError) as error:
        raise DataError(
            f"a cloud cannot be read ({error})", fix="give an (n, 3) array of numbers"
        ) from error
    if not is_numeric(array):
        raise DataError(
            f"a cloud of {array.dtype} was given", fix="give an (n, 3) array of numbers"
        )
    if array.ndim != 2 or array.shape[1] != 3:
        raise DataError(
            f"a cloud of shape {array.shape} was given; it must be (n, 3), n >= {MIN_POINTS}",
            fix=transpose_fix(array),
        )
    far = array.astype(np.float64)
    if drop_missing:
        far = far[finite(far)]
    check_points("the cloud", far, lost=len(array) - len(far))
    # Far from the origin float32 is coarse: come near first, in float64. Halved, as the
    # distance of two float32 numbers may be no float32.
    cloud: NDArray[np.float32] = ((far - far[0]) / 2).astype(np.float32)
    if not cloud.any():
        raise DataError(
            f"has {len(far)} points that are all the same",
            where="the cloud",
            fix="give one with a shape to classify",
        )
    return cloud


def _open(path: Path, threads: int) -> tuple[onnxruntime.InferenceSession, dict[str, Any]]:
    """A session of an exported student, and what its metadata says."""
    if not path.is_file():
        raise UsageError("is no student", where=path, fix="make one with `pointstill export`")
    check_readable(path, PointstillError)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    try:
        session = onnxruntime.InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"]
        )
        stored = session.get_modelmeta().custom_metadata_map
        about: dict[str, Any] = json.loads(stored["pointstill"])
    except Exception as error:
        raise PointstillError(
            "is no student of pointstill, or is damaged",
            where=path,
            fix="export it again with `pointstill export`",
        ) from error
    return session, about
