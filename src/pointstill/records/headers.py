"""The files of a store that are written once, and their backup.

Attributes, array headers, shapes and labels decide what every record means, and JSON has no
checksum: a bit that flips in a class name would pass unseen. So their backup, `spare.zip`, holds a
copy of them all (its members carry CRC-32), every opening compares, and `records repair` copies
back.
"""

import io
import zipfile
import zlib

from ..errors import RecordsError
from ..storage.files import forbidden
from .location import Location, refusal

ARRAYS = ("logits", "augment", "probe", "shapes", "labels")
AUGMENT = "augment/zarr.json"
BACKUP = "spare.zip"


def pack(files: dict[str, bytes]) -> bytes:
    """A zip file of some contents: the same bytes for the same contents, with any zlib."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in sorted(files.items()):
            info = zipfile.ZipInfo(name)  # dated 1980
            archive.writestr(info, content, zipfile.ZIP_STORED)
    return buffer.getvalue()


NAMES = ("zarr.json", *(f"{array}/zarr.json" for array in ARRAYS), "shapes/c.0", "labels/c.0")
"""The files that are written once; a store without parameters has no `augment/zarr.json`."""


def read(location: Location) -> dict[str, bytes]:
    """The written-once files of a store, by their names in it."""
    there = [name for name in NAMES if name != AUGMENT or location.has(name)]
    return {name: location.read(name) for name in there}


def backup(location: Location) -> dict[str, bytes] | None:
    """The copies in a store's backup; None where it is missing or damaged.

    Raises:
        RecordsError: it may not be read.
    """
    try:
        content = location.read(BACKUP)
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            # What is in there is copied back by its name, so it must be ours, and as we packed it.
            names, members = archive.namelist(), archive.infolist()
            plain = all(each.compress_type == zipfile.ZIP_STORED for each in members)
            if sorted({*names, AUGMENT}) != sorted(NAMES) or not plain:
                return None
            if sum(each.file_size for each in members) > len(content):
                return None
            return {name: archive.read(name) for name in names}
    except PermissionError as error:
        raise forbidden(f"{location.path}/{BACKUP}", error, RecordsError) from error
    except (OSError, ValueError, RuntimeError, LookupError, EOFError, zlib.error):
        return None
    except zipfile.BadZipFile:
        return None


def check(location: Location) -> dict[str, bytes]:
    """Compare a store's headers with their backup, and give them.

    Raises:
        RecordsError: names the file that differs, or may not be read.
    """
    copies = backup(location)
    if copies is None:
        raise _damaged(location, BACKUP, "is missing or damaged")
    for name, content in copies.items():
        try:
            there = location.read(name)
        except PermissionError as error:
            raise forbidden(f"{location.path}/{name}", error, RecordsError) from error
        except OSError as error:
            raise _damaged(location, name, f"cannot be read ({error.strerror})") from error
        if there != content:
            raise _damaged(location, name, "is not what was written")
    return copies


def change(location: Location, contents: dict[str, bytes]) -> None:
    """Give some headers new contents, all of them or, killed before the backup is written, none."""
    try:
        location.write(BACKUP, pack(read(location) | contents))
    except OSError as error:
        raise refusal("written", location.path, error) from error
    restore(location)


def restore(location: Location) -> list[str]:
    """Copy back what differs from the backup, or make a lost backup anew; returns what was mended.

    A change of the headers writes the backup first, so that this also ends one that was killed.

    Raises:
        RecordsError: the backup is damaged, and the headers cannot be read either.
    """
    copies, mended = backup(location), []
    try:
        if copies is None:
            location.write(BACKUP, pack(read(location)))
            return [BACKUP]
        for name, content in copies.items():
            if not location.has(name) or location.read(name) != content:
                location.write(name, content)
                mended.append(name)
    except FileNotFoundError as error:
        raise RecordsError(
            f"is lost, and so is {location.path}/{BACKUP}",
            where=error.filename,
            fix=f"restore {location.path} from a copy",
        ) from error
    except OSError as error:
        raise refusal("written", location.path, error) from error
    return mended


def _damaged(location: Location, name: str, what: str) -> RecordsError:
    fix = f"run `pointstill records repair {location.path}`"
    return RecordsError(what, where=f"{location.path}/{name}", fix=fix)
