"""The record store: a Zarr v3 group of logits and augmentation parameters, committed tile by tile.

A *tile* is one view of a run of consecutive shapes. Its probe is written last and is the commit
mark: no probe, no tile. That is all the state that resuming needs. It ends with a seal of each
chunk of its tile, which every reading compares.
"""

import json
import os
import re
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
import zarr

from ..augment import Pipeline
from ..errors import RecordsError, UsageError, one_line
from ..points.features import Features
from ..storage import files
from ..storage.documents import parse_json
from . import codec, headers, probe, seals
from .attributes import DIGEST, check_attributes, check_digest
from .fingerprint import fingerprint
from .folder import Folder
from .folder_or_bucket import locate, no_store
from .layout import (
    ABSENT,
    FORMAT,
    UNSEALED,
    Tile,
    check_format,
    check_layout,
    check_range,
    check_rows,
    lay_out,
    layouts,
    lengthened,
    recorded_features,
)
from .location import SIDECAR, Location, refusal
from .provenance import checked, read_notes

CAVEAT = f"""has format {UNSEALED}, whose checksums do not say where a chunk belongs: chunks that \
changed places, or came from another store, would pass; a recording of today would prove it"""
FOREIGN = (OSError, LookupError, ValueError, TypeError, AttributeError, RuntimeError)
"""What Zarr raises where a store is not as it should be."""
MARKS = 64 << 20
"""Bytes of probes that a store keeps in memory: those of some 60 million records."""
CHUNK = re.compile(r"c\.(\d{1,9})\.(\d{1,9})\.0")


class Store:
    """An open record store. Rows are recorded shapes; `shapes` gives their indices in the split."""

    def __init__(self, location: Location, group: zarr.Group):
        """Use `Store.create` or `Store.open`."""
        self.location, self.path = location, location.path
        self.attributes: dict[str, Any] = dict(group.attrs)
        self.coding = codec.parse(self.attributes["codec"]["name"], len(self.attributes["classes"]))
        self._arrays: dict[str, Any] = {name: group[name] for name in self.arrays}
        self.shapes: np.ndarray = np.asarray(group["shapes"][:], np.int64)  # type: ignore[index]
        self.labels: np.ndarray = np.asarray(group["labels"][:], np.int64)  # type: ignore[index]
        self.views, self.rows, _ = self._arrays["logits"].shape
        self.layouts = layouts(self.attributes, self.views, self.rows)
        self._marks: dict[int, np.ndarray] = {}  # view -> its probes, for readings to compare with

    @classmethod
    def create(
        cls,
        path: str | Path,
        attributes: dict[str, Any],
        views: int,
        shapes: np.ndarray,
        labels: np.ndarray,
    ) -> "Store":
        """Make an empty store, whole or not at all.

        Args:
            path: folder to make, or URL; nothing may be there.
            attributes: what the records are made from; among them `classes`, `columns` (names of
                the parameters), `keyed` (whether these are drawn again instead of stored) and
                `codec` (its `name`, and its measured error).
            views: augmentation draws of each shape.
            shapes: (S,) indices of the recorded shapes in the whole split.
            labels: (S,) their classes.

        Raises:
            RecordsError: something is there, or it cannot be written.
        """
        with locate(path).new() as draft:
            cls.begin(draft, attributes, views, shapes, labels)
        return cls.open(path)

    @classmethod
    def begin(
        cls,
        draft: Path,
        attributes: dict[str, Any],
        views: int,
        shapes: np.ndarray,
        labels: np.ndarray,
    ) -> "Store":
        """Make the same in a draft, an empty folder, which is to become a store; see `create`."""
        lay_out(draft, attributes, views, shapes, labels)
        files.replace_file(draft / headers.BACKUP, headers.pack(headers.read(Folder(draft))))
        files.sync_tree(draft)
        return cls.open(draft)

    @classmethod
    def open(cls, path: Path | str) -> "Store":
        """Open a store.

        Raises:
            RecordsError: there is none, its format is another, it is damaged, or it may not be
                read.
        """
        location = locate(path)
        path = location.path
        try:
            there = location.has("zarr.json")
            backup = location.has(headers.BACKUP)
        except PermissionError as error:
            raise files.forbidden(path, error, RecordsError) from error
        if not (there or backup):
            raise no_store(location)
        contents = headers.check(location) if backup else {}
        try:
            root = contents.get("zarr.json") or location.read("zarr.json")
            head = parse_json(root)
            if head.get("node_type") != "group":
                raise ValueError("its zarr.json is of no group")
            attributes = head.get("attributes", {})
            check_format(path, attributes)
            if not backup:
                headers.check(location)  # which says so: only formats before had none
            check_attributes(attributes)
            check_layout(attributes, contents)
            store = cls(location, zarr.open_group(location.zarr(), mode="r+"))
            check_rows(store.shapes, store.labels, len(attributes["classes"]))
        except PermissionError as error:
            raise files.forbidden(error.filename or path, error, RecordsError) from error
        except (*FOREIGN, UsageError) as error:
            fix = f"run `pointstill records repair {path}`"
            raise RecordsError(f"is damaged ({one_line(error)})", where=path, fix=fix) from error
        if store.sealed:
            check_digest(path, store.attributes, store.shapes, store.labels)
        return store

    @property
    def sealed(self) -> bool:
        """Whether its chunks are bound to their places, as in all stores that are made now."""
        return bool(self.attributes["format"] == FORMAT)

    @property
    def caveat(self) -> str:
        """What its format cannot prove; empty where there is nothing."""
        return "" if self.sealed else CAVEAT

    @property
    def features(self) -> Features:
        """What a point of a view had for the teacher, `xyz` first."""
        return recorded_features(self.attributes)

    @property
    def columns(self) -> list[str]:
        """Names of the augmentation parameters."""
        return list(self.attributes["columns"])

    @property
    def keyed(self) -> bool:
        """Whether the parameters are drawn again from their key, and not stored."""
        return bool(self.attributes["keyed"])

    @property
    def arrays(self) -> list[str]:
        """Names of the arrays that hold a chunk a tile, in the order of writing."""
        stored = ["augment"] if self.columns and not self.keyed else []
        return ["logits", *stored, "probe"]

    @property
    def fingerprint(self) -> str:
        """SHA-256 (hex) of all that decides its records."""
        return fingerprint(self.attributes, self.views, self.shapes)

    def tiles(self) -> Iterator[Tile]:
        """All tiles, view by view."""
        for view in range(self.views):
            yield from self.tiles_of(view)

    def tiles_of(self, view: int) -> list[Tile]:
        """The tiles of one view."""
        return [self.tile(view, number) for number in range(self.layouts["probe"].shape[1])]

    def tile(self, view: int, number: int) -> Tile:
        """A tile by its numbers."""
        length = self.attributes["tile"]
        start = number * length
        return Tile(view, number, start, min(start + length, self.rows))

    def recorded_tiles(self) -> set[Tile]:
        """The tiles that are recorded, those with an unreadable probe among them."""
        with suppress(RecordsError):
            done = self.committed()
            return {tile for tile in self.tiles() if done[tile.view, tile.number]}
        # One of the marks cannot be read; whoever reads it will say so.
        views, numbers, _ = self.layouts["probe"].shape
        there = self._chunks("probe")
        return {self.tile(v, number) for v, number in there if v < views and number < numbers}

    def committed(self) -> np.ndarray:
        """(views, tiles) bool: which tiles are recorded.

        Raises:
            RecordsError: a mark cannot be read, or is not that of its tile.
        """
        done = np.zeros(self.layouts["probe"].shape[:2], bool)
        # View by view: all probes at once would be a task of Zarr's for each.
        for view in sorted({view for view, _ in self._chunks("probe")}):
            probes = self._kept(view, self._read("probe", view))
            done[view] = np.any(probes != ABSENT, axis=1)
            for number in np.flatnonzero(done[view]):
                self._check_probe(self.tile(view, int(number)), probes[number])
        return done

    def faulty_chunks(self) -> list[str]:
        """Chunks that are missing from recorded tiles, cut, or of no tile: a listing reads none."""
        found, (views, tiles, _) = [], self.layouts["probe"].shape
        marks = self._chunks("probe")
        for name in self.arrays:
            there = marks if name == "probe" else self._chunks(name)
            size = self.layouts[name].nbytes
            for view, tile in sorted(marks.keys() | there.keys()):
                chunk = f"{name}/c.{view}.{tile}.0"
                if view >= views or tile >= tiles:
                    found += [f"{chunk} of no tile"] if (view, tile) in there else []
                elif (view, tile) not in there:
                    found.append(f"{chunk} missing")
                elif there[view, tile] != size and (view, tile) in marks:
                    found.append(f"{chunk} of {there[view, tile]:,} bytes in place of {size:,}")
        return found

    def check_chunks(self) -> None:
        """See that no recorded tile lacks a chunk or has one that is cut, without reading any.

        Raises:
            RecordsError: names the first of them.
        """
        if faults := self.faulty_chunks():
            some = "; ".join(faults[:5]) + ("; and more" if len(faults) > 5 else "")
            raise RecordsError(
                f"has {len(faults)} faulty chunk{'s'[: len(faults) > 1]} ({some})",
                where=self.path,
                fix=self.remedy,
            )

    def _chunks(self, name: str) -> dict[tuple[int, int], int]:
        """(view, tile) -> bytes of the chunks of an array that are there."""
        try:
            there = self.location.files(name)
        except PermissionError as error:
            raise files.forbidden(f"{self.path}/{name}", error, RecordsError) from error
        except OSError as error:
            raise refusal("read", self.path, error) from error
        matched = ((CHUNK.fullmatch(file), size) for file, size in there.items())
        return {(int(m[1]), int(m[2])): size for m, size in matched if m}

    def missing(self) -> list[Tile]:
        """The tiles still to record, in order."""
        done = self.committed()
        return [tile for tile in self.tiles() if not done[tile.view, tile.number]]

    def lengthen(self, views: int) -> "Store":
        """Make room for more views, all of them missing; hold the lock. Returns the store anew."""
        files = [f"{name}/zarr.json" for name in self.arrays]
        headers.change(
            self.location,
            {file: lengthened(self.location.read(file), views) for file in files},
        )
        return Store.open(self.path)

    def damaged(self) -> list[Tile]:
        """Recorded tiles that cannot be read; reads everything."""
        found = []
        for tile in sorted(self.recorded_tiles()):
            try:
                self.check(tile)
            except RecordsError as error:
                if isinstance(error.__cause__, PermissionError):
                    raise  # nothing says that it is damaged
                found.append(tile)
        return found

    def recorded(self, tile: Tile) -> bool:
        """Whether a tile is recorded."""
        return bool(np.any(self._read("probe", (tile.view, tile.number)) != ABSENT))

    def write(
        self,
        tile: Tile,
        logits: np.ndarray,
        parameters: np.ndarray,
        sums: np.ndarray,
        proof: bytes,
    ) -> None:
        """Commit one tile.

        Args:
            tile: which.
            logits: (rows, classes) float, finite and within float16.
            parameters: (rows, columns) float32; left out by a keyed store.
            sums: (9, 4 + F) float32, the sums of the views' moments.
            proof: SHA-256 of the exact part of the replay.

        Raises:
            RecordsError: logits that cannot be stored, or a disk that refuses.
        """
        check_range(logits, tile)
        stored = {"logits": self.coding.encode(logits), "augment": parameters}
        self.copy(tile, {**stored, "probe": probe.join(proof, sums)})

    def copy(self, tile: Tile, stored: dict[str, np.ndarray]) -> None:
        """Commit one tile as `stored` gives it: the content of each array, sealed anew."""
        *others, mark = self.arrays
        stored = {
            name: np.ascontiguousarray(stored[name], self.layouts[name].dtype)
            for name in self.arrays
        }
        if self.sealed:
            found = [self._seal(name, tile, stored[name]) for name in others]
            unsigned = probe.with_seals(stored[mark], found)
            stored[mark] = probe.with_seals(unsigned, [self._seal(mark, tile, unsigned)])
        try:
            for name in others:
                self._arrays[name][tile.rows] = stored[name]
            # The mark must not reach the disk before what it marks.
            self.location.settle(f"{name}/{tile.chunk}" for name in others)
            self._arrays[mark][tile.view, tile.number] = stored[mark]
            self.location.settle([f"{mark}/{tile.chunk}"])
            self._marks.pop(tile.view, None)
        except OSError as error:
            raise refusal("written", self.path, error) from error

    def note(self, tile: Tile, seconds: float, **more: Any) -> None:
        """Add a line about a tile to the sidecar."""
        line = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
            "host": os.uname().nodename,
            "process": os.getpid(),
            "view": tile.view,
            "tile": tile.number,
            "records": tile.stop - tile.start,
            "seconds": round(seconds, 3),
            **more,
        }
        self.add_note(line)

    def add_note(self, line: dict[str, Any]) -> None:
        """Add a line to the sidecar."""
        line = checked(line, self.attributes[DIGEST]) if self.sealed else line
        self.location.note(json.dumps(line))

    def notes(self) -> list[dict[str, Any]]:
        """The lines of the sidecar; those that do not hold are passed over."""
        return self.read_notes()[0]

    def read_notes(self) -> tuple[list[dict[str, Any]], int]:
        """The lines of the sidecar, and how many do not hold; a killed writer may leave one."""
        below = [f"provenance/{name}" for name in self.location.files("provenance")]
        names = [SIDECAR, *below] if self.location.has(SIDECAR) else below
        with ThreadPoolExecutor(16) as pool:
            contents = list(pool.map(self.location.read, names))
        return read_notes(b"\n".join(contents), self.attributes[DIGEST] if self.sealed else None)

    def unnoted(self) -> int:
        """How many recorded tiles have no line: their recorder was killed before it, or it is lost.

        A store that `subset` made has none.
        """
        noted = {(note["view"], note["tile"]) for note in self.notes()}
        return sum((tile.view, tile.number) not in noted for tile in self.recorded_tiles())

    def logits(self, view: int, rows: np.ndarray | None = None) -> np.ndarray:
        """(rows, classes) float32: the teacher's logits for one view, or some sorted rows of it."""
        return self._read_view("logits", view, rows, self.coding.decode, self.tile_logits)

    def tile_logits(self, tile: Tile) -> np.ndarray:
        """(tile's rows, classes) float32: the teacher's logits for one tile."""
        stored = self._stored("logits", tile)
        logits = self._finite("logits", tile, self.coding.decode(stored))
        self._check_seal("logits", tile, stored)
        return logits

    def parameters(self, view: int, rows: np.ndarray | None = None) -> np.ndarray:
        """(rows, columns) float32: the augmentation of one view, or of some sorted rows of it."""
        return self._read_view("augment", view, rows, np.asarray, self.tile_parameters)

    def tile_parameters(self, tile: Tile) -> np.ndarray:
        """(tile's rows, columns) float32: the augmentation parameters of one tile."""
        if not self.columns:
            return np.empty((tile.stop - tile.start, 0), np.float32)
        if self.keyed:
            return self.drawn_parameters(tile)
        stored = self._finite("augment", tile, self._stored("augment", tile))
        self._check_seal("augment", tile, stored)
        return stored

    def drawn_parameters(self, tile: Tile) -> np.ndarray:
        """(tile's rows, columns) float32: the same, drawn again from their key."""
        pipeline = Pipeline.restore(self.attributes["augment"])
        return pipeline.sample(tile.view, torch.from_numpy(self.shapes[tile.rows[1]])).numpy()

    def stored(self, tile: Tile) -> dict[str, np.ndarray]:
        """The content of each array for a tile without its seals, for `copy`."""
        self.check(tile)
        *others, mark = self.arrays
        content = {name: self._stored(name, tile) for name in others}
        return content | {mark: self._stored(mark, tile)[: self._unsealed]}

    def check(self, tile: Tile) -> None:
        """Read a tile from end to end.

        Raises:
            RecordsError: it is damaged, a part of it is missing, or it is not recorded.
        """
        self.probe(tile)
        self.tile_logits(tile)
        self.tile_parameters(tile)

    def probe(self, tile: Tile) -> tuple[bytes, np.ndarray]:
        """The proof of replay of a tile, and its moment sums (9, 4 + F)."""
        return probe.split(self._probe(tile)[: self._unsealed])

    def bytes_on_disk(self) -> int:
        """Size of all files."""
        return self.location.size()

    def _read_view(
        self,
        name: str,
        view: int,
        rows: np.ndarray | None,
        decode: Callable[[np.ndarray], np.ndarray],
        read: Callable[[Tile], np.ndarray],
    ) -> np.ndarray:
        numbers = np.arange(self.layouts["probe"].shape[1])
        if rows is not None:
            numbers = np.unique(rows // self.attributes["tile"])
        tiles = [self.tile(view, int(number)) for number in numbers] or [self.tile(view, 0)]
        there = np.concatenate([np.arange(each.start, each.stop) for each in tiles])
        places = slice(None) if rows is None else np.searchsorted(there, rows)
        if name in self._arrays:
            with suppress(OSError, RuntimeError, ValueError):
                array = self._arrays[name]
                whole = len(there) == self.rows
                stored = np.asarray(array[view] if whole else array.oindex[view, there])
                values = decode(stored[places])
                if np.isfinite(values).all() and self._agree(name, tiles, stored):
                    return values
        # Tile by tile, which names the one that is wrong.
        return np.concatenate([read(tile) for tile in tiles])[places]

    def _agree(self, name: str, tiles: list[Tile], stored: np.ndarray) -> bool:
        """Whether chunks of some tiles of a view, in a row, are those that their probes seal."""
        if not self.sealed:
            return True
        view, stored = tiles[0].view, np.ascontiguousarray(stored)
        probes = self._marks.get(view)
        if probes is None:
            probes = self._kept(view, np.asarray(self._arrays["probe"][view]))
        place, start = self._place(name), 0
        for tile in tiles:
            stop = start + tile.stop - tile.start
            mark = probes[tile.number, place].tobytes()
            if mark != self._seal(name, tile, stored[start:stop]):
                return False
            start = stop
        return True

    def _kept(self, view: int, probes: np.ndarray) -> np.ndarray:
        """The probes of a view, kept while they are few; old ones cost a second look at most."""
        if (len(self._marks) + 1) * probes.nbytes <= MARKS:
            self._marks[view] = probes
        return probes

    @property
    def _unsealed(self) -> int:
        """Bytes of a probe before its seals."""
        length = self.layouts["probe"].shape[2]
        return int(length - seals.LENGTH * len(self.arrays) * self.sealed)

    def _place(self, name: str) -> slice:
        """Where the seal of an array is in a probe."""
        start = self._unsealed + seals.LENGTH * self.arrays.index(name)
        return slice(start, start + seals.LENGTH)

    def _seal(self, name: str, tile: Tile, values: np.ndarray) -> bytes:
        return seals.seal(self.attributes[DIGEST], f"{name}/{tile.chunk}", values)

    def _check_seal(self, name: str, tile: Tile, values: np.ndarray) -> None:
        if not self.sealed:
            return
        mark = self._probe(tile)[self._place(name)].tobytes()
        if mark != self._seal(name, tile, np.ascontiguousarray(values)):
            raise self._misplaced(name, tile)

    def _check_probe(self, tile: Tile, mark: np.ndarray) -> None:
        if self.sealed:
            own = self._place("probe")
            if mark[own].tobytes() != self._seal("probe", tile, mark[: own.start]):
                raise self._misplaced("probe", tile)

    def _misplaced(self, name: str, tile: Tile) -> RecordsError:
        what = f"is not what was recorded there (array {name}, file {tile.chunk}, by its seal)"
        return RecordsError(what, where=self.where(tile), fix=self.remedy)

    def _probe(self, tile: Tile) -> np.ndarray:
        """The probe of a recorded tile, with its seals."""
        mark = self._stored("probe", tile)
        if not np.any(mark != ABSENT):
            raise self._unrecorded(tile)
        self._check_probe(tile, mark)
        return mark

    def _stored(self, name: str, tile: Tile) -> np.ndarray:
        where = (tile.view, tile.number) if name == "probe" else tile.rows
        values: np.ndarray = self._read(name, where, tile)
        return values

    def _finite(self, name: str, tile: Tile, values: np.ndarray) -> np.ndarray:
        if not np.isfinite(values).all():
            if not self.recorded(tile):
                raise self._unrecorded(tile)
            what = f"lacks array {name} (file {tile.chunk})"
            raise RecordsError(what, where=self.where(tile), fix=self.remedy)
        return values

    def where(self, tile: Tile) -> str:
        """What a message calls a tile of this store."""
        return f"{self.path}: {tile}"

    def _unrecorded(self, tile: Tile) -> RecordsError:
        fix = "run the same `pointstill record` again, as the recording is unfinished"
        return RecordsError("is not recorded", where=self.where(tile), fix=fix)

    @property
    def remedy(self) -> str:
        """What mends damage."""
        return f"run `pointstill records repair {self.path}` with its teacher and data"

    def _read(self, name: str, where: Any, tile: Tile | None = None) -> Any:
        try:
            return np.asarray(self._arrays[name][where])
        except PermissionError as error:
            path = error.filename or f"{self.path}/{name}"
            raise files.forbidden(path, error, RecordsError) from error
        except (OSError, RuntimeError, ValueError) as error:
            tile = tile or self._first_bad(name)
            file = f"file {tile.chunk}" if tile else "a file"
            raise RecordsError(
                f"cannot be read (array {name}, {file}: {one_line(error)})",
                where=self.where(tile) if tile else self.path,
                fix=self.remedy,
            ) from error

    def _first_bad(self, name: str) -> Tile | None:
        for tile in self.tiles():
            try:
                _ = self._arrays[name][tile.view, tile.number]
            except (OSError, RuntimeError, ValueError):
                return tile
        return None
