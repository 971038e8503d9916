"""Estimates against the files of stores, and the Parquet file against the store."""

import doctest

import numpy as np
import pytest

from pointstill.errors import RecordsError, UsageError
from pointstill.recording import job
from pointstill.records import Store, layout
from pointstill.records import estimate as estimating
from pointstill.records.estimate import estimate
from pointstill.records.parquet import export_parquet
from small_stores import about


@pytest.mark.parametrize(("codec", "keyed"), [("float16", False), ("int8", True)])
@pytest.mark.parametrize("rows", [10, 300])
def test_an_estimate_is_the_size_of_the_store(tmp_path, codec, keyed, rows):
    attributes = about("abcdef", codec, keyed=keyed, augment={"operations": []})
    store = Store.create(tmp_path / "r.zarr", attributes, 2, np.arange(rows), np.arange(rows) % 3)
    for tile in store.tiles():
        count = tile.stop - tile.start
        logits, parameters = np.zeros((count, 3)), np.zeros((count, 6))
        store.write(tile, logits, parameters, np.zeros((9, 4)), b"1" * 32)
    found = estimate(rows, 2, 3, codec, 6, keyed)
    assert (found.logits, found.parameters) == ((7, 0) if keyed else (6, 24))
    chunks = list(store.path.rglob("c.*.*.0"))
    heads = store.bytes_on_disk() - sum(f.stat().st_size for f in chunks) - 16 * rows
    assert found.total - store.bytes_on_disk() == 12_000 - heads
    assert 6_000 < heads < 14_000
    assert found.chunk == max(f.stat().st_size for f in chunks)
    assert found.records == 2 * rows


def test_parquet_has_every_record(tmp_path, full):
    pq = pytest.importorskip("pyarrow.parquet")
    table = pq.read_table(export_parquet(full, tmp_path / "r.parquet"))
    assert table.num_rows == 20
    for row in table.to_pylist():
        place = full.shapes.tolist().index(row["shape"])
        assert row["label"] == full.labels[place]
        assert row["logits"] == full.logits(row["view"])[place].tolist()
        parameters = full.parameters(row["view"])[place].tolist()
        assert [row["scale_x"], row["scale_y"]] == parameters
    assert b"pointstill-records/2" in table.schema.metadata[b"pointstill"]
    assert [file.name for file in tmp_path.glob("*parquet*")] == ["r.parquet"]


def test_parquet_where_no_file_can_be(tmp_path, full):
    pytest.importorskip("pyarrow.parquet")
    (tmp_path / "file").write_bytes(b"old")
    (tmp_path / "folder").mkdir()
    for out in (tmp_path / "file/r.parquet", tmp_path / "folder"):
        with pytest.raises(RecordsError, match=r"cannot be written .*: choose another --parquet"):
            export_parquet(full, out)
    assert (tmp_path / "file").read_bytes() == b"old"
    assert {path.name for path in tmp_path.iterdir()} == {full.path.name, "file", "folder"}


def test_parquet_says_what_is_missing(tmp_path, full, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(UsageError, match=r"pip install 'pointstill\[parquet\]'"):
        export_parquet(full, tmp_path / "r.parquet")


@pytest.mark.parametrize("module", [layout, estimating, job])
def test_the_examples_hold(monkeypatch, module):
    monkeypatch.setattr(layout, "TILE", 256)
    found = doctest.testmod(module)
    assert found.failed == 0
    assert found.attempted > 0
