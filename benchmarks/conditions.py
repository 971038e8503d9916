"""What every file of results opens with: when, where and on what it was measured."""

import subprocess
from typing import Any

from pointstill.evaluation.profiling import surroundings


def conditions(threads: int) -> dict[str, Any]:
    """Date, processor, threads, versions and commit."""
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=False
    ).stdout.strip()
    return surroundings(threads) | {"commit": commit}
