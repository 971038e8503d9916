"""The page as files: our own, those of others, the students, samples, and what there is of them."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from ..._version import __version__
from ...errors import UsageError
from ...storage.files import check_writable, write_whole
from .samples import samples
from .students import Student

OURS = Path(__file__).with_name("page")
KINDS = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
    ".wasm": "application/wasm",
    ".onnx": "application/octet-stream",
    ".ply": "application/octet-stream",
}
READ_IN_BROWSER = ("ply", "pcd", "xyz", "txt", "csv", "obj", "stl", "glb")
POLICY = (
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; "
    "img-src 'self' data: blob:; connect-src 'self'; base-uri 'none'; form-action 'none'"
)
"""Content security policy of the static page: the only one on which WebAssembly is compiled."""
POLICY_HERE = "<!-- policy -->"


@dataclass(frozen=True)
class PageFile:
    """One file that is served."""

    content: bytes
    kind: str
    """Its media type."""


def page_files(
    students: Sequence[Student], formats: Sequence[str], where: Literal["server", "browser"]
) -> dict[str, bytes]:
    """All files of a page, by their paths; the students' own not among them.

    Args:
        students: who answers.
        formats: suffixes of the files that are read.
        where: clouds are classified.

    Raises:
        UsageError: what others made is not installed, and the browser could not do without.
    """
    first = students[0].classifier
    about = first.about
    known = {name for student in students for name in student.features}
    plain = known == {"xyz"} and not first.columns
    clouds = samples(about["classes"], about["up"]) if plain else {}
    site = {
        "where": where,
        "version": __version__,
        "formats": list(formats),
        "up": about["up"],
        "columns": first.columns,
        "students": [_described(student) for student in students],
        "samples": [{"name": name, "file": f"samples/{name}.ply"} for name in clouds],
    }
    files = _under(OURS)
    files |= {f"vendor/{name}": content for name, content in _vendor(where).items()}
    files |= {f"samples/{name}.ply": content for name, content in clouds.items()}
    files["site.json"] = json.dumps(site, indent=1).encode()
    if where == "browser":
        policy = f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        files["index.html"] = files["index.html"].replace(POLICY_HERE.encode(), policy.encode())
    return files


def with_kinds(files: dict[str, bytes]) -> dict[str, PageFile]:
    """Files with their media types, to be served."""
    return {name: PageFile(content, KINDS[Path(name).suffix]) for name, content in files.items()}


def write_site(students: Sequence[Student], out: Path) -> list[Path]:
    """Write a page that classifies in the browser, its students with it.

    Args:
        students: who answers.
        out: the folder; files of the same names are replaced, others stay.

    Returns:
        The files.

    Raises:
        UsageError: what others made is not installed, or a student takes colours.
        PointstillError: the folder cannot be written.
    """
    for student in students:
        if "colour" in student.features:  # of which three.js does not say in what unit they were
            raise UsageError(
                "takes colours, which a browser does not read as they are in a file",
                where=student.path,
                fix="use `pointstill serve`, or distil a student without",
            )
    check_writable(out, folder=True)
    files = page_files(students, READ_IN_BROWSER, "browser")
    files |= {f"students/{each.name}.onnx": each.path.read_bytes() for each in students}
    for name, content in files.items():
        path = out / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, content)
    return [out / name for name in files]


def _described(student: Student) -> dict[str, Any]:
    """What the page needs to know of a student."""
    classifier, about = student.classifier, student.classifier.about
    kept = ("model", "points", "calibration")
    said = {key: about[key] for key in kept if key in about}
    return {
        "name": student.name,
        "file": f"students/{student.name}.onnx",
        "classes": classifier.classes,
        "fewest": classifier.fewest,
        "normalization": classifier.normalization,
        "features": classifier.features,
        **said,
    }


def _under(folder: Path) -> dict[str, bytes]:
    """Files of a folder that are of a page, by their paths in it."""
    paths = sorted(path for path in folder.rglob("*") if path.suffix in KINDS)
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def _vendor(where: str) -> dict[str, bytes]:
    """three.js and ONNX Runtime Web.

    Raises:
        UsageError: they are not installed, but the page could not do without.
    """
    spec = find_spec("pointstill_web")
    folder = Path(spec.origin).with_name("vendor") if spec and spec.origin else None
    files = _under(folder) if folder and folder.is_dir() else {}
    if where == "server":  # which needs no runtime; without three.js its page shows no cloud
        return {name: content for name, content in files.items() if name.startswith("three/")}
    if not any(name.endswith(".wasm") for name in files):
        raise UsageError(
            "three.js and ONNX Runtime Web are not installed",
            fix="install the wheel pointstill-web, or run `make web` in a checkout",
        )
    return files
