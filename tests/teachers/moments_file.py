"""A kind of teacher's file that pointstill does not know: a linear layer on moments, in JSON."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from pointstill.teachers.file_kind import FileKind
from pointstill.teachers.network import Loaded


class MomentsNetwork:
    """Logits from the mean of the squares of each axis, in NumPy: (B, N, 3) -> (B, classes)."""

    device = torch.device("cpu")
    batch = points = nbytes = None
    layout, channels, counted = "bn3", 3, False

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.weight = np.array(json.loads(content)["weight"], np.float32)  # (classes, 3)

    @property
    def parameters(self) -> int:
        return self.weight.size

    def __call__(self, points: Tensor) -> Tensor:
        return torch.from_numpy(np.square(points.numpy()).mean(1) @ self.weight.T)

    def identity(self) -> Iterator[bytes]:
        yield self.content


def load(path: Path, device: torch.device, channels: int) -> Loaded:
    content = path.read_bytes()
    return Loaded(MomentsNetwork(content), classes=json.loads(content)["classes"])


MOMENTS = FileKind((".moments",), lambda path: path.suffix == ".moments", load)
