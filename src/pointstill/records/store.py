"""The record store: a Zarr v3 group of logits and augmentation parameters, committed tile by tile.

A *tile* is one view of a run of consecutive shapes. Its probe is written last and is the commit
mark: no probe, no tile. That is all the state that resuming needs.
"""

import json
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from zarr.codecs import ZstdCodec

from .. import __version__
from ..errors import RecordsError

FORMAT = "pointstill-records/1"
TILE = 256
"""Shapes in a tile of a new store. A store keeps the length it was made with."""
SIDECAR = "provenance.jsonl"
"""Who recorded which tile, when and how fast: beside the arrays, outside of any comparison."""


@dataclass(frozen=True)
class Tile:
    """One view of the rows `start` to `stop` of a store."""

    view: int
    number: int
    start: int
    stop: int

    @classmethod
    def first(cls, rows: int) -> "Tile":
        """The first tile of a new store of `rows` shapes."""
        return cls(0, 0, 0, min(TILE, rows))

    def __str__(self) -> str:
        return f"view {self.view}, shapes {self.start} to {self.stop - 1}"


class Store:
    """An open record store. Rows are recorded shapes; `shapes` gives their indices in the split."""

    def __init__(self, path: Path, group: zarr.Group):
        """Use `Store.create` or `Store.open`."""
        self.path = path
        self.attributes: dict[str, Any] = dict(group.attrs)
        self._arrays: dict[str, Any] = {
            name: group[name] for name in ("logits", "probe", "moments")
        }
        if self.columns:
            self._arrays["augment"] = group["augment"]
        self.shapes: np.ndarray = np.asarray(group["shapes"][:])  # type: ignore[index]
        if (self.shapes < 0).any():
            raise ValueError("a chunk file of array shapes is missing")
        self.views, self.rows, _ = self._arrays["logits"].shape

    @classmethod
    def create(
        cls, path: Path, attributes: dict[str, Any], views: int, shapes: np.ndarray, classes: int
    ) -> "Store":
        """Make an empty store, whole or not at all.

        Args:
            path: folder to make; must not exist.
            attributes: what the records are made from, and `columns`, the names of the parameters.
            views: augmentation draws of each shape.
            shapes: (S,) indices of the recorded shapes in the whole split.
            classes: logits of each record.

        Raises:
            RecordsError: the folder exists or cannot be written.
        """
        if path.exists():
            raise RecordsError(f"{path} exists and is no record store: choose another --out")
        rows, columns = len(shapes), attributes["columns"]
        tiles = -(-rows // TILE)
        draft = path.with_name(f".{path.name}.{os.getpid()}.draft")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            head = {"format": FORMAT, "pointstill": __version__, "tile": TILE, **attributes}
            group = zarr.create_group(draft, overwrite=True, attributes=head)
            _array(group, "logits", "float16", (views, rows, classes), ("view", "shape", "class"))
            if columns:
                names = ("view", "shape", "column")
                _array(group, "augment", "float32", (views, rows, len(columns)), names)
            _array(group, "moments", "float32", (views, rows, 4), ("view", "shape", "moment"))
            names = ("view", "tile", "byte")
            _array(group, "probe", "uint8", (views, tiles, 32), names, (1, 1, 32))
            _array(group, "shapes", "int64", (rows,), ("shape",), (rows,))
            group["shapes"][:] = shapes  # type: ignore[index]
            draft.rename(path)
        except OSError as error:
            shutil.rmtree(draft, ignore_errors=True)
            raise _failed("made", path, error) from error
        return cls.open(path)

    @classmethod
    def open(cls, path: Path | str) -> "Store":
        """Open a store.

        Raises:
            RecordsError: there is none, or its format is another.
        """
        path = Path(path)
        if not (path / "zarr.json").is_file():
            raise RecordsError(
                f"{path} is no record store (no zarr.json in it): give the path of one, or make "
                "one with `pointstill record` at a path that does not exist yet"
            )
        try:
            group = zarr.open_group(path, mode="r+")
            found = group.attrs.get("format")
            if found != FORMAT:
                raise RecordsError(
                    f"{path} has format {found}, this pointstill reads {FORMAT}: "
                    "record again, or install the pointstill that made it"
                )
            return cls(path, group)
        except (OSError, LookupError, ValueError, TypeError, AttributeError, RuntimeError) as error:
            raise RecordsError(
                f"{path} is damaged ({_one_line(error)}): record it again"
            ) from error

    @property
    def columns(self) -> list[str]:
        """Names of the recorded augmentation parameters."""
        return list(self.attributes["columns"])

    def tiles(self) -> Iterator[Tile]:
        """All tiles, view by view."""
        length = self.attributes["tile"]
        for view in range(self.views):
            for number, start in enumerate(range(0, self.rows, length)):
                yield Tile(view, number, start, min(start + length, self.rows))

    def committed(self) -> np.ndarray:
        """(views, tiles) bool: which tiles are recorded."""
        probes: np.ndarray = self._read("probe", ...)
        done: np.ndarray = np.any(probes, axis=2)
        return done

    def missing(self) -> list[Tile]:
        """The tiles still to record, in order."""
        done = self.committed()
        return [tile for tile in self.tiles() if not done[tile.view, tile.number]]

    def sweep(self) -> None:
        """Remove the unfinished files of a killed writer."""
        try:
            for leftover in self.path.rglob("*.partial"):
                leftover.unlink(missing_ok=True)
        except OSError as error:
            raise _failed("written", self.path, error) from error

    def write(
        self,
        tile: Tile,
        logits: np.ndarray,
        parameters: np.ndarray,
        moments: np.ndarray,
        proof: bytes,
    ) -> None:
        """Commit one tile.

        Args:
            tile: which.
            logits: (rows, classes) float, finite and within float16.
            parameters: (rows, columns) float32.
            moments: (rows, 4) float32, mean point and mean norm of each view.
            proof: SHA-256 of the exact part of the replay.

        Raises:
            RecordsError: logits that cannot be stored, or a disk that refuses.
        """
        check_range(logits, tile)
        rows = (tile.view, slice(tile.start, tile.stop))
        try:
            self._arrays["logits"][rows] = logits.astype(np.float16)
            if self.columns:
                self._arrays["augment"][rows] = parameters
            self._arrays["moments"][rows] = moments
            self._arrays["probe"][tile.view, tile.number] = np.frombuffer(proof, np.uint8)
        except OSError as error:
            raise _failed("written", self.path, error) from error

    def note(self, tile: Tile, seconds: float) -> None:
        """Add a line about a tile to the sidecar."""
        line = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
            "host": os.uname().nodename,
            "process": os.getpid(),
            "view": tile.view,
            "tile": tile.number,
            "records": tile.stop - tile.start,
            "seconds": round(seconds, 3),
        }
        try:
            with (self.path / SIDECAR).open("a") as sidecar:
                sidecar.write(json.dumps(line) + "\n")
        except OSError as error:
            raise _failed("written", self.path, error) from error

    def logits(self, view: int) -> np.ndarray:
        """(rows, classes) float32: the teacher's logits for one view."""
        return self._view("logits", view).astype(np.float32)

    def parameters(self, view: int) -> np.ndarray:
        """(rows, columns) float32: the augmentation parameters of one view."""
        if not self.columns:
            return np.empty((self.rows, 0), np.float32)
        return self._view("augment", view)

    def moments(self, tile: Tile) -> np.ndarray:
        """(rows, 4) float32: the moments of a tile's views."""
        moments: np.ndarray = self._read("moments", (tile.view, slice(tile.start, tile.stop)))
        return moments

    def proof(self, tile: Tile) -> bytes:
        """The proof of replay of a tile."""
        proof: bytes = self._read("probe", (tile.view, tile.number)).tobytes()
        return proof

    def bytes_on_disk(self) -> int:
        """Size of all files."""
        return sum(file.stat().st_size for file in self.path.rglob("*") if file.is_file())

    def _view(self, name: str, view: int) -> np.ndarray:
        values: np.ndarray = self._read(name, view)
        absent = ~np.isfinite(values).all(axis=1)
        if absent.any():
            raise RecordsError(
                f"{self.path}: array {name} holds nothing for view {view}, row {absent.argmax()}: "
                "the recording is unfinished, then run the same `pointstill record` again; or a "
                "chunk file is missing, then record into another --out"
            )
        return values

    def _read(self, name: str, where: Any) -> Any:
        try:
            return np.asarray(self._arrays[name][where])
        except (OSError, RuntimeError, ValueError) as error:
            raise RecordsError(
                f"{self.path}: array {name} cannot be read at {where} ({_one_line(error)}): "
                "restore the store from a copy, or record it again"
            ) from error


def check_range(logits: np.ndarray, tile: Tile) -> None:
    """Refuse logits that float16 cannot hold.

    Raises:
        RecordsError: NaN, infinite, or above 65,504 in size.
    """
    if not np.isfinite(logits).all():
        raise RecordsError(f"the teacher gave NaN or infinite logits in {tile}; check its weights")
    if (largest := float(np.abs(logits).max())) > float(np.finfo(np.float16).max):
        raise RecordsError(f"the teacher gave a logit of {largest:.3g} in {tile}: over float16")


def _array(
    group: zarr.Group,
    name: str,
    dtype: str,
    shape: tuple[int, ...],
    dimensions: tuple[str, ...],
    chunks: tuple[int, ...] | None = None,
) -> None:
    group.create_array(
        name,
        shape=shape,
        dtype=dtype,
        chunks=chunks or (1, min(TILE, shape[1]), shape[2]),
        # A missing chunk must not pass for data: floats read as NaN, a probe as "not recorded".
        # No chunk that is written equals these, so none is left out as empty.
        fill_value={"uint8": 0, "int64": -1}.get(dtype, float("nan")),
        compressors=ZstdCodec(level=3, checksum=True),
        dimension_names=dimensions,
    )


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]


def _failed(verb: str, path: Path, error: OSError) -> RecordsError:
    reason = error.strerror or str(error)
    return RecordsError(
        f"records at {path} cannot be {verb} ({reason}): free or allow space, then run the same "
        "command again; what is recorded stays"
    )
