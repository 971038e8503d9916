"""Seals: what binds the content of a chunk to its store, its array, its view and its tile.

A CRC says that a chunk is whole, not that it is the right one. The probe of a tile, written last,
ends with a seal of each chunk of the tile, and with one of its own.
"""

import hashlib

import numpy as np

LENGTH = 32


def seal(digest: str, name: str, values: np.ndarray) -> bytes:
    """SHA-256 of the store's digest, the chunk's name and its numbers.

    Args:
        digest: of the store's attributes, hex.
        name: array and chunk, such as `logits/c.1.0.0`.
        values: the numbers as they are stored, C-contiguous, without what pads a short tile.
    """
    found = hashlib.sha256(bytes.fromhex(digest) + name.encode() + b"\0")
    found.update(values.data)
    return found.digest()
