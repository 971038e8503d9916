"""Views of nothing: what a student is to be unsure of, made from the views that it learns from.

Outlier exposure (Hendrycks, Mazeika, Dietterich, ICLR 2019) needs clouds of no class. Here they
come from the batch itself and from keyed draws, so that no other data are needed:

- mix: one half of a shape and the other half of one of another class, on two sides of a plane;
- scramble: the coordinates of a shape, each taken from another point: its extents without its form;
- fold: a random smooth sheet or body, a point of the plane or of space sent through a few waves;
- crush: a shape of which one or two directions, any ones, are pressed to a small part;
- bloat: a shape whose points are pushed outwards, from its middle or from a line through it;
- trim: a shape whose points, where they are beyond a small box that lies anyhow, are moved onto it.
"""

import math

import torch
from torch import Tensor

from ..points.features import XYZ, Features
from .key import Key, uniform
from .point_features import join_features, split_features

WAVES = 6
"""That a fold is the sum of."""
SHARES = {"mix": 0.3, "scramble": 0.1, "fold": 0.1, "crush": 0.15, "bloat": 0.2, "trim": 0.15}
"""Of each kind; what cannot be mixed is crushed."""
CRUSHED = 0.02, 0.3
"""What is left of a direction, from and to, log-uniform."""
BLOATED = 0.1, 0.6
"""Power that a distance is raised to, from and to, log-uniform."""
TRIMMED = 0.1, 0.5
"""Half of a side of the box, in unit-sphere radii, from and to, log-uniform."""


def outliers(
    points: Tensor,
    labels: Tensor,
    seed: int,
    epoch: int,
    shapes: Tensor,
    features: Features = XYZ,
) -> Tensor:
    """Make a view of nothing of each view of a batch.

    Args:
        points: (B, N, 3 + F) views, as the student sees them.
        labels: (B,) their classes; where that of both is unknown, or the same, nothing is mixed.
        seed: of the run.
        epoch: which names the draw, with the shape.
        shapes: (B,) indices in the whole split.
        features: what the numbers of a point are; other than xyz stay with their points.

    Returns:
        (B, N, 3 + F), centred and scaled into the unit sphere.
    """
    n = points.shape[1]
    lanes = [1, 1, 6, 3 * WAVES, WAVES, 3 * WAVES, 3 * n]
    u = uniform(Key(seed, "outliers", epoch, shapes, "outliers").bits(sum(lanes)))
    chosen, partner, few, turns, phase, weights, each = torch.split(u, lanes, dim=1)
    each = each.reshape(-1, n, 3)
    xyz, others = split_features(points, features)
    whose = _partners(partner[:, 0])
    different = (labels != labels[whose]) & (labels >= 0) & (labels[whose] >= 0)
    mixed, more = split_features(_mix(points, points[whose], few), features)
    waves = (turns.reshape(-1, 3, WAVES), phase[:, None], weights.reshape(-1, WAVES, 3))
    made = {
        "mix": mixed,
        "scramble": _scramble(xyz, each),
        "fold": _fold(each, few[:, 0] < 0.5, *waves),
        "crush": _crush(xyz, few),
        "bloat": _bloat(xyz, few),
        "trim": _trim(xyz, few),
    }
    ends = torch.tensor([*SHARES.values()], device=u.device).cumsum(0)[:-1]
    kind = torch.bucketize(chosen[:, 0].contiguous(), ends, right=True)
    kind = torch.where((kind == 0) & ~different, [*made].index("crush"), kind)
    rows = torch.arange(len(points), device=u.device)
    xyz = torch.stack([*made.values()])[kind, rows]
    mix = (kind == 0)[:, None, None]
    others = {name: torch.where(mix, more[name], values) for name, values in others.items()}
    xyz = xyz - xyz.mean(dim=1, keepdim=True)
    radius = torch.linalg.vector_norm(xyz, dim=2).amax(dim=1)[:, None, None]
    return join_features(xyz / radius.clamp(min=torch.finfo(xyz.dtype).tiny), others)


def _partners(u: Tensor) -> Tensor:
    """Another place of the batch for each (B,); in a batch of one, its own."""
    batch = len(u)
    step = 1 + (u * (batch - 1)).long().clamp(max=max(batch - 2, 0))
    return (torch.arange(batch, device=u.device) + step) % batch


def _mix(points: Tensor, other: Tensor, u: Tensor) -> Tensor:
    """Join the halves of two shapes (B, N, 3 + F) at a plane near their middle."""
    n, width = points.shape[1:]
    normal, offset = _direction(u)[:, None], 0.4 * (u[:, 2:3] - 0.5)
    near = (points[..., :3] * normal).sum(dim=2) >= offset
    far = (other[..., :3] * normal).sum(dim=2) < offset
    kept = torch.cat((near, far), dim=1)
    # Of what is kept N points at equal strides; copies where there is less.
    order = (~kept).int().argsort(dim=1, stable=True)
    count = kept.sum(dim=1, keepdim=True).clamp(min=1)
    places = order.gather(1, torch.arange(n, device=u.device) * count // n)
    return torch.cat((points, other), dim=1).gather(1, places[..., None].expand(-1, -1, width))


def _direction(u: Tensor) -> Tensor:
    """Unit vectors (B, 3), uniform over the sphere, of the first two of each row."""
    height, angle = 2 * u[:, :1] - 1, 2 * math.pi * u[:, 1:2]
    level = torch.sqrt(1 - height.square())
    return torch.cat((level * angle.cos(), level * angle.sin(), height), dim=1)


def _between(u: Tensor, bounds: tuple[float, float]) -> Tensor:
    """Log-uniform between two bounds."""
    return bounds[0] * (bounds[1] / bounds[0]) ** u


def _crush(xyz: Tensor, u: Tensor) -> Tensor:
    """Press a direction to a part of it; of every second shape all directions but this one."""
    along = _direction(u)[:, None]  # (B, 1, 3)
    height = (xyz * along).sum(dim=2, keepdim=True) * along
    left = _between(u[:, 2], CRUSHED)[:, None, None]
    flat = (u[:, 3] < 0.5)[:, None, None]
    return torch.where(flat, xyz - (1 - left) * height, left * xyz + (1 - left) * height)


def _bloat(xyz: Tensor, u: Tensor) -> Tensor:
    """Raise distances from the middle, or from a line, which are 1 at most, to a power below 1.

    The line is an axis of the data, or any.
    """
    axis = torch.nn.functional.one_hot((u[:, 3] * 3).long(), 3).to(xyz)
    along = torch.where(u[:, 4:5] < 0.7, axis, _direction(u))[:, None]
    along = along * (u[:, 5] < 0.6)[:, None, None]  # no line: from the middle
    level = (xyz * along).sum(dim=2, keepdim=True) * along
    radius = torch.linalg.vector_norm(xyz - level, dim=2, keepdim=True).clamp(min=1e-6)
    power = _between(u[:, 2], BLOATED)[:, None, None]
    pushed: Tensor = level + (xyz - level) * radius.pow(power - 1)
    return pushed


def _trim(xyz: Tensor, u: Tensor) -> Tensor:
    """Move what is beyond a box onto its faces; the box is level in half of the shapes."""
    along = _direction(u)
    axis = torch.nn.functional.one_hot((u[:, 2] * 3).long(), 3).to(xyz)
    along = torch.where(u[:, 2:3] * 6 % 2 < 1, axis, along)
    # A reflection that swaps the axis x and the direction: a frame whose first axis is that.
    normal = along - along.new_tensor([1.0, 0.0, 0.0])
    length = normal.square().sum(dim=1)[:, None, None].clamp(min=1e-12)
    mirror = torch.eye(3, device=u.device) - 2 * normal[:, :, None] * normal[:, None] / length
    half = _between(u[:, 3:6], TRIMMED)[:, None]
    return (xyz @ mirror).clamp(-half, half) @ mirror


def _scramble(xyz: Tensor, u: Tensor) -> Tensor:
    """Take each coordinate of a point from another point."""
    return xyz.gather(1, u.argsort(dim=1, stable=True))


def _fold(u: Tensor, flat: Tensor, turns: Tensor, phase: Tensor, weights: Tensor) -> Tensor:
    """Send points (B, N, 3) of the unit cube, or of its floor where `flat`, through waves.

    Args:
        u: the points.
        flat: (B,) whether their third coordinate is left out.
        turns: (B, 3, W) of each wave along each side of the cube: up to 1.5 either way.
        phase: (B, 1, W).
        weights: (B, W, 3) of the waves in each coordinate.
    """
    floor = torch.stack((u[..., 0], u[..., 1], torch.zeros_like(u[..., 2])), dim=2)
    cube = torch.where(flat[:, None, None], floor, u)
    angle = 2 * math.pi * (cube @ (3 * (turns - 0.5)) + phase)
    return angle.sin() @ (weights - 0.5)
