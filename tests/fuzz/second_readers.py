"""The same files by other eyes: meshio, laszip, and loops that know the plainest form alone.

A second reader gives None, or raises, for what it does not understand: there is nothing to compare.
"""

import ast
import json
import re
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np


class Mesh(NamedTuple):
    """What the points of a mesh are drawn from."""

    vertices: np.ndarray
    """(V, 3)."""
    triangles: np.ndarray
    """(F, 3)."""


Found = np.ndarray | Mesh | None


def disagreement(path: Path, points: np.ndarray) -> str | None:
    """How another reader differs from the points (n, 3 or more) of a file.

    Returns:
        What differs; empty where both agree; None where the other does not read it.
    """
    try:
        other = SECOND[path.suffix](path)
    except (Exception, SystemExit):  # whatever they raise; meshio ends the program
        return None
    if other is None:
        return None
    if isinstance(other, Mesh):
        return _off_surface(points, other)
    other = np.asarray(other)
    if other.shape != points[:, :3].shape:
        return f"{points.shape[0]} points, and {other.shape[0]} by the other"
    size = float(np.nanmax(np.abs(np.where(np.isfinite(other), other, 0)), initial=1e-30))
    same = np.isclose(points[:, :3], other, rtol=1e-5, atol=1e-6 * size, equal_nan=True)
    if same.all():
        return ""
    row, column = np.argwhere(~same)[0]
    return f"point {row} has {points[row, column]!r}, and {other[row, column]!r} by the other"


def _off_surface(points: np.ndarray, mesh: Mesh) -> str | None:
    """Whether points (n, 3) are not drawn uniformly from the triangles of a mesh."""
    corners = np.asarray(mesh.vertices, np.float64)[np.asarray(mesh.triangles, np.int64)]
    if not len(corners) or not np.isfinite(corners).all():
        return None
    low, high = corners.min((0, 1)), corners.max((0, 1))
    size = float(np.linalg.norm(high - low))
    if not 0 < size < 1e30:
        return None
    areas = np.linalg.norm(
        np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1
    )
    if not areas.sum() > 0:
        return None
    farthest = float(_distances(points[:, :3].astype(np.float64), corners[areas > 0]).max())
    if farthest > 1e-4 * size:
        return f"a point lies {farthest / size:.1e} of the size beside the other's surface"
    mean = (areas[:, None] * corners.mean(axis=1)).sum(0) / areas.sum()
    away = np.abs(points[:, :3].mean(axis=0) - mean).max()
    if away > 6 * size / np.sqrt(12 * len(points)):
        return f"the mean point lies {away / size:.1e} of the size from that of the other's surface"
    return ""


def _distances(points: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """(n,) from points (n, 3) to the nearest of triangles (F, 3, 3): plane or edges."""
    best = np.full(len(points), np.inf)
    for a, b, c in corners:
        normal = np.cross(b - a, c - a)
        normal = normal / np.linalg.norm(normal)
        inside = np.ones(len(points), bool)
        near = np.full(len(points), np.inf)
        for p, q in ((a, b), (b, c), (c, a)):
            edge = q - p
            inside &= (points - p) @ np.cross(normal, edge) >= -1e-9
            along = np.clip((points - p) @ edge / max(float(edge @ edge), 1e-300), 0, 1)
            near = np.minimum(near, np.linalg.norm(points - p - along[:, None] * edge, axis=1))
        near = np.where(inside, np.minimum(near, np.abs((points - a) @ normal)), near)
        best = np.minimum(best, near)
    return best


def _mesh(found: Any) -> Found:
    triangles = [
        block.data[:, [0, i, i + 1]]
        for block in found.cells
        if block.type in ("triangle", "quad", "polygon")
        for i in range(1, np.shape(block.data)[1] - 1)
    ]
    if not triangles:
        return np.asarray(found.points)
    return Mesh(np.asarray(found.points), np.concatenate(triangles))


def ply(path: Path) -> Found:
    import meshio

    return _mesh(meshio.ply.read(path))


def obj(path: Path) -> Found:
    import meshio

    if not re.search(rb"(?:^|[\r\n])\s*f[^\r\n]*-", path.read_bytes()):
        return _mesh(meshio.obj.read(path))
    vertices, faces = [], []  # it does not know indices from behind
    for line in path.read_text("ascii").splitlines():
        match line.split():
            case ["v", x, y, z]:
                vertices.append([float(x), float(y), float(z)])
            case ["f", *corners]:
                whole = [int(corner.partition("/")[0]) for corner in corners]
                faces.append([i - 1 if i > 0 else len(vertices) + i for i in whole])
            case ["v" | "l" | "p", *_]:
                return None
    return _polygons(vertices, faces)


def off(path: Path) -> Found:
    """`OFF`, counts, vertices and polygons; comments between."""
    rows = [line.partition("#")[0].split() for line in path.read_text("ascii").splitlines()]
    head, *rows = [row for row in rows if row]
    if head == ["OFF"]:
        head, *rows = rows
    else:
        head = " ".join(head).removeprefix("OFF").split()
    vertex_count, face_count, _ = map(int, head)
    vertices = [[float(value) for value in row] for row in rows[:vertex_count]]
    polygons = [[int(value) for value in row] for row in rows[vertex_count:]]
    if len(polygons) != face_count or any(row[0] != len(row) - 1 for row in polygons):
        return None
    return _polygons(vertices, [row[1:] for row in polygons])


def _polygons(vertices: list[list[float]], polygons: list[list[int]]) -> Mesh | None:
    if any(not 0 <= corner < len(vertices) for each in polygons for corner in each):
        return None
    cut = [(each[0], *each[i : i + 2]) for each in polygons for i in range(1, len(each) - 1)]
    return Mesh(np.array(vertices, np.float64).reshape(-1, 3), np.array(cut))


def stl(path: Path) -> Found:
    import meshio

    found = _mesh(meshio.stl.read(path))
    return found if isinstance(found, Mesh) else None


def laz(path: Path) -> Found:
    import laspy

    found = laspy.read(path, laz_backend=laspy.LazBackend.Laszip)
    return np.asarray(found.xyz)


def las(path: Path) -> Found:
    content = path.read_bytes()
    start, record, count = (
        *struct.unpack_from("<I", content, 96),
        *struct.unpack_from("<HI", content, 105),
    )
    if content[25] >= 4 and content[:4] == b"LASF":
        count = struct.unpack_from("<Q", content, 247)[0] or count
    if content[:4] != b"LASF" or content[104] & 128 or count > 10_000:
        return None
    scale, offset = np.frombuffer(content, "<f8", 6, 131).reshape(2, 3)
    whole = [struct.unpack_from("<3i", content, start + i * record) for i in range(count)]
    return np.array(whole, np.float64).reshape(-1, 3) * scale + offset


def pcd(path: Path) -> Found:
    head, _, body = path.read_bytes().partition(b"\nDATA ")
    lines = [line.split() for line in head.decode("ascii").splitlines() if line[:1] != "#"]
    entries = {line[0]: line[1:] for line in lines}
    if len(entries) != len(lines) or {*entries["COUNT"]} != {"1"}:
        return None
    kinds = {"F4": "<f4", "F8": "<f8", "U4": "<u4", "U1": "u1", "U2": "<u2", "I4": "<i4"}
    layout = [
        (name, kinds[kind + size])
        for name, size, kind in zip(
            entries["FIELDS"], entries["SIZE"], entries["TYPE"], strict=True
        )
    ]
    kind, _, body = body.partition(b"\n")
    count = int(entries["POINTS"][0])
    if kind == b"binary":
        rows = np.frombuffer(body, np.dtype(layout), count)
        return np.stack([rows[axis] for axis in "xyz"], axis=1)
    if kind != b"ascii":
        return None
    numbers = [line.split() for line in body.decode("ascii").splitlines() if line.strip()]
    if len(numbers) != count or {len(line) for line in numbers} != {len(layout)}:
        return None
    places = [entries["FIELDS"].index(axis) for axis in "xyz"]
    return np.array([[float(line[place]) for place in places] for line in numbers])


def text(path: Path) -> Found:
    """Numbers between blanks, commas or semicolons, under names or a count, or under nothing."""
    lines = path.read_bytes().decode("utf-8-sig").splitlines()
    if any("#" in line or '"' in line for line in lines):
        return None
    rows = [line.strip() for line in lines if line.strip()]
    mark = next((mark for mark in ";," if any(mark in row for row in rows)), None)
    fields = [[field.strip() for field in row.split(mark)] for row in rows]
    places = [0, 1, 2]
    if {"x", "y", "z"} <= {*fields[0]}:
        places = [fields[0].index(axis) for axis in "xyz"]
        del fields[0]
    elif len(fields[0]) == 1 and int(fields[0][0]) == len(fields) - 1:
        del fields[0]
    if len({len(row) for row in fields}) != 1:
        return None
    return np.array([[float(field) for field in row] for row in fields])[:, places]


def npy(path: Path) -> Found:
    content = path.read_bytes()
    if content[:8] != b"\x93NUMPY\x01\x00":
        return None
    length = struct.unpack_from("<H", content, 8)[0]
    head = ast.literal_eval(content[10 : 10 + length].decode("latin1"))
    kind, shape = np.dtype(head["descr"]), head["shape"]
    if kind.hasobject or len(shape) != 2:
        return None
    values = np.frombuffer(content, kind, shape[0] * shape[1], 10 + length)
    return values.reshape(shape, order="F" if head["fortran_order"] else "C")[:, :3]


def lidar(path: Path) -> Found:
    width = 5 if path.name.endswith(".pcd.bin") else 4
    return np.array([row[:3] for row in struct.iter_unpack(f"<{width}f", path.read_bytes())])


def glb(path: Path) -> Found:
    content = path.read_bytes()
    length = struct.unpack_from("<I", content, 12)[0]
    tree, body = json.loads(content[20 : 20 + length]), content[28 + length :]
    plain = {"bufferView", "componentType", "count", "type", "min", "max"}
    if tree.keys() & {"extensionsRequired", "extensionsUsed", "skins", "animations"}:
        return None
    if any(accessor.keys() - plain for accessor in tree["accessors"]):
        return None
    if any(buffer.keys() - {"byteLength"} for buffer in tree["buffers"]):
        return None

    def array(index: int, columns: int) -> np.ndarray:
        accessor = tree["accessors"][index]
        view = tree["bufferViews"][accessor["bufferView"]]
        if view.keys() - {"buffer", "byteOffset", "byteLength"}:
            raise ValueError
        kind = {5121: "u1", 5123: "<u2", 5125: "<u4", 5126: "<f4"}[accessor["componentType"]]
        count = accessor["count"] * columns
        return np.frombuffer(body, kind, count, view.get("byteOffset", 0)).reshape(-1, columns)

    meshes: list[Mesh] = []

    def walk(index: int, above: np.ndarray, depth: int) -> None:
        node = tree["nodes"][index]
        if depth > 4 or node.keys() - {*("mesh", "children", "translation", "scale", "rotation")}:
            raise ValueError
        own = np.eye(4)
        x, y, z, w = node.get("rotation", (0, 0, 0, 1))
        turn = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
        own[:3, :3] = (np.eye(3) + 2 * w * turn + 2 * turn @ turn) * node.get("scale", (1, 1, 1))
        own[:3, 3] = node.get("translation", (0, 0, 0))
        above = above @ own
        for primitive in tree["meshes"][node["mesh"]]["primitives"] if "mesh" in node else ():
            if primitive.keys() != {"attributes", "indices", "mode"} or primitive["mode"] != 4:
                raise ValueError
            vertices = (
                array(primitive["attributes"]["POSITION"], 3) @ above[:3, :3].T + above[:3, 3]
            )
            meshes.append(Mesh(vertices, array(primitive["indices"], 1).reshape(-1, 3)))
        for child in node.get("children", ()):
            walk(child, above, depth + 1)

    for root in tree["scenes"][tree["scene"]]["nodes"]:
        walk(root, np.eye(4), 0)
    starts = np.cumsum([0] + [len(mesh.vertices) for mesh in meshes])
    triangles = [mesh.triangles + start for mesh, start in zip(meshes, starts, strict=False)]
    return Mesh(np.concatenate([mesh.vertices for mesh in meshes]), np.concatenate(triangles))


SECOND: dict[str, Callable[[Path], Found]] = {
    **{".ply": ply, ".obj": obj, ".off": off, ".stl": stl, ".glb": glb},
    **{".las": las, ".laz": laz, ".pcd": pcd, ".npy": npy, ".bin": lidar},
    **dict.fromkeys((".xyz", ".txt", ".csv", ".pts"), text),
}
"""By suffix; none for npz, an archive of what `npy` reads."""
