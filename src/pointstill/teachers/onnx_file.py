"""A teacher in an ONNX file, computed by ONNX Runtime on the CPU."""

import math
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from torch import Tensor

from ..errors import TeacherError, one_line
from ..points.features import Features, measured, parse_features, width
from ..run import TrainedOn
from ..storage.calibration import AS_THEY_ARE, Calibration
from ..storage.documents import check
from ..storage.files import check_readable
from ..storage.student_file import ABOUT, check_about, check_content, is_student
from .description import shown
from .file_kind import FileKind, sha256
from .interface_detection import input_shape
from .network import Layout, Loaded

TYPES = {"tensor(float)": np.float32, "tensor(double)": np.float64, "tensor(float16)": np.float16}

EXPORT_AGAIN = "export it again, or install the ONNX Runtime that its operators need"


class OnnxNetwork:
    """A graph of ONNX: nothing in the file is run but its operators.

    Args:
        path: the file; weights may lie in files beside it, which are then part of its identity.
        channels: numbers a point of the data, of which it may take the three of xyz alone; an
            exported student takes what it says.

    Raises:
        TeacherError: the file may not be read, is damaged, or takes something else than clouds.
    """

    counted = False
    device = torch.device("cpu")

    def __init__(self, path: Path, channels: int = 3):
        self.path = path
        check_readable(path, TeacherError)
        sealed = _check_student(path)
        self._sessions: dict[int, onnxruntime.InferenceSession] = {}
        # Before ONNX Runtime opens what the graph names.
        self.parameters, self.nbytes, others = _weights(path)
        session = self._session()
        self.about = _metadata(path, session, sealed)
        if self.features:
            channels = width(self.features)
        inputs = session.get_inputs()
        if len(inputs) != 1 or inputs[0].type not in TYPES:
            found = ", ".join(f"{each.name}: {each.type}" for each in inputs)
            raise TeacherError(
                f"takes {found}",
                where=path,
                fix="export it again, so that it takes one tensor of points",
            )
        self.input, self.type = inputs[0].name, TYPES[inputs[0].type]
        # A size that is free has a name, or none.
        shape = [size if isinstance(size, int) else None for size in inputs[0].shape]
        self.batch: int | None
        self.points: int | None
        self.layout: Layout | None
        self.channels: int | None
        try:
            declared = input_shape(shape, channels)
        except TeacherError as error:
            raise error.but(where=path) from error
        self.batch, self.points, self.layout, self.channels = declared
        self.files = [path, *others]

    def __call__(self, points: Tensor) -> Sequence[Tensor]:
        """All outputs."""
        fed = {self.input: points.cpu().numpy().astype(self.type)}
        return [
            torch.from_numpy(np.asarray(answer))
            for answer in self._session().run(None, fed)
            if isinstance(answer, np.ndarray) and answer.dtype.kind == "f"
        ]

    def identity(self) -> Iterator[bytes]:
        """The hash of the file, and of those beside it that hold its weights."""
        for file in self.files:
            yield f"onnx {sha256(file)}".encode()

    @property
    def features(self) -> Features | None:
        """What an exported student takes, but height, which its graph measures; None: not said."""
        said = self.about.get("features")
        return measured(parse_features(said)) if said else None

    @property
    def trained_on(self) -> TrainedOn | None:
        """The training split that an exported student has seen; None if the file does not say."""
        try:
            return check(self.about["trained_on"] | {"who": str(self.path)}, TrainedOn)
        except (KeyError, TypeError, ValueError):  # of no pointstill, or of another one
            return None

    @property
    def calibration(self) -> Calibration:
        """How the logits of an exported student are read; as they are where the file is none."""
        try:
            return Calibration.of(self.about.get("calibration"), len(self.about.get("classes", ())))
        except ValueError:
            return AS_THEY_ARE

    def _session(self) -> onnxruntime.InferenceSession:
        """A session with as many threads as torch has now."""
        threads = torch.get_num_threads()
        if threads not in self._sessions:
            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
            options.log_severity_level = 3
            try:
                # Without its own second try, which it announces on the terminal.
                self._sessions[threads] = onnxruntime.InferenceSession(
                    str(self.path), options, providers=["CPUExecutionProvider"], enable_fallback=0
                )
            except Exception as error:  # its exceptions share no base of their own
                reason = re.sub(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ", "", one_line(error, 1000))
                if isinstance(error, UnicodeError):
                    reason = "a name in it is not UTF-8"
                reason = reason.replace(f"Load model from {self.path} failed:", "")
                raise TeacherError(
                    f"is refused by ONNX Runtime ({reason[:200]})",
                    where=self.path,
                    fix=EXPORT_AGAIN,
                ) from error
        return self._sessions[threads]


def _check_student(path: Path) -> bool:
    """See that an exported student is as it was written; whether it carries a digest.

    Raises:
        TeacherError: it is not.
    """
    try:
        return is_student(path) and check_content(path.read_bytes())
    except ValueError as error:
        raise _no_student(path, error) from error


def _metadata(path: Path, session: onnxruntime.InferenceSession, sealed: bool) -> dict[str, Any]:
    """What `pointstill export` wrote into the file: classes, points, up and more; else nothing.

    Raises:
        TeacherError: it is of another form, or does not fit the graph.
    """
    try:
        stored = session.get_modelmeta().custom_metadata_map
        return check_about(session, sealed) if ABOUT in stored else {}
    except UnicodeDecodeError:  # somebody else's
        return {}
    except ValueError as error:
        raise _no_student(path, error) from error


def _no_student(path: Path, error: ValueError) -> TeacherError:
    return TeacherError(
        f"is no student of pointstill, or is damaged: it {error}",
        where=path,
        fix="export it again with `pointstill export`",
    )


def _weights(path: Path) -> tuple[int, int, list[Path]]:
    """Number and bytes of the floating-point initialisers, and the files that hold some of them.

    Large ones, and by default all that `torch.onnx.export` writes, lie in a file beside the graph.

    Raises:
        TeacherError: it is no graph, or names a file elsewhere.
    """
    import onnx

    try:
        model = onnx.load(str(path), load_external_data=False)
    except Exception as error:  # protobuf's has no name that is the same in all its versions
        raise TeacherError(
            "is damaged, or no ONNX file", where=path, fix="export it again"
        ) from error
    sizes = {
        onnx.TensorProto.FLOAT: 4,
        onnx.TensorProto.FLOAT16: 2,
        onnx.TensorProto.BFLOAT16: 2,
        onnx.TensorProto.DOUBLE: 8,
        onnx.TensorProto.INT8: 1,
        onnx.TensorProto.UINT8: 1,
    }
    counts = [
        (math.prod(each.dims), sizes[each.data_type])
        for each in model.graph.initializer
        if each.data_type in sizes
    ]
    total = sum(count * size for count, size in counts)
    others = [_beside(path, name) for name in sorted(set(_locations(model)))]
    return sum(count for count, _ in counts), total, others


def _locations(message: Any) -> Iterator[str]:
    """Names of the files in which tensors lie, wherever in the model: of nodes, functions, too."""
    for field, value in message.ListFields():
        if field.name == "external_data":
            yield from (entry.value for entry in value if entry.key == "location")
        elif field.message_type:
            for each in [value] if hasattr(value, "ListFields") else value:
                yield from _locations(each)


def _beside(path: Path, name: str) -> Path:
    """The file of that name beside a graph.

    Raises:
        TeacherError: it lies elsewhere, or is no regular file.
    """
    other = path.parent / name
    plain = name not in ("", ".", "..") and not set(name) & {"/", "\\", "\0", ":"}
    if not plain or (other.exists() and other.resolve().parent != path.parent.resolve()):
        raise TeacherError(
            f"wants weights from {shown(name)}, which is not in its folder, and is not opened",
            where=path,
            fix="put them beside it, under a plain name",
        )
    if not other.is_file():
        state = "is no regular file" if other.exists() else "is not there"
        raise TeacherError(
            f"wants weights from {shown(name)} beside it, which {state}",
            where=path,
            fix="put the two files side by side, as they were exported",
        )
    return other


def is_onnx(path: Path) -> bool:
    """By its name alone, as protobuf has no mark of its own."""
    return path.suffix.lower() == ".onnx"


def load_onnx(path: Path, device: torch.device, channels: int = 3) -> Loaded:
    """Load a graph, and what `pointstill export` wrote into it; it stays on the CPU.

    Raises:
        TeacherError: see `OnnxNetwork`.
    """
    network = OnnxNetwork(path, channels)
    classes, points, up = (network.about.get(name) for name in ("classes", "points", "up"))
    seen, features, calibration = network.trained_on, network.features, network.calibration
    return Loaded(network, classes, points, up, seen, features, calibration=calibration)


ONNX = FileKind((".onnx",), is_onnx, load_onnx)
