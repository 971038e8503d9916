"""Reference outputs, where the research data is."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from published import Reference


@pytest.fixture(scope="session")
def reference(shared: Path) -> Callable[[str], Reference]:
    def load(name: str) -> Reference:
        folder = shared / "reference"
        return Reference(
            json.loads((folder / f"{name}.json").read_text()),
            dict(np.load(folder / f"{name}.npz")),
            torch.from_numpy(np.load(folder / "input.npy")),
        )

    return load
