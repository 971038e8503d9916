"""A store as one Parquet file, for pandas, DuckDB and the like: a row a record."""

import json
from pathlib import Path

import numpy as np

from ..errors import RecordsError, UsageError
from ..storage.files import whole
from ..storage.paths import here
from .store import Store


def export_parquet(store: Store, out: str | Path) -> Path:
    """Write view, shape, label, each parameter, and the logits (a list of float32) of every record.

    The store's attributes are in the file's metadata, under `pointstill`, as JSON. One row group a
    view.

    Raises:
        UsageError: pyarrow is not installed, or the file is not on this machine.
        RecordsError: the store is unfinished or damaged, or the file cannot be written.
    """
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        fix = "pip install 'pointstill[parquet]'"
        raise UsageError("Parquet needs pyarrow", fix=fix) from error
    path, classes = here(out, "out"), len(store.attributes["classes"])
    head = [("view", pa.int32()), ("shape", pa.int32()), ("label", pa.int32())]
    columns = [(name, pa.float32()) for name in store.columns]
    about = {"pointstill": json.dumps(store.attributes)}
    schema = pa.schema([*head, *columns, ("logits", pa.list_(pa.float32(), classes))], about)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole(path) as draft, pq.ParquetWriter(draft, schema) as writer:
            for view in range(store.views):
                logits = pa.array(store.logits(view).ravel())
                values = [
                    pa.array(np.full(store.rows, view, np.int32)),
                    pa.array(store.shapes.astype(np.int32)),
                    pa.array(store.labels.astype(np.int32)),
                    *(pa.array(column) for column in store.parameters(view).T.copy()),
                    pa.FixedSizeListArray.from_arrays(logits, classes),
                ]
                writer.write_table(pa.Table.from_arrays(values, schema=schema))
    except OSError as error:
        what = f"cannot be written ({error.strerror or error})"
        raise RecordsError(what, where=path, fix="choose another --parquet") from error
    return path
