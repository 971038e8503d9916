"""Fixtures for all tests."""

import os
import warnings
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of research data and weights; tests that need it skip, loudly, without it."""
    default = Path(__file__).resolve().parents[2] / "shared"
    folder = Path(os.environ.get("POINTSTILL_SHARED", default))
    if not folder.is_dir():
        reason = f"research data not found at {folder}: set POINTSTILL_SHARED to test with it"
        warnings.warn(reason, stacklevel=1)
        pytest.skip(reason)
    return folder
