"""The record store: a Zarr v3 group of logits and augmentation parameters, committed tile by tile.

A *tile* is one view of a run of consecutive shapes. Its probe is written last and is the commit
mark: no probe, no tile. That is all the state that resuming needs.
"""

import json
import os
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
from ..errors import RecordsError, one_line
from ..points.features import Features
from ..storage import files
from . import codec, headers, probe
from .fingerprint import fingerprint
from .folder import Folder
from .folder_or_bucket import locate, no_store
from .layout import (
    ABSENT,
    Tile,
    check_format,
    check_range,
    lay_out,
    lengthened,
    recorded_features,
)
from .location import SIDECAR, Location, refusal


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
            lay_out(draft, attributes, views, shapes, labels)
            files.replace_file(draft / headers.BACKUP, headers.pack(headers.read(Folder(draft))))
            files.sync_tree(draft)
        return cls.open(path)

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
        if backup:
            headers.check(location)
        try:
            group = zarr.open_group(location.zarr(), mode="r+")
            check_format(path, dict(group.attrs))
            headers.check(location)
            return cls(location, group)
        except PermissionError as error:
            raise files.forbidden(error.filename or path, error, RecordsError) from error
        except (OSError, LookupError, ValueError, TypeError, AttributeError, RuntimeError) as error:
            fix = f"run `pointstill records repair {path}`"
            raise RecordsError(f"is damaged ({one_line(error)})", where=path, fix=fix) from error

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
        length = self.attributes["tile"]
        return [
            Tile(view, number, start, min(start + length, self.rows))
            for number, start in enumerate(range(0, self.rows, length))
        ]

    def recorded_tiles(self) -> set[Tile]:
        """The tiles that are recorded, those with an unreadable probe among them."""
        with suppress(RecordsError):
            done = self.committed()
            return {tile for tile in self.tiles() if done[tile.view, tile.number]}
        found = set()  # tile by tile, as one of the marks cannot be read
        for tile in self.tiles():
            try:
                if not self.recorded(tile):
                    continue
            except RecordsError:
                pass  # it was there; whoever reads it will say so
            found.add(tile)
        return found

    def committed(self) -> np.ndarray:
        """(views, tiles) bool: which tiles are recorded."""
        # View by view: all probes at once would be 184 bytes a tile, and a task of Zarr's for each.
        done = [np.any(self._read("probe", view) != ABSENT, axis=1) for view in range(self.views)]
        return np.array(done)

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
            except RecordsError:
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
        """Commit one tile as it is stored elsewhere: the content of each array."""
        *others, mark = self.arrays
        try:
            for name in others:
                self._arrays[name][tile.rows] = stored[name]
            # The mark must not reach the disk before what it marks.
            self.location.settle(f"{name}/{tile.chunk}" for name in others)
            self._arrays[mark][tile.view, tile.number] = stored[mark]
            self.location.settle([f"{mark}/{tile.chunk}"])
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
        self.location.note(json.dumps(line))

    def notes(self) -> list[dict[str, Any]]:
        """The lines of the sidecar; one that a killed writer left half is passed over."""
        files, lines = self.location.names("provenance"), []
        files = [SIDECAR, *files] if self.location.has(SIDECAR) else files
        with ThreadPoolExecutor(16) as pool:
            contents = list(pool.map(self.location.read, files))
        for line in b"\n".join(contents).decode("utf-8", "replace").splitlines():
            with suppress(ValueError):
                note = json.loads(line)
                if isinstance(note, dict) and {"view", "tile", "records", "seconds"} <= note.keys():
                    lines.append(note)
        return lines

    def logits(self, view: int, rows: np.ndarray | None = None) -> np.ndarray:
        """(rows, classes) float32: the teacher's logits for one view, or some sorted rows of it."""
        return self._read_view("logits", view, rows, self.coding.decode, self.tile_logits)

    def tile_logits(self, tile: Tile) -> np.ndarray:
        """(tile's rows, classes) float32: the teacher's logits for one tile."""
        return self._finite("logits", tile, self.coding.decode(self._stored("logits", tile)))

    def parameters(self, view: int, rows: np.ndarray | None = None) -> np.ndarray:
        """(rows, columns) float32: the augmentation of one view, or of some sorted rows of it."""
        return self._read_view("augment", view, rows, np.asarray, self.tile_parameters)

    def tile_parameters(self, tile: Tile) -> np.ndarray:
        """(tile's rows, columns) float32: the augmentation parameters of one tile."""
        if not self.columns:
            return np.empty((tile.stop - tile.start, 0), np.float32)
        if self.keyed:
            return self.drawn_parameters(tile)
        return self._finite("augment", tile, self._stored("augment", tile))

    def drawn_parameters(self, tile: Tile) -> np.ndarray:
        """(tile's rows, columns) float32: the same, drawn again from their key."""
        pipeline = Pipeline.restore(self.attributes["augment"])
        return pipeline.sample(tile.view, torch.from_numpy(self.shapes[tile.rows[1]])).numpy()

    def stored(self, tile: Tile) -> dict[str, np.ndarray]:
        """The content of each array for a tile, for `copy`."""
        self.check(tile)
        return {name: self._stored(name, tile) for name in self.arrays}

    def check(self, tile: Tile) -> None:
        """Read a tile from end to end.

        Raises:
            RecordsError: it is damaged, a part of it is missing, or it is not recorded.
        """
        if not self.recorded(tile):
            raise self._unrecorded(tile)
        self.tile_logits(tile)
        self.tile_parameters(tile)

    def probe(self, tile: Tile) -> tuple[bytes, np.ndarray]:
        """The proof of replay of a tile, and its moment sums (9, 4 + F)."""
        return probe.split(self._stored("probe", tile))

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
        if name in self._arrays:
            with suppress(OSError, RuntimeError, ValueError):
                array = self._arrays[name]
                stored = array[view] if rows is None else array.oindex[view, rows]
                values = decode(np.asarray(stored))
                if np.isfinite(values).all():
                    return values
        # Tile by tile, which names the one that is wrong.
        rows = np.arange(self.rows) if rows is None else rows
        found = []
        for tile in self.tiles_of(view):
            first, last = np.searchsorted(rows, (tile.start, tile.stop))
            if first < last:
                found.append(read(tile)[rows[first:last] - tile.start])
        return np.concatenate(found)

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
