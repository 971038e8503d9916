"""From a path or a URL to where a store is."""

from pathlib import Path

from ..errors import NoRecordsError, RecordsError
from ..storage.object_store import Remote
from ..storage.paths import local
from .folder import Folder
from .location import Location


def locate(where: str | Path) -> Location:
    """The location that a path or a URL names.

    Raises:
        UsageError: a URL of an unknown kind, or obstore is not installed.
    """
    path = local(where)
    if path is not None:
        return Folder(path)
    remote = Remote(str(where))  # first, as it says what to install
    from .bucket import Bucket

    return Bucket(remote)


def no_store(location: Location) -> RecordsError:
    """The error for a location without a store: of the command line, if nothing is there."""
    kind = RecordsError if location.taken() else NoRecordsError
    return kind(
        "is no record store (no zarr.json in it)",
        where=location.path,
        fix="give the path of one, or make one with `pointstill record` at a path that does not "
        "exist yet",
    )
