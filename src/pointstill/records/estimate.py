"""What a recording will cost, before it is made."""

from typing import NamedTuple

from . import codec, probe
from .layout import TILE, tile_length

CHECKSUM = 4
"""Bytes of CRC-32C after each chunk."""
HEADS = 12_000
"""Bytes of headers and their spare, about, besides shapes and labels."""
BLOCK = 4096
"""Bytes that a file is rounded up to on a common disk."""


class Estimate(NamedTuple):
    """Sizes, in bytes."""

    records: int
    logits: int
    """Of one record."""
    parameters: int
    """Of one record; 0 if keyed."""
    total: int
    """Of all files, within a few per cent; exact for logits and parameters."""
    blocks: int
    """The same on a disk that gives whole blocks of 4,096 bytes to each file."""
    files: int
    chunk: int
    """Largest file."""

    def lines(self) -> list[str]:
        """As people read it."""
        from ..progress import size

        return [
            f"{self.records:,} records of {self.logits} B logits + {self.parameters} B parameters",
            f"{size(self.total)} in {self.files:,} files, {self.total / self.records:.1f} B a "
            f"record; {size(self.blocks)} on a disk of {BLOCK:,}-byte blocks",
            f"a tile is {TILE} shapes of one view at most, its largest file {size(self.chunk)}",
        ]


def estimate(
    shapes: int, views: int, classes: int, name: str, columns: int, keyed: bool, features: int = 0
) -> Estimate:
    """Sizes of a store of so many shapes, views, classes and parameter columns.

    With `features` numbers a point beside xyz, which are in the probes.

    >>> found = estimate(9843, 20, 40, "int8", 6, keyed=True)
    >>> found.logits, found.parameters, found.files
    (44, 0, 1571)
    """
    coding, length = codec.parse(name, classes), tile_length(shapes)
    tiles = views * -(-shapes // length)
    parameters = 0 if keyed else 4 * columns
    chunks = [coding.record_bytes * length, parameters * length, probe.length(features)]
    files = [chunk + CHECKSUM for chunk in chunks if chunk]
    heads = HEADS + 4 * 4 * shapes
    return Estimate(
        records=shapes * views,
        logits=coding.record_bytes,
        parameters=parameters,
        total=tiles * sum(files) + heads,
        blocks=tiles * sum(-(-file // BLOCK) * BLOCK for file in files) + heads,
        files=tiles * len(files) + 11,
        chunk=max(files),
    )
