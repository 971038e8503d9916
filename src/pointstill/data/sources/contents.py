"""What lies in a folder: clouds, folders, and what is neither, each with the reason."""

import os
import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from .. import readers
from ..source import PassedOver

SYSTEM = {
    *("__macosx", ".ds_store", ".spotlight-v100", ".trashes", ".fseventsd", ".directory"),
    *("thumbs.db", "desktop.ini", "$recycle.bin", "system volume information", "@eadir"),
    *(".git", ".gitattributes", ".gitignore", ".gitkeep"),
}
"""What systems leave in folders, in small letters; and all that begins with `._`."""
TEXT = {".txt", ".csv", ".xyz", ".pts"}
ABOUT = re.compile(
    r"(read_?me|licen[cs]e|copying|notes?|notice|about|authors|changelog|citation|credits|index"
    r"|manifest|checksums?|md5(sums?)?|sha256(sums?)?|class(es)?_?names|classes|categories"
    r"|shape_?names|files?|file_?lists?|lists?|splits?"
    r"|(train|test|val|valid)[_-]?(files?|lists?|split|set|names)?)([._ -].*)?",
    re.IGNORECASE,
)
"""Stems of text files that are about data."""
BESIDE = re.compile(
    r"(?P<cloud>.+)[._ -](labels?|segs?|segmentations?|semantics?|instances?|parts?|masks?|gt|ids?"
    r"|class(es)?|normals?|colou?rs?|rgb|intensit(y|ies)|features?|feats?|attributes?|weights?"
    r"|faces|edges|indices|keypoints?|landmarks?|b?box(es)?|annotations?|metadata|meta|info"
    r"|poses?|transforms?|calib|cameras?|cent(er|re|roid)s?)",
    re.IGNORECASE,
)
"""Stems of files that tell more of the cloud whose name they begin with."""


@dataclass
class Contents:
    """What lies in a folder, each kind sorted by name."""

    path: Path
    prefix: str
    """The path below the data set, with a slash at the end unless it is empty."""
    clouds: list[os.DirEntry[str]] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)
    others: list[PassedOver] = field(default_factory=list)

    def below(self, name: str) -> "Contents":
        """What lies in one of the folders."""
        return look(self.path / name, f"{self.prefix}{name}/")

    def note(self, name: str, reason: str, said: bool = True) -> PassedOver:
        """That something here is passed over."""
        return PassedOver(self.prefix + name, reason, said)

    def around(self, what: str) -> list[PassedOver]:
        """All but the folders, of a place where class folders, or splits, are looked for."""
        quiet = [
            each._replace(said=False)
            if each.reason not in (UNREAD, ABOUT_DATA)
            else each._replace(reason=f"files beside {what}", said=False)
            for each in self.others
            if each.reason != BROKEN
        ]
        broken = [each for each in self.others if each.reason == BROKEN]
        return (
            [self.note(file.name, f"clouds beside {what}") for file in self.clouds] + broken + quiet
        )


UNREAD, ABOUT_DATA = "files of an ending that is not read", "texts about the data, by their names"
BROKEN = "broken links"


def look(path: Path, prefix: str = "") -> Contents:
    """List a folder; what is a cloud is told by name and kind of file alone."""
    found = Contents(path, prefix)
    with os.scandir(path) as there:
        entries = sorted(there, key=lambda entry: entry.name)
    files = []
    for entry in entries:
        name = entry.name + "/" * _is(entry.is_dir)
        if entry.name.lower() in SYSTEM or name.startswith("._"):
            found.others.append(found.note(name, "left by a system", said=False))
        elif name.startswith("."):
            found.others.append(found.note(name, "hidden"))
        elif name.endswith("/"):
            found.folders.append(entry.name)
        elif _is(entry.is_file):
            files.append(entry)
        else:
            reason = BROKEN if entry.is_symlink() else "neither files nor folders"
            found.others.append(found.note(name, reason))
    stems = {stem(file.name) for file in files}
    for file in files:
        suffix, beside = Path(file.name).suffix.lower(), BESIDE.fullmatch(stem(file.name))
        if suffix not in readers.READERS:
            found.others.append(found.note(file.name, UNREAD))
        elif suffix in TEXT and ABOUT.fullmatch(stem(file.name)):
            found.others.append(found.note(file.name, ABOUT_DATA))
        elif beside and beside["cloud"] in stems:
            found.others.append(
                found.note(file.name, "files whose names go on from that of a cloud")
            )
        else:
            found.clouds.append(file)
    return found


def _is(kind: Callable[[], bool]) -> bool:
    try:
        return kind()
    except OSError:  # a link in a circle
        return False


def stem(name: str) -> str:
    """The name of a file without the endings of clouds.

    >>> stem("chair_0001.scan.ply.npy")
    'chair_0001.scan'
    """
    while Path(name).suffix.lower() in readers.READERS:
        name = Path(name).stem
    return name


def alike(name: str) -> str:
    """One text for names that differ in case, in how an accent is written, or in outer blanks."""
    return unicodedata.normalize("NFC", name).casefold().strip()
