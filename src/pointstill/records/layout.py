"""The layout of a record store: its format, its tiles and its arrays."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from zarr.codecs import Crc32cCodec

from .._version import __version__
from ..errors import RecordsError
from ..points.features import XYZ, Features, width
from . import codec, probe

FORMAT = "pointstill-records/2"
TILE = 256
"""Most shapes in a tile of a new store. A store keeps the length it was made with."""
ABSENT = 255
"""Fill of byte arrays. No record and no probe consists of it alone, and as float16 it is NaN."""


@dataclass(frozen=True, order=True)
class Tile:
    """One view of the rows `start` to `stop` of a store."""

    view: int
    number: int
    start: int
    stop: int

    @classmethod
    def first(cls, rows: int) -> "Tile":
        """The first tile of a new store of `rows` shapes."""
        return cls(0, 0, 0, min(tile_length(rows), rows))

    def __str__(self) -> str:
        return f"view {self.view}, shapes {self.start} to {self.stop - 1}"

    @property
    def rows(self) -> tuple[int, slice]:
        """Where it is in an array (view, shape, ...)."""
        return self.view, slice(self.start, self.stop)

    @property
    def chunk(self) -> str:
        """Name of its file in each array."""
        return f"c.{self.view}.{self.number}.0"


def tile_length(rows: int) -> int:
    """Shapes in a tile of a new store: nearly equal tiles, as a chunk is stored to its full length.

    >>> tile_length(48), tile_length(256), tile_length(9843)
    (48, 256, 253)
    """
    return -(-rows // -(-rows // TILE))


def recorded_features(attributes: dict[str, Any]) -> Features:
    """What a point of a view had for the teacher; a store of xyz alone does not say."""
    return tuple(attributes["features"]["names"]) if "features" in attributes else XYZ


def check_range(logits: np.ndarray, tile: Tile) -> None:
    """Refuse logits that float16 cannot hold.

    Raises:
        RecordsError: NaN, infinite, or above 65,504 in size.
    """
    if not np.isfinite(logits).all():
        what = f"the teacher gave NaN or infinite logits in {tile}"
        raise RecordsError(what, fix="check its weights")
    if (largest := float(np.abs(logits).max())) > float(np.finfo(np.float16).max):
        what = f"the teacher gave a logit of {largest:.3g} in {tile}, which float16 cannot hold"
        raise RecordsError(what, fix="scale its logits")


def lay_out(
    path: Path, attributes: dict[str, Any], views: int, shapes: np.ndarray, labels: np.ndarray
) -> None:
    """Make the group, its empty arrays, and the two that are full from the start."""
    coding = codec.parse(attributes["codec"]["name"], len(attributes["classes"]))
    rows, columns, tile = len(shapes), attributes["columns"], tile_length(len(shapes))
    about = {"format": FORMAT, "pointstill": __version__, "tile": tile, **attributes}
    group = zarr.create_group(path, overwrite=True, attributes=about)
    names = ("view", "shape", "class" if coding.name == "float16" else "byte")
    shape, chunks = (views, rows, coding.width), (1, tile, coding.width)
    _array(group, "logits", coding.codec.dtype, shape, names, chunks)
    if columns and not attributes["keyed"]:
        shape, chunks = (views, rows, len(columns)), (1, tile, len(columns))
        _array(group, "augment", "<f4", shape, ("view", "shape", "column"), chunks)
    length = probe.length(width(recorded_features(attributes)) - 3)
    shape, chunks = (views, -(-rows // tile), length), (1, 1, length)
    _array(group, "probe", "|u1", shape, ("view", "tile", "byte"), chunks)
    for name, dtype, values in (("shapes", "<i4", shapes), ("labels", "<i4", labels)):
        _array(group, name, dtype, (rows,), ("shape",), (rows,))
        group[name][:] = values  # type: ignore[index]


def lengthened(header: bytes, views: int) -> bytes:
    """The header of an array (view, ...) with another number of views, written as Zarr writes it.

    Chunks are one view long, so that nothing else changes.
    """
    content = json.loads(header)
    content["shape"][0] = views
    return json.dumps(content, indent=2).encode()


def _array(
    group: zarr.Group,
    name: str,
    dtype: str,
    shape: tuple[int, ...],
    dimensions: tuple[str, ...],
    chunks: tuple[int, ...],
) -> None:
    # A missing chunk must not pass for data: floats read as NaN, bytes as 255, which is NaN to
    # every codec and "not recorded" to a probe. No chunk that is written equals these.
    fill = {"<f2": np.nan, "<f4": np.nan, "|u1": ABSENT}.get(dtype, -1)
    group.create_array(
        name,
        shape=shape,
        dtype=np.dtype(dtype),
        chunks=chunks,
        fill_value=fill,
        # Plain little-endian numbers and four bytes of CRC-32C: see docs/records.md for the figures
        # against zstd.
        compressors=Crc32cCodec(),
        chunk_key_encoding={"name": "default", "separator": "."},
        dimension_names=dimensions,
    )


def check_format(path: Path | str, attributes: dict[str, Any]) -> None:
    """Refuse a store of an older or newer format.

    Raises:
        RecordsError: both formats, and what to install or do.
    """
    found, maker = str(attributes.get("format")), attributes.get("pointstill", "of another version")
    if found == FORMAT:
        return
    name, _, number = found.rpartition("/")
    newer = name == FORMAT.rpartition("/")[0] and number.isdecimal()
    newer = newer and int(number) > int(FORMAT.rpartition("/")[2])
    fix = f"install the pointstill that made it ({maker})"
    raise RecordsError(
        f"has format {found}, and this pointstill ({__version__}) reads {FORMAT}",
        where=path,
        fix=f"{fix}, or a later one" if newer else f"record again, or {fix}",
    )
