"""Classify clouds with an exported student: NumPy and ONNX Runtime, nothing else.

One file is all it takes: normalisation, the draw of points, grouping and the network are inside,
class names and axes in its metadata.
"""

import operator
import os
import re
import warnings
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import ArrayLike, NDArray

from ..data.channels import feature_values
from ..data.columns import Columns
from ..errors import DataError, PointstillError, UsageError, one_line
from ..points.features import (
    WIDTHS,
    XYZ,
    Features,
    columns,
    format_features,
    measured,
    parse_features,
    width,
)
from ..points.upright import turn_up
from ..points.validity import check_points, check_stretch, finite
from ..storage.calibration import Calibration
from ..storage.files import check_readable
from ..storage.packaged_students import packaged_students, student_path
from ..storage.paths import here
from ..storage.student_file import check_about, check_content
from .given_clouds import read_given

ENOUGH = 0.5
"""A cloud with a smaller part of the points that training clouds had is warned of. For a student of
512 that is below 256: of clouds with 200 points it told 86 % right, with 100 points 28 %."""
MOST_THREADS = 1024
MOST_MEMORY = 2 << 30
"""Bytes that classifying may take at once, in all sessions of a process."""
MOST_BYTES = 1 << 31
"""Of a file: ONNX holds no more."""
UNKNOWN = "unknown"
"""What `predict` calls a cloud that the student does not know."""
OTHER_RUN = "train it again, and export it again"
Given = ArrayLike | Mapping[str, ArrayLike]
"""A cloud as a user gives it: an array, or arrays by name."""


class SparseCloudWarning(UserWarning):
    """A cloud has far fewer points than those that its student learned from."""


class CloudClassifier(ABC):
    """What classifies one cloud at a time, whatever computes its logits.

    Args:
        about: what is known of the student: `classes`, `up`, `points` and more.
        drop_missing: first leave out the points of a cloud with a NaN or infinite coordinate, as
            depth cameras mark what they do not see; otherwise such a cloud is refused.
        up: the axis that points up in the clouds to come; None: that of the training data.

    Raises:
        UsageError: an up axis that is none.
    """

    def __init__(self, about: dict[str, Any], drop_missing: bool, up: str | None = None):
        if up not in (None, "x", "y", "z"):
            raise UsageError(f"up is {repr(up)[:40]}", fix="choose x, y or z")
        self.about, self.drop_missing = about, drop_missing
        self.asked_up = up
        self.classes: list[str] = about["classes"]
        self.calibration = Calibration.of(about.get("calibration"), len(self.classes))
        """How logits are read: temperature, and threshold for what is unknown."""
        self.normalization: int = about.get("origin", {}).get("normalization", 1)
        """Version of the normalisation; the first keeps strays."""
        self.fewest: int = about.get("fewest", about["points"])
        """Points that nearly every cloud had that the student learned from."""
        self.features = measured(parse_features(about.get("features", XYZ)))
        """What it takes of each point, in the order of an array: `xyz`, then its channels."""
        self.columns: Columns = about.get("columns", {})
        """What the files called some columns that it learned from, where that is not our name."""

    @property
    def up(self) -> str:
        """The axis that points up in what is classified."""
        return self.asked_up or str(self.about["up"])

    @abstractmethod
    def _run(self, cloud: NDArray[np.float32]) -> NDArray[np.float32]:
        """Logits of a cloud near the origin: (n, 3 + F) -> (C,)."""

    def logits(self, points: Given) -> NDArray[np.float32]:
        """Logits of one cloud.

        Args:
            points: (n, 3) coordinates in any unit, with the axis `up` pointing up, which is not
                checked: of a cloud that lies on its side the answer is wrong. Any n from 8 up. A
                student with channels takes (n, 3 + F), in the order of `features` and the units of
                its training data. Of a masked array, points of which something is masked are left
                out. Of a structured array, a table or a mapping of names to arrays, what the
                student takes is found by name, in any order and case, and the rest is passed over.

        Returns:
            (C,) logits, in the order of `classes`.

        Raises:
            DataError: see `near_origin`.
            PointstillError: the student answers with NaN or infinite logits.

        Warns:
            SparseCloudWarning: fewer than half as many points as training clouds had: as a rule the
                answer is wrong, and its probability high.
        """
        return self._answer(points)

    def predict(self, points: Given, top: int = 3, reject: bool = False) -> list[tuple[str, float]]:
        """The most probable classes of one cloud, with their probabilities; see `logits`.

        Args:
            points: the cloud.
            top: how many classes.
            reject: put `("unknown", p)` before them where the student does not know the cloud, p
                being the probability of the class that it would have been. So the first name is
                one to act on, or `UNKNOWN`.

        Raises:
            UsageError: `top` is no whole number from 1 up; or `reject` of a student without a
                threshold.
        """
        top = self._check_asked(top, reject)
        return self._named(self._answer(points), top, reject)

    def predict_many(
        self,
        clouds: Iterable[Given],
        top: int = 3,
        reject: bool = False,
        threads: int | None = None,
    ) -> list[list[tuple[str, float]]]:
        """What `predict` says of each of many clouds, which need not have as many points.

        Clouds are taken one after the other, as they are needed: a generator may read them.

        Args:
            clouds: each as `logits` takes it.
            top: see `predict`.
            reject: see `predict`.
            threads: how many clouds are classified at once; None: one a core.

        Returns:
            The answers, in the order of the clouds.

        Raises:
            DataError: a cloud that cannot be classified; the message has its number, from 0.
            UsageError: see `predict`; or a number of threads that is none.

        Warns:
            SparseCloudWarning: see `logits`.
        """
        top = self._check_asked(top, reject)
        many = cores() if threads is None else whole_number("threads", threads, 1, MOST_THREADS)
        found: list[list[tuple[str, float]]] = []
        waiting: deque[Future[NDArray[np.float32]]] = deque()

        def finish() -> None:
            logits = self._check_logits(waiting.popleft().result())
            found.append(self._named(logits, top, reject))

        with ThreadPoolExecutor(many) as pool:
            for number, points in enumerate(clouds):
                try:
                    cloud = self._cloud(points)
                except DataError as error:
                    raise _numbered(error, number) from error
                waiting.append(pool.submit(self._run, cloud))
                # The first alone: in a process that was forked it opens a session for all.
                while len(waiting) > (2 * many if number else 0):
                    finish()
            while waiting:
                finish()
        return found

    def most_probable(self, logits: ArrayLike, top: int) -> list[tuple[str, float]]:
        """The `top` most probable classes by logits (C,), the first one first."""
        probabilities = self.calibration.probabilities(logits)
        order = np.argsort(-probabilities, kind="stable")[:top]
        return [(self.classes[index], float(probabilities[index])) for index in order]

    def _check_asked(self, top: int, reject: bool) -> int:
        """See that what `predict` is asked for can be had.

        Raises:
            UsageError: it cannot.
        """
        if reject and self.calibration.threshold is None:
            raise UsageError(
                "the student has no threshold for what is unknown",
                fix="train it with --val above 0, on more shapes, and export it with this version",
            )
        return whole_number("top", top, 1)

    def _named(
        self, logits: NDArray[np.float32], top: int, reject: bool
    ) -> list[tuple[str, float]]:
        """What `predict` says by logits."""
        found = self.most_probable(logits, top)
        if reject and not self.calibration.known(logits):
            found.insert(0, (UNKNOWN, found[0][1]))
        return found

    def _answer(self, points: Given) -> NDArray[np.float32]:
        return self._check_logits(self._run(self._cloud(points, asked_by=3)))

    def _cloud(self, points: Given, asked_by: int = 2) -> NDArray[np.float32]:
        """The cloud (n, 3 + F) that `_run` takes; warns whoever is so many calls above."""
        cloud = near_origin(
            points, self.drop_missing, self.features, self.up, self.columns, self.normalization
        )
        if self.asked_up:
            for feature in {"xyz", "normal"} & {*self.features}:
                place = columns(self.features)[feature]
                cloud[:, place] = turn_up(cloud[:, place], self.asked_up, self.about["up"])
        if len(cloud) < ENOUGH * self.fewest:
            warnings.warn(
                f"the cloud has {len(cloud):,} points, fewer than half of the {self.fewest:,} that "
                "the student learned from: its answer is not to be trusted",
                SparseCloudWarning,
                stacklevel=asked_by + 1,
            )
        return cloud

    def _check_logits(self, logits: NDArray[np.float32]) -> NDArray[np.float32]:
        if logits.shape != (len(self.classes),):
            raise PointstillError(
                f"the student answers with logits of shape {logits.shape}, and has "
                f"{len(self.classes)} classes",
                fix=OTHER_RUN,
            )
        if not np.isfinite(logits).all():
            raise PointstillError(
                "the student answers with NaN or infinite logits, so its weights are not sound",
                fix=OTHER_RUN,
            )
        return logits


def _numbered(error: DataError, number: int) -> DataError:
    """The error of a cloud, as that of one of many."""
    if error.where == "the cloud":
        return error.but(where=f"cloud {number}")
    return error.but(what=f"cloud {number}: {error.what}")


class Classifier(CloudClassifier):
    """A student from `pointstill export`.

    It can be copied and pickled, and used in a process that was forked: each has a session of ONNX
    Runtime of its own. Several threads may use one.

    Args:
        path: the .onnx file, or its bytes; or the name of a student that comes with the package, as
            `pointstill models` lists them, where there is no such file.
        threads: threads that ONNX Runtime may use for one cloud; 0 for as many as it chooses.
        drop_missing: first leave out the points of a cloud with a NaN or infinite coordinate, as
            depth cameras mark what they do not see; otherwise such a cloud is refused.
        up: the axis that points up in the clouds to come, x, y or z, where it is not that of the
            training data: they are turned.

    Raises:
        PointstillError: one that may not be read, one that `pointstill export` did not write, or
            that is not as it was written.
        UsageError: no such file, one that is not on this machine, or a number of threads or an up
            axis that is none.

    Example:
        >>> classifier = Classifier("student.onnx")  # doctest: +SKIP
        >>> classifier.predict(points)[0]  # doctest: +SKIP
        ('chair', 0.97)
    """

    def __init__(
        self,
        path: str | Path | bytes | bytearray | memoryview,
        threads: int = 1,
        drop_missing: bool = False,
        up: str | None = None,
    ):
        threads = whole_number("threads", threads, 0, MOST_THREADS)
        if isinstance(path, bytes | bytearray | memoryview):
            named, self._content = "the student", bytes(path)
        elif isinstance(path, str | os.PathLike):
            file = student_path(here(path, "model"))
            named, self._content = str(file), _read(file)
        else:
            raise UsageError(
                f"a student is named by a path, not by {type(path).__name__}",
                fix="give the .onnx file that `pointstill export` wrote, or its bytes",
            )
        self._threads = threads
        self._session, about = _open(named, self._content, threads)
        self._process = os.getpid()
        super().__init__(about, drop_missing, up)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_session"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._session, self._process = start(self._content, self._threads), os.getpid()

    def _run(self, cloud: NDArray[np.float32]) -> NDArray[np.float32]:
        if self._process != os.getpid():
            # The threads of a session stay behind in a fork, and its end would wait for them.
            _LEFT_BEHIND.append(self._session)
            self._session, self._process = start(self._content, self._threads), os.getpid()
        try:
            (logits,) = self._session.run(None, {"points": cloud[None]})
        except Exception as error:  # its exceptions share no base of their own
            raise PointstillError(
                f"ONNX Runtime fails on a cloud of {len(cloud):,} points ({one_line(error)})",
                fix="give it fewer points, or export the student again",
            ) from error
        result: NDArray[np.float32] = logits[0]
        return result


_LEFT_BEHIND: list[onnxruntime.InferenceSession] = []


def cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def whole_number(name: str, value: object, least: int, most: int | None = None) -> int:
    """A whole number of any type that is one; a truth value is none.

    Raises:
        UsageError: it is something else, or out of range.
    """
    try:
        number = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        number = None
    if number is None or isinstance(value, bool) or not least <= number <= (most or number):
        fix = f"choose {least} to {most:,}" if most else f"choose {least} or more"
        raise UsageError(f"{name} is {repr(value)[:40]}", fix=fix)
    return number


def near_origin(
    points: Any,
    drop_missing: bool,
    features: Features = XYZ,
    up: str = "z",
    called: Columns = MappingProxyType({}),
    normalization: int = 2,
) -> NDArray[np.float32]:
    """A cloud (n, 3 + F) that can be classified, moved to its first point but far strays, halved.

    Args:
        points: see `given_clouds.read_given`.
        drop_missing: leave out points with coordinates or channels that are NaN or infinite.
        features: which the student takes, without height.
        up: the axis that points up.
        called: see `read_given`.
        normalization: the version of the student's; the first keeps strays.

    Raises:
        DataError: not such an array, all points masked, too few points, NaN or infinite coordinates
            or channels (without `drop_missing`), no shape but strays (see `validity.check_points`),
            all points in one place, or far strays where the first normalisation would keep them.
    """
    table = read_given(points, features, called)
    far = table["xyz"].astype(np.float64)
    count = len(far)
    if drop_missing:
        there = finite(far) & _measured_everywhere(table)
        far, table = far[there], {name: each[there] for name, each in table.items()}
    kept = check_points("the cloud", far, lost=count - len(far))
    if normalization == 1:
        check_stretch("the cloud", far, kept)
        kept[0] = True  # it was moved to its first point, whatever that was
    # Far from the origin float32 is coarse: come near first, in float64. Halved, as the
    # distance of two float32 numbers may be no float32.
    cloud: NDArray[np.float32] = ((far - far[kept.argmax()]) / 2).astype(np.float32)
    if not cloud.any():
        raise DataError(
            f"has {len(far)} points that are all the same",
            where="the cloud",
            fix="give one with a shape to classify",
        )
    if features == XYZ:
        return cloud
    if lacking := int(np.sum(~_measured_everywhere(table))):
        names = " or ".join(name for name in features if name not in WIDTHS)
        raise DataError(
            f"has {lacking} of {len(far)} points whose {names} is NaN or infinite",
            where="the cloud",
            fix="remove those points, or pass --drop-missing (in Python drop_missing=True)",
        )
    try:
        return np.concatenate([cloud, feature_values(table, features, up)], axis=1)
    except DataError as error:
        raise error.but(where="the cloud") from error


def _measured_everywhere(table: Mapping[str, NDArray[Any]]) -> NDArray[np.bool_]:
    """Of which points (n,) all channels are finite; other features say themselves what is none."""
    there = np.ones(len(table["xyz"]), bool)
    for name, values in table.items():
        if name not in WIDTHS:
            there &= finite(values)
    return there


def _read(path: Path) -> bytes:
    """The bytes of a student.

    Raises:
        PointstillError: it may not be read, or is too large.
        UsageError: no such file; a folder, a pipe or a device is none.
    """
    try:
        there = path.is_file()
    except OSError:  # a name that is too long
        there = False
    if not there:
        names = ", ".join(each.name for each in packaged_students())
        fix = "make one with `pointstill export`" + f", or choose one of {names}" * bool(names)
        raise UsageError("is no student", where=path, fix=fix)
    check_readable(path, PointstillError)
    if path.stat().st_size > MOST_BYTES:
        raise PointstillError(
            f"is no student, which has {MOST_BYTES:,} bytes at most",
            where=path,
            fix="make one with `pointstill export`",
        )
    return path.read_bytes()


@cache
def _bound_memory() -> None:
    """Bound what all sessions of this process take together, whatever sizes a graph wants."""
    shared = onnxruntime.OrtMemoryInfo(
        "Cpu",
        onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR,
        0,
        onnxruntime.OrtMemType.DEFAULT,
    )
    sizes = {"max_mem": MOST_MEMORY, "arena_extend_strategy": -1}
    sizes |= {"initial_chunk_size_bytes": -1, "max_dead_bytes_per_chunk": -1}
    onnxruntime.create_and_register_allocator(shared, onnxruntime.OrtArenaCfg(sizes))


def start(content: bytes, threads: int) -> onnxruntime.InferenceSession:
    """A session, of bytes: it knows no folder in which it could look for other files."""
    _bound_memory()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4  # what it has to say is in its exceptions
    options.add_session_config_entry("session.load_model_format", "ONNX")
    options.add_session_config_entry("session.use_env_allocators", "1")
    # Without its own second try, which it announces on the terminal.
    return onnxruntime.InferenceSession(
        content, options, providers=["CPUExecutionProvider"], enable_fallback=0
    )


def _open(
    named: str, content: bytes, threads: int
) -> tuple[onnxruntime.InferenceSession, dict[str, Any]]:
    """A session of an exported student, and what its metadata say.

    Raises:
        PointstillError: it is none, is not as it was exported, or is too new for ONNX Runtime.
    """
    sealed = False
    try:
        sealed = check_content(content)
        session = start(content, threads)
        about = check_about(session, sealed)
        features = measured(parse_features(about.get("features", XYZ)))
        if width(features) != (takes := about.get("channels", 3)):
            raise ValueError(f"takes {takes} numbers a point, and not {format_features(features)}")
        return session, about
    except ValueError as error:
        raise PointstillError(
            f"is no student of pointstill, or is damaged: it {error}",
            where=named,
            fix="export it again with `pointstill export`",
        ) from error
    except Exception as error:  # ONNX Runtime's exceptions share no base of their own
        reason = _reason(error)
        if sealed or "version" in reason.lower() or "opset" in reason.lower():
            what, fix = "cannot be opened", "install a newer onnxruntime"
        else:
            what = "is no student of pointstill, or is damaged"
            fix = "export it again with `pointstill export`"
        raise PointstillError(
            f"{what} (ONNX Runtime {onnxruntime.__version__}: {reason})", where=named, fix=fix
        ) from error


def _reason(error: Exception) -> str:
    """What ONNX Runtime says, without its status and the places in its code."""
    said = re.sub(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ", "", one_line(error, None))
    return said.rpartition(") ")[2][:200] if "/onnxruntime" in said else said[:200]
