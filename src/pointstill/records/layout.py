"""The layout of a record store: its format, its tiles and its arrays."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import zarr
from zarr.codecs import Crc32cCodec

from .._version import __version__
from ..errors import RecordsError
from ..points.features import XYZ, Features, width
from ..storage.documents import parse_json
from . import codec, probe
from .attributes import DIGEST, digest

FORMAT = "pointstill-records/3"
UNSEALED = "pointstill-records/2"
"""The format before: its chunks have a CRC each, and nothing says which is which."""
TILE = 256
"""Most shapes in a tile of a new store. A store keeps the length it was made with."""
MOST_TILES = 10_000_000
"""Of a store; 2.5 billion records."""
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


class Layout(NamedTuple):
    """How an array is laid out."""

    dtype: str
    shape: tuple[int, ...]
    chunks: tuple[int, ...]
    dimensions: tuple[str, ...]

    @property
    def fill(self) -> Any:
        """What a missing chunk reads as.

        It must not pass for data: floats read as NaN, bytes as 255, which is NaN to every codec
        and "not recorded" to a probe. No chunk that is written equals these.
        """
        return {"<f2": np.nan, "<f4": np.nan, "|u1": ABSENT}.get(self.dtype, -1)

    @property
    def header(self) -> dict[str, Any]:
        """What of its zarr.json decides how it is read."""
        dtype = np.dtype(self.dtype)
        little = {"configuration": {"endian": "little"}} if dtype.itemsize > 1 else {}
        fill = self.fill
        return {
            "zarr_format": 3,
            "node_type": "array",
            "shape": list(self.shape),
            "data_type": dtype.name,
            "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": list(self.chunks)}},
            "chunk_key_encoding": {"name": "default", "configuration": {"separator": "."}},
            "fill_value": "NaN" if fill != fill else fill,
            "codecs": [{"name": "bytes", **little}, {"name": "crc32c"}],
            "storage_transformers": [],
        }

    @property
    def nbytes(self) -> int:
        """Size of the file of a chunk, with its checksum."""
        return int(np.prod(self.chunks)) * np.dtype(self.dtype).itemsize + 4


def layouts(attributes: dict[str, Any], views: int, rows: int) -> dict[str, Layout]:
    """The arrays of a store, those with a chunk a tile first, in the order of writing."""
    coding = codec.parse(attributes["codec"]["name"], len(attributes["classes"]))
    tile, columns = attributes["tile"], len(attributes["columns"])
    last = "class" if coding.name == "float16" else "byte"
    stored = {"logits": (coding.codec.dtype, coding.width, last)}
    if columns and not attributes["keyed"]:
        stored["augment"] = ("<f4", columns, "column")
    found = {
        name: Layout(dtype, (views, rows, wide), (1, tile, wide), ("view", "shape", what))
        for name, (dtype, wide, what) in stored.items()
    }
    seals = len(found) + 1 if attributes["format"] == FORMAT else 0
    length = probe.length(width(recorded_features(attributes)) - 3, seals)
    shape = (views, -(-rows // tile), length)
    found["probe"] = Layout("|u1", shape, (1, 1, length), ("view", "tile", "byte"))
    whole = Layout("<i4", (rows,), (rows,), ("shape",))
    return found | {"shapes": whole, "labels": whole}


def check_rows(shapes: np.ndarray, labels: np.ndarray, classes: int) -> None:
    """See that shapes (S,) rise, and that labels (S,) are classes, or -1 for none.

    Raises:
        ValueError: they do not.
    """
    if shapes[0] < 0 or (np.diff(shapes) <= 0).any():
        raise ValueError("its shapes are not in order")
    if labels.min() < -1 or labels.max() >= classes:
        raise ValueError(f"its labels are not of {classes} classes")


def lay_out(
    path: Path, attributes: dict[str, Any], views: int, shapes: np.ndarray, labels: np.ndarray
) -> None:
    """Make the group in an empty folder, its empty arrays, and the two full from the start.

    The format is the newest, unless the attributes name another.
    """
    tile = tile_length(len(shapes))
    about = {"format": FORMAT, "pointstill": __version__, "tile": tile, **attributes}
    if about["format"] == FORMAT:
        about[DIGEST] = digest(about, shapes, labels)
    group = zarr.create_group(path, attributes=about)
    for name, layout in layouts(about, views, len(shapes)).items():
        group.create_array(
            name,
            shape=layout.shape,
            dtype=np.dtype(layout.dtype),
            chunks=layout.chunks,
            fill_value=layout.fill,
            # Plain little-endian numbers and four bytes of CRC-32C: see docs/records.md for the
            # figures against zstd.
            compressors=Crc32cCodec(),
            chunk_key_encoding={"name": "default", "separator": "."},
            dimension_names=layout.dimensions,
        )
    # Labels that are all -1 are what Zarr would take for nothing to write.
    with zarr.config.set({"array.write_empty_chunks": True}):
        group["shapes"][:], group["labels"][:] = shapes, labels  # type: ignore[index]


def lengthened(header: bytes, views: int) -> bytes:
    """The header of an array (view, ...) with another number of views, written as Zarr writes it.

    Chunks are one view long, so that nothing else changes.
    """
    content = parse_json(header)
    content["shape"][0] = views
    return json.dumps(content, indent=2).encode()


def check_layout(attributes: dict[str, Any], files: dict[str, bytes]) -> None:
    """See that the headers of all arrays are those of a store with these attributes.

    What they announce is bounded by that before Zarr believes it.

    Args:
        attributes: of the store, checked against their schema.
        files: header files, and `shapes/c.0`, by name.

    Raises:
        LookupError: a header is missing.
        ValueError: names the one that is wrong.
    """
    headers = {name: parse_json(content) for name, content in files.items() if "json" in name}
    views, rows = headers["logits/zarr.json"]["shape"][0], headers["shapes/zarr.json"]["shape"][0]
    if not (type(views) is type(rows) is int and views >= 1 and rows >= 1):
        raise ValueError(f"{views} views of {rows} shapes")
    if len(files["shapes/c.0"]) != 4 * rows + 4 or len(files["labels/c.0"]) != 4 * rows + 4:
        raise ValueError(f"shapes or labels are not of {rows:,} shapes")
    if views * -(-rows // attributes["tile"]) > MOST_TILES:
        raise ValueError(f"more than {MOST_TILES:,} tiles")
    for name, layout in layouts(attributes, views, rows).items():
        found = headers[f"{name}/zarr.json"]
        for entry, wanted in layout.header.items():
            if found.get(entry, [] if entry == "storage_transformers" else None) != wanted:
                raise ValueError(f"{name}/zarr.json has another {entry} than such a store")


def check_format(path: Path | str, attributes: dict[str, Any]) -> None:
    """Refuse a store of an older or newer format than this one and the one before.

    Raises:
        RecordsError: the formats, and what to install or do.
    """
    found, maker = str(attributes.get("format")), attributes.get("pointstill", "of another version")
    if found in (UNSEALED, FORMAT):
        return
    name, _, number = found.rpartition("/")
    newer = name == FORMAT.rpartition("/")[0] and number.isdecimal()
    newer = newer and int(number[:9]) > int(FORMAT.rpartition("/")[2])
    fix = f"install the pointstill that made it ({maker})"
    raise RecordsError(
        f"has format {found[:60]}, and this pointstill ({__version__}) reads {UNSEALED} and "
        f"{FORMAT}",
        where=path,
        fix=f"{fix}, or a later one" if newer else f"record again, or {fix}",
    )
