"""Draw `primitives.png`: each class as a solid, and as the depth camera sees two more of it.

Run from the repository's root: `python docs/primitives_sheet.py`.
"""

from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from numpy.typing import NDArray

from pointstill.data.keyed_draws import uniforms
from pointstill.data.primitives import Primitives, draw_object
from pointstill.data.primitives.arithmetic import rotate
from pointstill.data.primitives.classes import CLASSES
from pointstill.data.primitives.sensor import Shot
from pointstill.data.primitives.solids import triangles

Array = NDArray[np.float64]

SOURCE = Primitives()
COLUMNS = 2  # classes side by side
ELEVATION = 0.06  # of the onlooker, in turns
BESIDE = 0.09  # how far the onlooker stands beside the depth camera, in turns
INK, PAPER, GHOST = "#22303c", "#ffffff", "#e6eaee"
LIGHT = np.array([-0.45, -0.6, 0.66])


def onlooker(points: Array, azimuth: float) -> Array:
    """Turn points so that x is to the right, z up and y away, for an onlooker at an azimuth."""
    return rotate(rotate(points, -0.25 - azimuth), ELEVATION, "x")


def finer(mesh: Array, longest: float) -> Array:
    """Halve the longest edges until none is longer: the painter's order then holds."""
    while True:
        edges = np.linalg.norm(mesh - np.roll(mesh, -1, axis=1), axis=2)
        long = edges.max(axis=1) > longest
        if not long.any():
            return mesh
        turned = np.stack(
            [np.roll(t, -e, axis=0) for t, e in zip(mesh[long], edges[long].argmax(1), strict=True)]
        )
        a, b, c = turned[:, 0], turned[:, 1], turned[:, 2]
        middle = (a + b) / 2
        halves = [np.stack([a, middle, c], axis=1), np.stack([middle, b, c], axis=1)]
        mesh = np.concatenate([mesh[~long], *halves])


def paint(axes: Axes, mesh: Array, colour: Array | None) -> None:
    """Draw a mesh as a shaded solid, or as a pale ghost when it has no colour."""
    if colour is not None:
        size = np.ptp(mesh.reshape(-1, 3), axis=0).max()
        mesh = finer(mesh, size / 14)
    normal = np.cross(mesh[:, 1] - mesh[:, 0], mesh[:, 2] - mesh[:, 0])
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-12)
    near = normal[:, 1] < 0
    mesh, normal = mesh[near], normal[near]
    order = np.argsort(-mesh[..., 1].mean(axis=1))
    mesh, normal = mesh[order], normal[order]
    if colour is None:
        faces: Array | str = GHOST
    else:
        shade = 0.5 + 0.5 * np.clip(normal @ (LIGHT / np.linalg.norm(LIGHT)), 0, 1)
        faces = 1 - (1 - colour) * np.ones((len(mesh), 1))
        faces = np.clip(faces * shade[:, None] + 0.12 * shade[:, None], 0, 1)
    axes.add_collection(
        PolyCollection(mesh[..., ::2], facecolors=faces, edgecolors=faces, linewidths=0.35)
    )


def fit_axes(axes: Axes, points: Array, caption: str) -> None:
    """Fit the picture to the points, all axes to one scale."""
    low, high = points[:, ::2].min(axis=0), points[:, ::2].max(axis=0)
    middle, half = (low + high) / 2, 0.54 * (high - low).max()
    axes.set(xlim=(middle[0] - half, middle[0] + half), ylim=(middle[1] - half, middle[1] + half))
    axes.set_aspect("equal")
    axes.axis("off")
    axes.text(0.5, -0.02, caption, transform=axes.transAxes, ha="center", va="top", fontsize=7.5,
              color=INK, alpha=0.75)  # fmt: skip


def variant_of(name: str, index: int) -> str:
    """Name of the variant of a training shape."""
    variants = CLASSES[name].variants
    choice = uniforms(f"{SOURCE.shape_key('train', name, index)}/object", 2)[1]
    return variants[int(choice * len(variants))]


def three(name: str) -> list[int]:
    """Training shapes of different variants, as far as there are any; seen by one camera."""
    variants, chosen = CLASSES[name].variants, []
    for number in range(3):
        wanted = variants[number % len(variants)]
        chosen.append(
            next(i for i in range(100) if i not in chosen and variant_of(name, i) == wanted)
        )
    return chosen


def main() -> None:
    """Write the picture."""
    figure = Figure(figsize=(11, 13.4), facecolor=PAPER)
    rows = len(CLASSES) // COLUMNS
    outer = figure.add_gridspec(rows, COLUMNS, left=0.02, right=0.98, top=0.945, bottom=0.02,
                                hspace=0.32, wspace=0.06)  # fmt: skip
    for number, name in enumerate(CLASSES):
        cell = outer[number % rows, number // rows].subgridspec(1, 3, wspace=0.02)
        hue = number * 7 % 16 / 16
        colour = matplotlib.colors.hsv_to_rgb((hue, 0.62, 0.78))
        for column, index in enumerate(three(name)):
            axes = figure.add_subplot(cell[column])
            key = SOURCE.shape_key("train", name, index)
            heading, solids = draw_object(name, key)
            mesh = triangles(solids)
            if column == 0:
                axes.set_title(name, loc="left", fontsize=12, fontweight="bold", color=INK, pad=2)
                mesh = onlooker(mesh, -0.16)
                paint(axes, mesh, colour)
                fit_axes(axes, mesh.reshape(-1, 3), variant_of(name, index))
                continue
            azimuth = Shot.sample(f"{key}/view/0").azimuth + BESIDE
            cloud = rotate(SOURCE.cloud("train", name, index).astype(np.float64), -heading)
            mesh, cloud = onlooker(mesh, azimuth), onlooker(cloud, azimuth)
            paint(axes, mesh, None)
            axes.scatter(cloud[:, 0], cloud[:, 2], s=2.2, color=colour * 0.9, linewidths=0)
            fit_axes(axes, mesh.reshape(-1, 3), f"{variant_of(name, index)}, {len(cloud)} points")
    figure.text(0.02, 0.974, "primitives", fontsize=18, fontweight="bold", color=INK)
    line = "A solid of each class, then what the depth camera caught (points) of two more (grey)"
    figure.text(0.16, 0.974, line, fontsize=10, color=INK)
    figure.savefig(Path(__file__).with_name("primitives.png"), dpi=110, facecolor=PAPER)


if __name__ == "__main__":
    main()
