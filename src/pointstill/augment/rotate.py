"""Turn a shape about the up axis, about a named one, or any way at all."""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ..errors import UsageError
from .axis import check_axis
from .key import uniform
from .point_features import PointFeatures, with_normal


@dataclass(frozen=True)
class Rotate:
    """A rotation about `axis`, or one uniform over all rotations.

    The record keeps three numbers in [0, 1), not angles: they are exact on every machine, and the
    matrix is made from them when the rotation is applied.
    """

    axis: str = "up"
    """x, y, z; up is that of the data; any is uniform over all rotations (Shoemake 1992)."""
    degrees: float = 180.0
    """Largest angle either way about the axis, in degrees; for any, always all."""

    name: ClassVar[str] = "rotate"
    version: ClassVar[int] = 1
    columns: ClassVar[tuple[str, ...]] = ("rotate_1", "rotate_2", "rotate_3")

    def __post_init__(self) -> None:
        if not 0 <= self.degrees <= 180:
            raise UsageError(f"has degrees={self.degrees}", where=self.name, fix="choose 0 to 180")
        check_axis(self.name, "axis", self.axis, "any")

    def lanes(self, points: int) -> int:
        """Draws a shape; about one axis only the first is used."""
        return 3

    def sample(self, bits: Tensor) -> Tensor:
        """(B, 3) words -> (B, 3) numbers in [0, 1)."""
        return uniform(bits)

    def apply(self, points: Tensor, parameters: Tensor) -> Tensor:
        """Rotate (B, N, 3) points."""
        matrix = self.matrix(parameters)  # (B, 3, 3)
        return torch.einsum("bij,bnj->bni", matrix, points)

    def alter_features(self, features: PointFeatures, parameters: Tensor, up: int) -> PointFeatures:
        """Turn the normals too; height stays that of the thing as it stood."""
        return with_normal(features, lambda normals: self.apply(normals, parameters))

    def matrix(self, parameters: Tensor) -> Tensor:
        """(B, 3) numbers in [0, 1) -> (B, 3, 3) rotation matrices."""
        if self.axis == "any":
            return _from_quaternion(_shoemake(parameters))
        half = (parameters[:, 0] * 2 - 1) * math.radians(self.degrees) / 2
        quaternion = torch.zeros(len(half), 4, device=half.device)
        quaternion[:, 0] = torch.cos(half)
        quaternion[:, 1 + "xyz".index(self.axis)] = torch.sin(half)
        return _from_quaternion(quaternion)


def _shoemake(u: Tensor) -> Tensor:
    """(B, 3) uniforms -> (B, 4) quaternions w, x, y, z, uniform over rotations.

    K. Shoemake, *Uniform random rotations*, Graphics Gems III, 1992.
    """
    low, high = torch.sqrt(1 - u[:, 0]), torch.sqrt(u[:, 0])
    a, b = 2 * math.pi * u[:, 1], 2 * math.pi * u[:, 2]
    return torch.stack((high * b.cos(), low * a.sin(), low * a.cos(), high * b.sin()), dim=1)


def _from_quaternion(quaternion: Tensor) -> Tensor:
    """(B, 4) unit quaternions w, x, y, z -> (B, 3, 3) matrices that turn column vectors."""
    w, x, y, z = quaternion.unbind(1)
    rows = (
        (1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)),
        (2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)),
        (2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)),
    )
    return torch.stack([torch.stack(row, dim=1) for row in rows], dim=1)
