"""The Parquet file against the store."""

import pytest

from pointstill.errors import RecordsError, UsageError
from pointstill.records.parquet import export_parquet


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
    assert b"pointstill-records/3" in table.schema.metadata[b"pointstill"]
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
