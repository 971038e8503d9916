"""NPY and NPZ: arrays of NumPy."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import DataError


def read_npy(path: Path) -> NDArray[Any]:
    """The array of an NPY file."""
    return np.load(path, allow_pickle=False)  # type: ignore[no-any-return]


def read_npz(path: Path) -> NDArray[Any]:
    """The array named points, xyz or data of an NPZ archive, or its only one."""
    with np.load(path, allow_pickle=False) as arrays:
        for name in ("points", "xyz", "data"):
            if name in arrays:
                return arrays[name]  # type: ignore[no-any-return]
        if len(arrays.files) != 1:
            raise DataError(
                f"has arrays {', '.join(arrays.files) or 'of no name'}",
                fix="name one of them points, xyz or data",
            )
        return arrays[arrays.files[0]]  # type: ignore[no-any-return]
