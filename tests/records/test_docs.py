"""The reader of docs/records.md reads what the store wrote."""

import re
from pathlib import Path

import numpy as np
import pytest

from pointstill.records import Store
from small_stores import LABELS, about

PAGE = Path(__file__).parents[2] / "docs" / "records.md"


@pytest.mark.parametrize("codec", ["float16", "int8", "topk:2"])
def test_the_reader_on_the_page(tmp_path, content, codec):
    (source,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    reader: dict = {}
    exec(source, reader)
    assert reader["crc32c"](b"123456789") == 0xE3069283  # the check value of CRC-32C
    store = Store.create(tmp_path / "r.zarr", about(codec=codec), 2, np.arange(10), LABELS)
    for tile in store.tiles():
        store.write(tile, *content(tile))
    for view in range(2):
        np.testing.assert_array_equal(reader["logits"](store.path, view), store.logits(view))
        for tile in range(3):
            assert all(reader["sealed"](store.path, name, view, tile) for name in store.arrays)
    (store.path / "logits/c.0.0.0").write_bytes((store.path / "logits/c.1.0.0").read_bytes())
    assert not reader["sealed"](store.path, "logits", 0, 0)
    file = store.path / "logits/c.1.1.0"
    file.write_bytes(bytes([file.read_bytes()[0] ^ 8]) + file.read_bytes()[1:])
    with pytest.raises(AssertionError, match=r"c\.1\.1\.0 is damaged"):
        reader["logits"](store.path, 1)
