"""Classify clouds with an exported student: NumPy and ONNX Runtime, nothing else.

One file is all it takes: normalisation, the draw of points, grouping and the network are inside,
class names and frame in its metadata.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import ArrayLike, NDArray

from ..errors import DataError, PointstillError, UsageError
from ..points.validity import MIN_POINTS, check_points, finite, is_numeric, transpose_fix
from ..storage.paths import here


class Classifier:
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
        self.drop_missing = drop_missing
        path = here(path, "model")
        if not path.is_file():
            raise UsageError(f"no student at {path}: make one with `pointstill export`")
        try:
            path.open("rb").close()  # as ONNX Runtime does not say why it cannot
        except OSError as error:
            raise PointstillError(
                f"{path} cannot be read ({error.strerror}): mend its permissions"
            ) from error
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        try:
            self._session = onnxruntime.InferenceSession(
                str(path), options, providers=["CPUExecutionProvider"]
            )
            stored = self._session.get_modelmeta().custom_metadata_map
            self.about: dict[str, Any] = json.loads(stored["pointstill"])
        except Exception as error:
            raise PointstillError(
                f"{path} is no student of pointstill, or is damaged: export it again with "
                "`pointstill export`"
            ) from error
        self.classes: list[str] = self.about["classes"]

    def logits(self, points: ArrayLike) -> NDArray[np.float32]:
        """Logits of one cloud.

        Args:
            points: (n, 3) coordinates in any unit, in the frame of the training data
                (`about["up"]` is its up axis); any n from 8 up.

        Returns:
            (C,) logits, in the order of `classes`.

        Raises:
            DataError: not such an array, too few points, NaN or infinite coordinates (without
                `drop_missing`), outliers (see `validity.check_points`), or all points in one place.
            PointstillError: the student answers with NaN or infinite logits.
        """
        try:
            given = np.asarray(points)
        except (TypeError, ValueError) as error:
            raise DataError(f"a cloud must be an (n, 3) array of numbers ({error})") from error
        if not is_numeric(given):
            raise DataError(f"a cloud must be an (n, 3) array of numbers, not of {given.dtype}")
        if given.ndim != 2 or given.shape[1] != 3:
            raise DataError(
                f"a cloud of shape {given.shape} was given; it must be (n, 3), n >= {MIN_POINTS}",
                fix=transpose_fix(given),
            )
        far = given.astype(np.float64)
        if self.drop_missing:
            far = far[finite(far)]
        check_points("the cloud", far, lost=len(given) - len(far))
        # Far from the origin float32 is coarse: come near first, in float64. Halved, as the
        # distance of two float32 numbers may be no float32.
        cloud = ((far - far[0]) / 2).astype(np.float32)
        if not cloud.any():
            raise DataError(f"has {len(far)} points that are all the same", where="the cloud")
        logits = self._run(cloud)
        if not np.isfinite(logits).all():
            raise PointstillError(
                "the student answers with NaN or infinite logits, so its weights are not sound: "
                "train it again, and export it again"
            )
        return logits

    def predict(self, points: ArrayLike, top: int = 3) -> list[tuple[str, float]]:
        """The most probable classes of one cloud, with their probabilities; see `logits`.

        Raises:
            UsageError: `top` is below 1.
        """
        if top < 1:
            raise UsageError(f"top is {top}; choose 1 or more classes")
        logits = self.logits(points).astype(np.float64)
        probabilities = np.exp(logits - logits.max())
        probabilities /= probabilities.sum()
        order = np.argsort(-probabilities, kind="stable")[:top]
        return [(self.classes[index], float(probabilities[index])) for index in order]

    def _run(self, cloud: NDArray[np.float32]) -> NDArray[np.float32]:
        """(n, 3) -> (C,)."""
        (logits,) = self._session.run(None, {"points": cloud[None]})
        result: NDArray[np.float32] = logits[0]
        return result
