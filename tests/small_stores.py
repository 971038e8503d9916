"""What the small stores of the tests are made of."""

from collections.abc import Callable

import numpy as np

from pointstill.records import Store, Tile

VIEWS, ROWS, CLASSES, COLUMNS = 2, 10, 3, ("scale_x", "scale_y")
LABELS = np.arange(ROWS) % CLASSES
Content = tuple[np.ndarray, np.ndarray, np.ndarray, bytes]


def about(columns=COLUMNS, codec: str = "float16", **more) -> dict:
    """The attributes of a store of three classes."""
    names = [f"class {number}" for number in range(CLASSES)]
    versions = {"normalize": {"version": 1}, "resample": {"version": 1}}
    return {
        "classes": names,
        "data": {"fingerprint": "da7a", "split": "train", "shapes": 3 * ROWS},
        "teacher": {"fingerprint": "f00d"},
        "teacher_spec": "toy",
        "augment": {"seed": 0, "split": "train", "operations": [], **versions},
        "columns": list(columns),
        "points": 16,
        "keyed": False,
        "batch": 2,
        "codec": {"name": codec, "records": 4, "kl_t1": 0.0, "kl_t4": 0.0, "argmax_flips": 0.0},
    } | more


def negate(values: np.ndarray) -> None:
    """Give all numbers the other sign, in place."""
    np.negative(values, values)


def forge(store: Store, tile: Tile, name: str, change: Callable[[np.ndarray], None]) -> None:
    """Change the content of a chunk, and rewrite each checksum and seal so that all agree."""
    content = {array: values.copy() for array, values in store.stored(tile).items()}
    change(content[name])
    store.copy(tile, content)
