"""The files of a store that are written once, and their spare copy.

Attributes, array headers, shapes and labels decide what every record means, and JSON has no
checksum: a bit that flips in a class name would pass unseen. So `spare.zip` holds a copy of them
all (its members carry CRC-32), every opening compares, and `records repair` copies back.
"""

import io
import zipfile
import zlib
from pathlib import Path

from ..errors import RecordsError
from . import disk

SPARE = "spare.zip"


def pack(files: dict[str, bytes]) -> bytes:
    """A zip file of some contents: the same bytes for the same contents, with any zlib."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in sorted(files.items()):
            info = zipfile.ZipInfo(name)  # dated 1980
            archive.writestr(info, content, zipfile.ZIP_STORED)
    return buffer.getvalue()


def read(path: Path) -> dict[str, bytes]:
    """The written-once files of a store, by their names in it."""
    found = [path / "zarr.json", *path.glob("*/zarr.json")]
    found += [path / name / "c.0" for name in ("shapes", "labels")]
    return {str(file.relative_to(path)): file.read_bytes() for file in found}


def spare(path: Path) -> dict[str, bytes] | None:
    """The copies in a store's spare; None where it is missing or damaged.

    Raises:
        RecordsError: it may not be read.
    """
    try:
        content = (path / SPARE).read_bytes()
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return {name: archive.read(name) for name in archive.namelist()}
    except PermissionError as error:
        raise disk.forbidden(path / SPARE, error) from error
    except (OSError, ValueError, RuntimeError, LookupError, EOFError, zlib.error):
        return None
    except zipfile.BadZipFile:
        return None


def check(path: Path) -> None:
    """Compare a store's heads with their spare.

    Raises:
        RecordsError: names the file that differs, or may not be read.
    """
    copies = spare(path)
    if copies is None:
        raise _damaged(path, SPARE, "is missing or damaged")
    for name, content in copies.items():
        try:
            there = (path / name).read_bytes()
        except PermissionError as error:
            raise disk.forbidden(path / name, error) from error
        except OSError as error:
            raise _damaged(path, name, f"cannot be read ({error.strerror})") from error
        if there != content:
            raise _damaged(path, name, "is not what was written")


def change(path: Path, contents: dict[str, bytes]) -> None:
    """Give some heads new contents, all of them or, killed before the spare is written, none."""
    try:
        disk.replace_file(path / SPARE, pack(read(path) | contents))
    except OSError as error:
        raise disk.refusal("written", path, error) from error
    restore(path)


def restore(path: Path) -> list[str]:
    """Copy back what differs from the spare, or make a lost spare anew; returns what was mended.

    A change of the heads writes the spare first, so that this also ends one that was killed.

    Raises:
        RecordsError: the spare is damaged, and the heads cannot be read either.
    """
    copies, mended = spare(path), []
    try:
        if copies is None:
            disk.replace_file(path / SPARE, pack(read(path)))
            return [SPARE]
        for name, content in copies.items():
            file = path / name
            if not file.is_file() or file.read_bytes() != content:
                file.parent.mkdir(exist_ok=True)
                disk.replace_file(file, content)
                mended.append(name)
    except FileNotFoundError as error:
        raise RecordsError(
            f"{error.filename} and {path / SPARE} are both lost: restore {path} from a copy"
        ) from error
    except OSError as error:
        raise disk.refusal("written", path, error) from error
    return mended


def _damaged(path: Path, name: str, what: str) -> RecordsError:
    return RecordsError(f"{path / name} {what}: run `pointstill records repair {path}`")
