"""Files written on the spot."""

import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from pointstill.data.readers import read_cloud


@pytest.fixture
def read(tmp_path: Path) -> Callable[[str, str | bytes], np.ndarray]:
    """Write a file, by its name and content, and read it."""

    def write_and_read(name: str, content: str | bytes) -> np.ndarray:
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return read_cloud(path)

    return write_and_read


@pytest.fixture
def quiet(capfd: pytest.CaptureFixture, caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """See that nothing is printed, and nothing logged."""
    with caplog.at_level(logging.DEBUG):
        yield
    assert capfd.readouterr() == ("", "")
    assert not caplog.records
