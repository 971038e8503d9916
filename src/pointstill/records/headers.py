"""The files of a store that are written once, and their spare copy.

Attributes, array headers, shapes and labels decide what every record means, and JSON has no
checksum: a bit that flips in a class name would pass unseen. So `spare.zip` holds a copy of them
all (its members carry CRC-32), every opening compares, and `records repair` copies back.
"""

import io
import zipfile
import zlib

from ..errors import RecordsError
from . import disk
from .location import Location

ARRAYS = ("logits", "augment", "probe", "shapes", "labels")
SPARE = "spare.zip"


def pack(files: dict[str, bytes]) -> bytes:
    """A zip file of some contents: the same bytes for the same contents, with any zlib."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in sorted(files.items()):
            info = zipfile.ZipInfo(name)  # dated 1980
            archive.writestr(info, content, zipfile.ZIP_STORED)
    return buffer.getvalue()


def read(place: Location) -> dict[str, bytes]:
    """The written-once files of a store, by their names in it."""
    headers = [name for name in (f"{array}/zarr.json" for array in ARRAYS) if place.has(name)]
    names = ["zarr.json", *headers, "shapes/c.0", "labels/c.0"]
    return {name: place.read(name) for name in names}


def spare(place: Location) -> dict[str, bytes] | None:
    """The copies in a store's spare; None where it is missing or damaged.

    Raises:
        RecordsError: it may not be read.
    """
    try:
        content = place.read(SPARE)
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return {name: archive.read(name) for name in archive.namelist()}
    except PermissionError as error:
        raise disk.forbidden(f"{place.path}/{SPARE}", error) from error
    except (OSError, ValueError, RuntimeError, LookupError, EOFError, zlib.error):
        return None
    except zipfile.BadZipFile:
        return None


def check(place: Location) -> None:
    """Compare a store's heads with their spare.

    Raises:
        RecordsError: names the file that differs, or may not be read.
    """
    copies = spare(place)
    if copies is None:
        raise _damaged(place, SPARE, "is missing or damaged")
    for name, content in copies.items():
        try:
            there = place.read(name)
        except PermissionError as error:
            raise disk.forbidden(f"{place.path}/{name}", error) from error
        except OSError as error:
            raise _damaged(place, name, f"cannot be read ({error.strerror})") from error
        if there != content:
            raise _damaged(place, name, "is not what was written")


def change(place: Location, contents: dict[str, bytes]) -> None:
    """Give some heads new contents, all of them or, killed before the spare is written, none."""
    try:
        place.write(SPARE, pack(read(place) | contents))
    except OSError as error:
        raise disk.refusal("written", place.path, error) from error
    restore(place)


def restore(place: Location) -> list[str]:
    """Copy back what differs from the spare, or make a lost spare anew; returns what was mended.

    A change of the heads writes the spare first, so that this also ends one that was killed.

    Raises:
        RecordsError: the spare is damaged, and the heads cannot be read either.
    """
    copies, mended = spare(place), []
    try:
        if copies is None:
            place.write(SPARE, pack(read(place)))
            return [SPARE]
        for name, content in copies.items():
            if not place.has(name) or place.read(name) != content:
                place.write(name, content)
                mended.append(name)
    except FileNotFoundError as error:
        raise RecordsError(
            f"{error.filename} and {place.path}/{SPARE} are both lost: restore {place.path} from a "
            "copy"
        ) from error
    except OSError as error:
        raise disk.refusal("written", place.path, error) from error
    return mended


def _damaged(place: Location, name: str, what: str) -> RecordsError:
    return RecordsError(f"{place.path}/{name} {what}: run `pointstill records repair {place.path}`")
