"""A student and clouds for tests of `predict`, without torch."""

import io
from pathlib import Path
from types import SimpleNamespace

import pytest

STORED = Path(__file__).parents[2] / "stored" / "nwsd.onnx"


@pytest.fixture(scope="session")
def stored_student() -> Path:
    """An exported student of the classes ball, box and rod."""
    return STORED


@pytest.fixture
def clouds(make_solids, tmp_path, monkeypatch) -> Path:
    """Class folders of 4 clouds each, in the current folder."""
    monkeypatch.chdir(tmp_path)
    make_solids(tmp_path / "solids", each=4)
    return Path("solids")


@pytest.fixture
def standard_input(monkeypatch):
    """`standard_input(b"...")` puts bytes there."""

    def put(content: bytes) -> None:
        monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(content)))

    return put
