"""An exported student as a file: its digest, what its metadata say, and whether they fit its graph.

ONNX, in one file. `metadata_props` has two entries of ours: `pointstill`, JSON in the form of
`About`, and `pointstill.sha256`, a seal over the whole file (see `digests`). Runtime and teachers
open such files, each by its own session of ONNX Runtime.
"""

import json
import mmap
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NotRequired, Protocol, TypedDict

from .calibration import Calibration
from .digests import blank_seal, check_seal
from .documents import check, parse_json

ABOUT, SEAL = "pointstill", "pointstill.sha256"
FORMAT = 3
"""Of the metadata. 1, which they do not say, had no seal."""
BLANK = blank_seal("student")
# The key without which ONNX looks for no other file: a text of its length, however that is written.
_ELSEWHERE = re.compile(rb"(?:\x08|\x88\x80*\x00)location")
# Operators that repeat a graph, as the field that names a node's operator.
_LOOPS = re.compile(
    rb"\x22(?:\x04|\x84\x80*\x00)(?:Loop|Scan)|\x22(?:\x0b|\x8b\x80*\x00)SequenceMap"
)


class Seen(TypedDict, total=False):
    """The training split that a student has seen; see `run.TrainedOn`."""

    who: str
    fingerprint: str
    fold: int | None
    skip_bad: bool
    drop_missing: bool
    data: str | None
    normalization: int
    group: str | None


class Origin(TypedDict):
    """What of a run's `origin` the metadata say again."""

    classes: NotRequired[list[str]]
    up: NotRequired[str]


class About(TypedDict):
    """What the metadata of a student say."""

    classes: list[str]
    """In the order of its logits."""
    points: int
    """That it draws of each cloud."""
    up: Literal["x", "y", "z"]
    format: NotRequired[int]
    pointstill: NotRequired[str]
    """The version that wrote it."""
    model: NotRequired[str]
    fewest: NotRequired[int]
    """Points that nearly every cloud of its training had; see `Run.fewest`."""
    features: NotRequired[list[str]]
    """What a point of its training clouds had, xyz first; if nothing is said, xyz alone."""
    channels: NotRequired[int]
    """Numbers a point that its graph takes, as many as these have without height; else 3."""
    columns: NotRequired[dict[str, str | int]]
    """Our name -> what the files called a column, where they differ."""
    calibration: NotRequired[Calibration]
    """How its logits are read."""
    origin: NotRequired[Origin]
    trained_on: NotRequired[Seen]


class Node(Protocol):
    """An input or output of a graph, as ONNX Runtime tells of it."""

    @property
    def name(self) -> str:
        """Its name."""

    @property
    def type(self) -> str:
        """Such as tensor(float)."""

    @property
    def shape(self) -> Sequence[int | str | None]:
        """A size that is free has a name, or none."""


class Session(Protocol):
    """What of a session of ONNX Runtime is looked at."""

    def get_inputs(self) -> Sequence[Node]:
        """Of the graph."""

    def get_outputs(self) -> Sequence[Node]:
        """Of the graph."""

    def get_modelmeta(self) -> Any:
        """With `custom_metadata_map`."""


def write_about(about: Mapping[str, Any]) -> dict[str, str]:
    """The entries of `metadata_props`, with a blank seal: fill it in by `digests.seal`."""
    return {ABOUT: json.dumps({**about, "format": FORMAT}), SEAL: BLANK}


def is_student(path: Path) -> bool:
    """Whether a file has the entry of a student: a search, so that any ONNX file may be asked."""
    if not path.stat().st_size:
        return False
    key = b"\x0a" + bytes([len(ABOUT)]) + ABOUT.encode()
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return content.find(key) >= 0


def check_content(content: bytes) -> bool:
    """See that the bytes of a student are what was exported, before anything parses them.

    Returns:
        Whether they carry a digest; a student without one, of an older version, proves nothing.

    Raises:
        ValueError: they are not; or some of its tensors would be read from another file, or its
            graph has loops, which need have no end.
    """
    if b"location" in content and _ELSEWHERE.search(content):  # a text is found much faster
        raise ValueError("keeps tensors in another file, but a student is one file")
    if _LOOPS.search(content):
        raise ValueError("has loops, which no student has")
    return check_seal(content) is not None


def check_about(session: Session, sealed: bool) -> dict[str, Any]:
    """What the metadata of a student say, if they are sound and fit its graph.

    Args:
        session: of the student.
        sealed: whether its file carries its digest.

    Raises:
        ValueError: there are none; they are of another form, or do not fit the graph or each
            other; or they say that there is a digest, and there is none.
    """
    try:
        stored = session.get_modelmeta().custom_metadata_map
    except UnicodeDecodeError as error:
        raise ValueError("has metadata that are not UTF-8") from error
    if ABOUT not in stored:
        raise ValueError("has no metadata of pointstill")
    try:
        said: dict[str, Any] = parse_json(stored[ABOUT])
        about = check(said, About)
    except ValueError as error:
        raise ValueError(f"has metadata of another form ({error})") from error
    form = about.get("format", 1)
    if form > FORMAT:
        raise ValueError(f"is of format {form}, and this version knows {FORMAT} at most")
    if form >= 2 and not sealed:
        raise ValueError("has lost the SHA-256 that it was exported with")
    classes, origin = about["classes"], about.get("origin", {})
    if not classes or len(set(classes)) < len(classes):
        raise ValueError("names no class, or one twice")
    if about["points"] < 1 or about.get("fewest", 1) < 1:
        raise ValueError("says that it was trained on no points")
    if origin.get("classes", classes) != classes or origin.get("up", about["up"]) != about["up"]:
        raise ValueError("has classes or axes that are not those of its run")
    Calibration.of(said.get("calibration"), len(classes))
    _check_graph(session, len(classes), about.get("channels", 3))
    return said


def _check_graph(session: Session, classes: int, channels: int) -> None:
    """See that a graph takes clouds of any size, so many numbers a point, and gives so many logits.

    Raises:
        ValueError: what it takes or gives instead.
    """
    takes, gives = session.get_inputs(), session.get_outputs()
    if not (
        [(each.name, each.type) for each in takes] == [("points", "tensor(float)")]
        and len(takes[0].shape) == 3
        and takes[0].shape[0] in (1, *_free(takes[0]))
        and takes[0].shape[1] in _free(takes[0])
        and takes[0].shape[2] == channels
    ):
        wanted = f"points: tensor(float) (clouds, points, {channels})"
        raise ValueError(f"takes {_listed(takes)}, not {wanted}")
    if not (
        [each.type for each in gives] == ["tensor(float)"]
        and len(gives[0].shape) == 2
        and gives[0].shape[1] == classes
    ):
        raise ValueError(f"gives {_listed(gives)}, and its metadata name {classes} classes")


def _free(node: Node) -> list[str | None]:
    return [size for size in node.shape if not isinstance(size, int)]


def _listed(nodes: Sequence[Node]) -> str:
    """Inputs or outputs in a few words."""
    each = [f"{n.name}: {n.type} ({', '.join(map(str, n.shape))})" for n in nodes[:3]]
    return ", ".join(each)[:160] + ", ..." * (len(nodes) > 3) or "nothing"
