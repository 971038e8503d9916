"""What the small stores of the tests are made of."""

import numpy as np

VIEWS, ROWS, CLASSES, COLUMNS = 2, 10, 3, ("scale_x", "scale_y")
LABELS = np.arange(ROWS) % CLASSES
Content = tuple[np.ndarray, np.ndarray, np.ndarray, bytes]


def about(columns=COLUMNS, codec: str = "float16", **more) -> dict:
    """The attributes of a store of three classes."""
    names = [f"class {number}" for number in range(CLASSES)]
    head = {"classes": names, "columns": list(columns), "keyed": False, "batch": 2}
    return head | {"codec": {"name": codec}} | more
