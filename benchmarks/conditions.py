"""What every file of results opens with: when, where and on what it was measured."""

import subprocess
import time
from typing import Any

import torch

from pointstill.evaluation.profiling import processor


def conditions(threads: int) -> dict[str, Any]:
    """Date, processor, threads, torch and commit."""
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=False
    ).stdout.strip()
    return {
        "date": time.strftime("%Y-%m-%d"),
        "processor": processor(),
        "threads": threads,
        "torch": torch.__version__,
        "commit": commit,
    }
