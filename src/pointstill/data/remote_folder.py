"""Data by URL: a folder in the cache that looks like the one below the URL, filled when asked for.

Every object of the listing has a file of its name, empty until it is fetched; a file is fetched
beside the folder and renamed into it. `have.jsonl` says which version of which object is there, so
that a killed fetch goes on after the last file, and a second start needs the listing alone.
"""

import hashlib
import json
import time
import uuid
import warnings
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ..errors import DataError, NoDataError, RemoteError, UnreachableError, UsageError
from ..progress import Track
from ..storage.documents import check, parse_json
from ..storage.files import write_whole
from ..storage.object_store import PARALLEL, Found, Remote
from .cache import seal, unseal, unwritable
from .source import Listed, Shape, Source, SplitName
from .sources.array_file import SUFFIXES
from .sources.finding import SOURCES, find_source
from .sources.label_table import TABLE
from .sources.single_file import SingleFile, read_description

STALE = 3600.0
"""Seconds after which a half-fetched file is taken for that of a killed process."""


def find_remote(
    url: str, fold: int, up: str | None, group: str | None, cache: Path, quiet: bool
) -> Source:
    """Recognise what is below a URL; of its files, only the lists are fetched.

    The URL of a file of all clouds is that of its folder, of which no other file is fetched.

    Raises:
        DataError: nothing, or nothing known, is there.
        RemoteError: it cannot be listed, and never was.
    """
    folder, part = RemoteFolder(url, cache, quiet), ""
    if not folder.refresh():
        above, _, part = url.rstrip("/").rpartition("/")
        folder = RemoteFolder(above, cache, quiet)
        variants = {name for layout in SOURCES.values() for name in layout.variants}
        single = part.lower().endswith(SingleFile.SUFFIXES)
        if not (single or part.lower() in variants) or not folder.refresh():
            raise NoDataError("holds nothing", where=url, fix="check the URL")
    # What tells one layout from another.
    folder.fetch([*folder.root.glob("*.txt"), *folder.root.glob(TABLE)])
    try:
        if part.lower().endswith(SingleFile.SUFFIXES):
            folder.fetch([folder.root / part])
            if not part.lower().endswith(SUFFIXES):
                folder.fetch([folder.root / read_description(folder.root / part).data])
        return Fetched(find_source(folder.root / part, fold, up, group), folder)
    except (DataError, UsageError) as error:
        # What was found on this machine is meant of the URL.
        there, fix = (
            text.replace(str(folder.root), folder.url)
            for text in (error.where or url, error.fix or "")
        )
        raise error.but(where=there, fix=fix or None) from error


@dataclass(frozen=True)
class Fetched:
    """A source whose files are fetched before they are read."""

    source: Source
    folder: "RemoteFolder"

    @property
    def kind(self) -> str:
        """Name of the layout."""
        return self.source.kind

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names, in the order of the labels."""
        return self.source.classes

    @property
    def up(self) -> str:
        """The axis that points up."""
        return self.source.up

    @property
    def key(self) -> str:
        """Whatever decides what is read, besides the files."""
        return self.source.key

    @property
    def listed(self) -> Listed:
        """What is known of the folder."""
        return getattr(self.source, "listed", Listed())

    def files(self, split: SplitName) -> list[Path]:
        """List the files of a split, all of them fetched."""
        files = self.source.files(split)
        self.folder.fetch(files)
        return files

    def shapes(self, split: SplitName) -> Iterable[Shape]:
        """List the shapes of a split, whose files are fetched."""
        self.files(split)
        return self.source.shapes(split)


class RemoteFolder:
    """What is below a URL, in the cache."""

    def __init__(self, url: str, cache: Path, quiet: bool):
        self.remote, self.quiet = Remote(url), quiet
        self.url = self.remote.url
        self.folder = cache / f"url-{hashlib.sha256(self.url.encode()).hexdigest()[:32]}"
        self.root = self.folder / self.url.rpartition("/")[2]
        self.listing: dict[str, Found] = {}

    def refresh(self) -> bool:
        """List the objects and make the folder look like that; False where there are none.

        Warns:
            UserWarning: the store cannot be reached; what was fetched before is taken.
        """
        index = self.folder / "listing.json"
        # With something to go on with, less patience: an offline start shall not take minutes.
        remote = Remote(self.url, retries=5) if index.exists() else self.remote
        try:
            found = remote.list()
        except UnreachableError as error:
            try:
                found = check(unseal(index.read_bytes()), dict[str, list[Found]])["objects"]
            except (OSError, ValueError, LookupError):
                raise error from None
            day = time.strftime("%Y-%m-%d %H:%M", time.localtime(index.stat().st_mtime))
            warnings.warn(
                f"{self.url} {error.what}: taking what was fetched of its listing of {day}",
                stacklevel=2,
            )
        folders = {str(above) for each in found for above in PurePosixPath(each.name).parents}
        self.listing = {each.name: each for each in found if each.name not in folders}
        if not self.listing:
            return False
        if bad := next((name for name in self.listing if _leads_out(name)), None):
            raise DataError("is no name for a file", where=f"{self.url}/{bad}", fix="rename it")
        try:
            self._make_files(folders)
            content = seal({"objects": found}).encode()
            write_whole(index, content, index.with_name(f"{uuid.uuid4().hex}.partial"))
        except OSError as error:
            raise unwritable(self.folder, error) from error
        return True

    def _make_files(self, folders: set[str]) -> None:
        """Give every object a file, and take away those of objects that are gone."""
        for name in sorted(folders | {"."}):
            (self.root / name).mkdir(parents=True, exist_ok=True)
        there = {str(file.relative_to(self.root)) for file in self.root.rglob("*")}
        for name in sorted(there - folders - self.listing.keys(), reverse=True):
            path = self.root / name
            path.rmdir() if path.is_dir() else path.unlink(missing_ok=True)
        for name in self.listing.keys() - there:
            (self.root / name).touch()
        for left in self.folder.glob("*.partial"):
            with suppress(OSError):
                if time.time() - left.stat().st_mtime > STALE:
                    left.unlink()

    def fetch(self, files: Iterable[Path]) -> None:
        """Fetch those of some files that are not there in the version of the listing.

        Raises:
            DataError: one is not in the listing, or the cache cannot be written.
            RemoteError: one cannot be had; those before it stay.
        """
        have, wanted = self._have(), []
        for file in files:
            name = file.relative_to(self.root).as_posix()
            found = self.listing.get(name)
            if found is None:
                raise DataError("is not there", where=f"{self.url}/{name}", fix="restore it")
            if have.get(name) != found.version or file.stat().st_size != found.size:
                wanted.append(found)
        if not wanted:
            return
        try:
            with (
                (self.folder / "have.jsonl").open("a", encoding="utf-8") as notes,
                ThreadPoolExecutor(PARALLEL) as pool,
                Track(f"fetch {self.url}", len(wanted), "files", quiet=self.quiet) as track,
            ):
                jobs = [pool.submit(self._fetch, found) for found in wanted]
                try:
                    for found, job in zip(wanted, jobs, strict=True):
                        job.result()
                        notes.write(json.dumps([found.name, found.version]) + "\n")
                        notes.flush()
                        track.advance(1)
                except BaseException:
                    pool.shutdown(wait=False, cancel_futures=True)
                    raise
        except OSError as error:
            raise unwritable(self.folder, error) from error

    def _fetch(self, found: Found) -> None:
        draft = self.folder / f"{uuid.uuid4().hex}.partial"
        try:
            self.remote.fetch(found, draft)
            draft.replace(self.root / found.name)
        except FileNotFoundError as error:
            raise RemoteError(
                "is gone since it was listed", where=f"{self.url}/{found.name}", fix="run again"
            ) from error
        finally:
            draft.unlink(missing_ok=True)

    def _have(self) -> dict[str, str]:
        """The versions of the files that are there; a line that is half is passed over."""
        have, notes = {}, self.folder / "have.jsonl"
        for line in notes.read_text("utf-8", "replace").splitlines() if notes.exists() else ():
            with suppress(ValueError):
                name, version = check(parse_json(line), tuple[str, str])
                have[name] = version
        return have


def _leads_out(name: str) -> bool:
    """Whether the file of an object would not be in the folder, or be no file."""
    path = PurePosixPath(name)
    return path.is_absolute() or ".." in path.parts or "\0" in name
