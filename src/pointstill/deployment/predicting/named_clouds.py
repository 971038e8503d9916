"""The clouds a user names: files, folders, patterns, and lists or a cloud on standard input."""

import os
import shutil
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from glob import glob, has_magic
from pathlib import Path
from tempfile import TemporaryDirectory

from ...data.readers import READERS, SUFFIXES
from ...data.sources.contents import look
from ...errors import DataError, ForbiddenError, NoDataError, PointstillError, UsageError
from ...storage.paths import here

STANDARD_INPUT = "-"


@dataclass(frozen=True)
class NamedCloud:
    """A file of a cloud, or why there is none."""

    name: str
    """What it is called in rows and messages."""
    path: Path
    fault: PointstillError | None = None


@dataclass
class NamedClouds:
    """All clouds that were named, in the order in which they were.

    Files are taken as they are named, also one twice; in a folder and those below it, what is a
    cloud by its name, sorted, without hidden files. A pattern is one where no such file is there.

    Args:
        names: files, folders, patterns as of a shell with `**` for any folders, and `-` for a list
            of files and folders on standard input: one a line, or ended by NUL if there is one.
        form: the format of the one cloud that is on standard input instead, such as `ply`.

    Raises:
        UsageError: a URL of somewhere else, a format that is none, or an empty list.
    """

    names: Sequence[str]
    form: str | None = None
    clouds: list[NamedCloud] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    """What was passed over in folders, a line each."""
    _kept: ExitStack = field(default_factory=ExitStack)

    def __enter__(self) -> "NamedClouds":
        self._check()
        try:
            for name in self.names:
                if name != STANDARD_INPUT:
                    self.clouds += self._named(name, patterns=True)
                elif self.form:
                    self.clouds.append(self._one_cloud(f".{self.form}"))
                else:
                    for each in _listed(sys.stdin.buffer.read()):
                        self.clouds += self._named(each, patterns=False)
        except BaseException:
            self._kept.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._kept.close()

    def _check(self) -> None:
        """See that standard input is asked for once, and in one way."""
        asked = list(self.names).count(STANDARD_INPUT)
        if self.form and f".{self.form}" not in READERS:
            raise UsageError(f"format-in is {self.form!r}", fix=f"choose from {SUFFIXES}")
        if self.form and not asked:
            raise UsageError(
                "--format-in is of a cloud on standard input", fix="name it, as in predict MODEL -"
            )
        if asked > 1:
            raise UsageError("standard input is named twice", fix="write - once")
        if asked and sys.stdin is None:
            raise UsageError("standard input is closed", fix="name files, or open it")

    def _named(self, name: str, patterns: bool) -> Iterator[NamedCloud]:
        path = here(name, "a cloud")
        try:
            if path.is_dir():
                yield from self._below(path)
            elif patterns and has_magic(name) and not os.path.lexists(path):
                yield from self._matching(name)
            else:
                yield NamedCloud(name, path)
        except (OSError, ValueError):  # a name that is none, which its reader says
            yield NamedCloud(name, path)

    def _matching(self, pattern: str) -> Iterator[NamedCloud]:
        found = sorted(glob(pattern, recursive=True))  # noqa: PTH207, as the user writes them
        if not found:
            error = NoDataError("matches no file", where=pattern, fix="check the pattern")
            yield NamedCloud(pattern, Path(pattern), error)
        if "**" in pattern:  # matches folders and what is in them, and follows links in a circle
            within = {folder for name in found for folder in Path(name).parents}
            found = [name for name in found if Path(name) not in within and not _goes_round(name)]
        for name in found:
            yield from self._named(name, patterns=False)

    def _below(self, root: Path) -> Iterator[NamedCloud]:
        """The clouds in a folder and below it, a folder's own before those of its folders."""
        count, passed_over = 0, []
        waiting: list[tuple[Path, frozenset[tuple[int, int]]]] = [(root, frozenset())]
        while waiting:
            folder, above = waiting.pop()
            try:
                status = folder.stat()
                same = (status.st_dev, status.st_ino)
                if same in above:  # a link to a folder that it is in
                    continue
                contents = look(folder, "" if folder == root else f"{folder.relative_to(root)}/")
            except OSError as error:
                count += 1
                said = f"cannot be listed ({error.strerror})"
                fault = ForbiddenError(said, where=folder, fix="mend its permissions")
                yield NamedCloud(str(folder), folder, fault)
                continue
            count += len(contents.clouds)
            passed_over += [each for each in contents.others if each.said]
            for file in contents.clouds:
                yield NamedCloud(file.path, Path(file.path))
            below = [(folder / name, above | {same}) for name in reversed(contents.folders)]
            waiting += below
        if not count:
            nothing = DataError(f"has no clouds (no file in it is {SUFFIXES})", where=root)
            yield NamedCloud(str(root), root, nothing)
        if passed_over:
            reasons = Counter(each.reason for each in passed_over).most_common()
            listed = ", ".join(f"{many:,} {reason}" for reason, many in reasons)
            first = passed_over[0].path
            self.remarks.append(f"{root}: passed over {listed} (such as {first})")

    def _one_cloud(self, suffix: str) -> NamedCloud:
        """Keep what is on standard input as a file, as readers take one."""
        folder = self._kept.enter_context(TemporaryDirectory(prefix="pointstill-"))
        path = Path(folder) / f"cloud{suffix}"
        with path.open("wb") as file:
            shutil.copyfileobj(sys.stdin.buffer, file)
        return NamedCloud(STANDARD_INPUT, path)


def _goes_round(name: str) -> bool:
    """Whether the way to a file leads through a link to a folder that the link is in."""
    return any(
        folder.is_symlink() and folder.parent.resolve().is_relative_to(folder.resolve())
        for folder in Path(name).parents
    )


def _listed(content: bytes) -> list[str]:
    """The names in a list, whatever bytes they are of.

    Raises:
        UsageError: there are none.
    """
    content = content.removeprefix(b"\xef\xbb\xbf")
    if b"\0" in content:
        found = content.split(b"\0")
    else:
        found = [line.removesuffix(b"\r") for line in content.split(b"\n")]
    if not any(found):
        raise UsageError(
            "the list on standard input is empty",
            fix="write a path a line, or say with --format-in that it is a cloud",
        )
    return [os.fsdecode(name) for name in found if name]
