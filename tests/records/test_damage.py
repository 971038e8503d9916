"""Random damage to one file of a store: found by its readers, or without any effect.

    pytest tests/records/test_damage.py -m "slow or not slow" -s

prints the table: kind of damage, how many were found, had no effect, went unseen.
"""

import json
import random
import shutil
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import google_crc32c
import numpy as np
import pytest

from pointstill.errors import RecordsError
from pointstill.records import Store, headers
from small_stores import LABELS, VIEWS, about


def content_of(path: Path) -> list[object]:
    """All that a store can be asked for; an error where a reader finds something wrong."""
    store = Store.open(path)
    store.check_chunks()
    notes, bad = store.read_notes()
    if bad or store.unnoted():  # `records info` says so
        raise RecordsError("has notes that do not hold, or tiles without one", fix="")
    if store.missing():
        raise RecordsError("is unfinished", fix="")
    found: list[object] = [store.attributes, store.shapes.tolist(), store.labels.tolist(), notes]
    for view in range(store.views):
        found += [store.logits(view).tolist(), store.parameters(view).tolist()]
    return found + [(proof, sums.tolist()) for proof, sums in map(store.probe, store.tiles())]


def outcome(path: Path, expected: list[object]) -> str:
    try:
        return "no effect" if content_of(path) == expected else "unseen"
    except RecordsError as error:
        return "found" if "\n" not in str(error) else "unseen"


# Kinds of damage: each changes one file (two that are swapped) of `store`.


def flip(file: Path, other: Path, draw: random.Random) -> None:
    content = bytearray(file.read_bytes())
    content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
    file.write_bytes(content)


def truncate(file: Path, other: Path, draw: random.Random) -> None:
    content = file.read_bytes()
    file.write_bytes(content[: draw.randrange(len(content))])


def lengthen(file: Path, other: Path, draw: random.Random) -> None:
    file.write_bytes(file.read_bytes() + draw.randbytes(draw.randrange(1, 9)))


def delete(file: Path, other: Path, draw: random.Random) -> None:
    file.unlink()


def overwrite(file: Path, other: Path, draw: random.Random) -> None:
    size = len(file.read_bytes())
    file.write_bytes(bytes(size) if draw.random() < 0.5 else draw.randbytes(size))


def chunks(store: Path, arrays: str = "*") -> list[Path]:
    return sorted(store.glob(f"{arrays}/c.*.*.0"))


def swap_within(file: Path, other: Path, draw: random.Random) -> None:
    array = draw.choice(["logits", "augment", "probe"])
    exchange(*draw.sample(chunks(root(file), array), 2))


def swap_between(file: Path, other: Path, draw: random.Random) -> None:
    arrays = draw.sample(["logits", "augment", "probe"], 2)
    exchange(*(draw.choice(chunks(root(file), array)) for array in arrays))


def swap_tiles(file: Path, other: Path, draw: random.Random) -> None:
    """All that two tiles have, so that they agree with each other."""
    for one, two in zip(*(sorted(root(file).glob(f"*/c.{v}.0.0")) for v in (0, 1)), strict=True):
        exchange(one, two)


def exchange(one: Path, two: Path) -> None:
    first, second = one.read_bytes(), two.read_bytes()
    one.write_bytes(second)
    two.write_bytes(first)


def of_another(file: Path, other: Path, draw: random.Random) -> None:
    """The same file of another store of the same shape."""
    shutil.copy(other / file.relative_to(root(file)), file)


def tile_of_another(file: Path, other: Path, draw: random.Random) -> None:
    chunk = draw.choice(chunks(root(file))).name
    for array in ("logits", "augment", "probe"):
        shutil.copy(other / array / chunk, root(file) / array / chunk)


def with_a_right_crc(file: Path, other: Path, draw: random.Random) -> None:
    """A bit of a chunk flipped, and its CRC made anew."""
    chunk = draw.choice(chunks(root(file)))
    flip(chunk, other, draw)
    body = chunk.read_bytes()[:-4]
    chunk.write_bytes(body + google_crc32c.value(body).to_bytes(4, "little"))


def forge_header(file: Path, other: Path, draw: random.Random) -> None:
    """An entry of a zarr.json, of the root or of an array."""
    file = draw.choice(sorted(root(file).rglob("zarr.json")))
    head = json.loads(file.read_text())
    attributes = head["attributes"] or head
    name = draw.choice(sorted(attributes))
    forged = [0, "", [], {}, None, 9, "forged", ["a", "b", "c"], [2, 10, 3]]
    attributes[name] = draw.choice([value for value in forged if value != attributes[name]])
    file.write_text(json.dumps(head, indent=2))


def forge_header_and_backup(file: Path, other: Path, draw: random.Random) -> None:
    """The same, with its copy in the backup."""
    store = root(file)
    forge_header(file, other, draw)
    names = zipfile.ZipFile(store / headers.BACKUP).namelist()
    copies = {name: (store / name).read_bytes() for name in names}
    (store / headers.BACKUP).write_bytes(headers.pack(copies))


KINDS: dict[str, Callable[[Path, Path, random.Random], None]] = {
    each.__name__: each
    for each in (
        *(flip, truncate, lengthen, delete, overwrite, swap_within, swap_between, swap_tiles),
        *(of_another, tile_of_another, with_a_right_crc, forge_header, forge_header_and_backup),
    )
}


def root(file: Path) -> Path:
    return next(folder for folder in file.parents if folder.name == "r.zarr")


def full(path: Path, content: Callable, seed: int) -> Path:
    """A store, in which another seed gives other numbers at the same places."""
    made = about(teacher={"fingerprint": f"{seed:04x}"})
    store = Store.create(path, made, VIEWS, np.arange(0, 30, 3), LABELS)
    for tile in store.tiles():
        logits, *rest = content(tile)
        store.write(tile, logits + seed, *rest)
        store.note(tile, 0.5 + seed)
    return path


@pytest.mark.parametrize("trials", [100, pytest.param(1000, marks=pytest.mark.slow)])
def test_no_damage_of_a_file_goes_unseen(tmp_path, content, trials):
    whole, other = full(tmp_path / "whole", content, 0), full(tmp_path / "other", content, 1)
    expected, table = content_of(whole), Counter[tuple[str, str]]()
    names = sorted(file.relative_to(whole) for file in whole.rglob("*") if file.is_file())
    path, draw = tmp_path / "r.zarr", random.Random(trials)
    for trial in range(trials):
        kind = list(KINDS)[trial % len(KINDS)]
        shutil.copytree(whole, path)
        KINDS[kind](path / draw.choice(names), other, draw)
        table[kind, outcome(path, expected)] += 1
        shutil.rmtree(path)
    columns = ("found", "no effect", "unseen")
    print(f"\n{'damage':<24}" + "".join(f"{each:>10}" for each in columns))
    for kind in KINDS:
        counts = [table[kind, each] for each in columns]
        print(f"{kind.replace('_', ' '):<24}" + "".join(f"{count:>10}" for count in counts))
    assert not sum(count for (_, how), count in table.items() if how == "unseen"), table
    assert sum(count for (_, how), count in table.items() if how == "found") > 0.8 * trials
