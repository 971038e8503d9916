"""Paths and URLs that a user gives: what is on this machine, and what is not."""

import os
from pathlib import Path
from urllib.parse import unquote, urlsplit

from ..errors import UsageError

SCHEMES = ("s3", "gs", "az")
"""Of the object stores that data and records may be at."""


def local(where: str | Path) -> Path | None:
    """The path of something on this machine (`file://` too); None for an object store.

    Raises:
        UsageError: a URL of another kind, or one that became a path on its way.

    >>> local("file:///data/a%20b"), local("s3://bucket/run.zarr")
    (PosixPath('/data/a b'), None)
    """
    if isinstance(where, Path):
        if where.parts and where.parts[0] in (f"{scheme}:" for scheme in (*SCHEMES, "file")):
            raise UsageError(
                "was a URL before it became a path", where=where, fix="give it as text"
            )
        return where
    scheme, colon, _ = where.partition("://")
    if not colon:
        return Path(where)
    if scheme == "file":
        return Path(unquote(urlsplit(where).path))
    if scheme not in SCHEMES:
        raise UsageError(
            "is a URL of an unknown kind",
            where=where,
            fix="choose a path, or a URL of s3://, gs://, az:// or file://",
        )
    return None


def home() -> Path:
    """The user's home folder; an empty `HOME` is none, and the system is asked.

    Raises:
        UsageError: there is none.
    """
    try:
        if os.environ.get("HOME") != "":
            return Path.home()
        import pwd

        return Path(pwd.getpwuid(os.getuid()).pw_dir)
    except (ImportError, KeyError, RuntimeError) as error:
        raise UsageError(
            "there is no home folder to keep a cache in", fix="set HOME or POINTSTILL_CACHE"
        ) from error


def here(where: str | Path, name: str) -> Path:
    """The path of something that must be on this machine (`file://` too).

    Args:
        where: a path or a URL.
        name: what it is given for, for the message: an argument or a flag.

    Raises:
        UsageError: a URL of somewhere else.
    """
    try:
        path = local(where)
    except UsageError:
        path = None
    if path is None:
        raise UsageError(
            f"{name} is {where}; it must be a path on this machine, as only data and records can "
            "be at a URL",
            fix="give a path, and copy between the two",
        )
    return path
