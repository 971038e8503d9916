"""GLB: glTF 2.0 in one binary file, in metres and with y up.

Read by ourselves, as libraries pass over what changes the geometry without a word (normalised
integers, instances, skins, compressed parts), and believe counts.
"""

from base64 import b64decode
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar

import numpy as np
from msgspec import Meta, Struct
from numpy.typing import NDArray

from ...errors import DataError
from ...storage.documents import check, parse_json
from .announced import printable
from .surface import fans, strips, surface

Array = NDArray[Any]
Item = TypeVar("Item")
Triangles = tuple[Array, Array]
"""Vertices (V, 3), and triangles (F, 3) of them."""
Index = Annotated[int, Meta(ge=0)]
Three = Annotated[list[float], Meta(min_length=3, max_length=3)]
Four = Annotated[list[float], Meta(min_length=4, max_length=4)]
Matrix = Annotated[list[float], Meta(min_length=16, max_length=16)]

KINDS = {5120: "i1", 5121: "u1", 5122: "<i2", 5123: "<u2", 5125: "<u4", 5126: "<f4"}
WIDTHS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT4": 16}
POINTS, LINES, TRIANGLES, STRIP, FAN = 0, (1, 2, 3), 4, 5, 6  # modes of primitives
INSTANCES = "EXT_mesh_gpu_instancing"
READ = ("KHR_mesh_quantization", INSTANCES)
LOOKS = ("KHR_materials_", "KHR_texture_", "EXT_texture_", "MSFT_texture_", "KHR_lights_")
"""Beginnings of the names of extensions that leave the geometry alone."""
UNMOVED = {
    "translation": np.zeros(3),
    "rotation": np.array([0.0, 0, 0, 1]),  # x, y, z, w
    "scale": np.ones(3),
}
"""Of a node or an instance, where nothing else is given."""
MOST = 1 << 21
"""Numbers and triangles that a small file may stand for: its parts can be shown again and again."""


class SparseIndices(Struct, frozen=True, gc=False):
    """Which values of an accessor are replaced."""

    bufferView: Index
    componentType: int
    byteOffset: Index = 0


class SparseValues(Struct, frozen=True, gc=False):
    """What replaces them."""

    bufferView: Index
    byteOffset: Index = 0


class Sparse(Struct, frozen=True, gc=False):
    """Some values of an accessor, replaced."""

    count: Index
    indices: SparseIndices
    values: SparseValues


class Accessor(Struct, frozen=True, gc=False):
    """An array (count, width of its type)."""

    componentType: int
    count: Index
    type: str
    bufferView: Index | None = None
    byteOffset: Index = 0
    normalized: bool = False
    sparse: Sparse | None = None


class View(Struct, frozen=True, gc=False):
    """A part of a buffer."""

    buffer: Index
    byteLength: Index
    byteOffset: Index = 0
    byteStride: Index | None = None
    extensions: dict[str, Any] = {}


class Buffer(Struct, frozen=True, gc=False):
    """Bytes: the binary chunk of the file, or those in its URI."""

    byteLength: Index
    uri: str | None = None
    extensions: dict[str, Any] = {}


class Primitive(Struct, frozen=True, gc=False):
    """A part of a mesh."""

    attributes: dict[str, Index]
    indices: Index | None = None
    mode: int = TRIANGLES
    targets: list[dict[str, Index]] = []
    extensions: dict[str, Any] = {}


class Mesh(Struct, frozen=True, gc=False):
    """Parts, and how far each of their targets morphs them."""

    primitives: list[Primitive]
    weights: list[float] = []


class Node(Struct, frozen=True, gc=False):
    """A place within that of its parent: a matrix, or scale, rotation (x, y, z, w) and shift."""

    mesh: Index | None = None
    skin: Index | None = None
    children: list[Index] = []
    matrix: Matrix | None = None
    translation: Three | None = None
    rotation: Four | None = None
    scale: Three | None = None
    weights: list[float] = []
    extensions: dict[str, Any] = {}


class Skin(Struct, frozen=True, gc=False):
    """The nodes that move the vertices of a mesh."""

    joints: list[Index]
    inverseBindMatrices: Index | None = None


class Scene(Struct, frozen=True, gc=False):
    """The nodes that are shown."""

    nodes: list[Index] = []


class Document(Struct, frozen=True, gc=False):
    """What is used of the JSON chunk."""

    scene: Index = 0
    scenes: list[Scene] = []
    nodes: list[Node] = []
    meshes: list[Mesh] = []
    skins: list[Skin] = []
    accessors: list[Accessor] = []
    bufferViews: list[View] = []
    buffers: list[Buffer] = []
    extensionsRequired: list[str] = []


def read_glb(path: Path) -> Array:
    """Points drawn from the triangles of the scene that is shown.

    Nodes, instances, skins and morphs are in their places of rest. Lines, which have no surface,
    are left out. No other file is opened.
    """
    return surface(path, *Geometry(path.read_bytes()).triangles())


class Geometry:
    """The triangles of a file.

    Raises:
        DataError: here and by `triangles`: damaged, or it needs what is not read.
    """

    def __init__(self, content: bytes):
        chunks = _chunks(content)
        try:
            self.file = check(parse_json(chunks[b"JSON"]), Document)
        except ValueError as error:
            raise DataError(f"is damaged ({error})") from error
        for name in self.file.extensionsRequired:
            if name not in READ and not name.startswith(LOOKS):
                raise _unread(name)
        self.binary = chunks.get(b"BIN\0")
        self.left = max(MOST, 3 * len(content))
        self.nodes = self.file.nodes or [Node(mesh=i) for i in range(len(self.file.meshes))]
        self.known: dict[int, Array] = {}
        self.points = False

    def triangles(self) -> Triangles:
        """Vertices (V, 3) in their places, and triangles (F, 3) of them."""
        with np.errstate(all="ignore"):  # what is not finite is found among the points
            vertices, faces = _joined(self._parts())
        if self.points and len(faces):
            raise DataError("has points beside its triangles", fix="keep either of them")
        return vertices, faces

    def _parts(self) -> list[Triangles]:
        """The meshes of all nodes that are shown, in their places."""
        places = self._places()
        parts: list[Triangles] = []
        plain: dict[int, dict[int, int]] = defaultdict(dict)  # mesh -> node -> which of the parts
        for number, place in places.items():
            node = self.nodes[number]
            if node.mesh is None:
                continue
            if node.skin is not None:
                parts.append(self._mesh(node, self._joints(node.skin, places)))
            elif node.weights or INSTANCES in node.extensions:
                instances = self._instances(node.extensions.get(INSTANCES))
                points, triangles = self._placed(self._mesh(node), _product(place, instances))
                before = np.arange(len(points))[:, None, None] * points.shape[1]
                triangles = (triangles + before).reshape(-1, 3)
                parts.append((points.reshape(-1, 3), triangles))
            else:
                plain[node.mesh][number] = len(parts)
                parts.append(_joined([]))
        for mesh, nodes in plain.items():
            where = np.stack([places[number] for number in nodes])
            points, triangles = self._placed(self._mesh(Node(mesh=mesh)), where)
            for which, moved in zip(nodes.values(), points, strict=True):
                parts[which] = moved, triangles
        return parts

    def _placed(self, mesh: Triangles, places: Array) -> Triangles:
        """The vertices (n, V, 3) of a mesh in each of some places (n, 4, 4), and its triangles."""
        points, triangles = mesh
        self._spend(len(places) * len(triangles))
        return _moved(points, places), triangles

    def _places(self) -> dict[int, Array]:
        """The matrices (4, 4) of all nodes that are shown."""
        if self.file.scenes:
            roots = _at(self.file.scenes, self.file.scene, "scene").nodes
        else:
            children = {child for node in self.nodes for child in node.children}
            roots = [number for number in range(len(self.nodes)) if number not in children]
        parents: dict[int, int] = {}
        levels: list[list[int]] = []
        waiting = [(root, -1, 0) for root in roots]
        while waiting:
            number, parent, level = waiting.pop()
            node = _at(self.nodes, number, "node")
            if number in parents:
                raise DataError(f"has node {number} in two places")
            parents[number] = parent
            if level == len(levels):
                levels.append([])
            levels[level].append(number)
            waiting += [(child, number, level + 1) for child in node.children]
        given: dict[str, Array] = {
            name: np.tile(default, (len(self.nodes), 1)) for name, default in UNMOVED.items()
        }
        for number, node in enumerate(self.nodes):
            if node.translation:
                given["translation"][number] = node.translation
            if node.rotation:
                given["rotation"][number] = node.rotation
            if node.scale:
                given["scale"][number] = node.scale
        places = _matrices(**given)
        for number, node in enumerate(self.nodes):
            if node.matrix:
                places[number] = np.reshape(node.matrix, (4, 4)).T
        for numbers in levels[1:]:
            above = places[[parents[number] for number in numbers]]
            places[numbers] = _product(above, places[numbers])
        return {number: places[number] for number in parents}

    def _instances(self, extension: Any) -> Array:
        """Matrices (n, 4, 4) of the instances of a node: one that changes nothing, if none."""
        if extension is None:
            return np.eye(4)[None]
        try:
            attributes = check(extension, dict[str, Any]).get("attributes")
            named = {
                name: self._accessor(i) for name, i in check(attributes, dict[str, Index]).items()
            }
        except ValueError as error:
            raise DataError(f"is damaged ({INSTANCES}: {error})") from error
        counts = {len(values) for values in named.values()}
        if len(counts) != 1:
            raise DataError(f"is damaged ({INSTANCES}: attributes of {sorted(counts)} instances)")
        [count] = counts
        return _matrices(
            **{
                name: _wide(
                    named.get(name.upper(), np.tile(default, (count, 1))), len(default), name
                )
                for name, default in UNMOVED.items()
            }
        )

    def _joints(self, number: int, places: dict[int, Array]) -> Array:
        """Matrices (J, 4, 4) from where vertices are bound to where the joints of a skin are."""
        skin = _at(self.file.skins, number, "skin")
        missing = [joint for joint in skin.joints if joint not in places]
        if missing or not skin.joints:
            raise DataError(f"is damaged (joints {missing[:3]} of skin {number} are not shown)")
        joints = np.stack([places[joint] for joint in skin.joints])
        if skin.inverseBindMatrices is None:
            return joints
        bound = _wide(self._accessor(skin.inverseBindMatrices), 16, "inverseBindMatrices")
        if len(bound) < len(joints):
            raise DataError(f"is damaged ({len(bound)} matrices of {len(joints)} joints)")
        return _product(joints, bound[: len(joints)].reshape(-1, 4, 4).transpose(0, 2, 1))

    def _mesh(self, node: Node, joints: Array | None = None) -> Triangles:
        """All parts of the mesh of a node."""
        mesh = _at(self.file.meshes, node.mesh or 0, "mesh")
        weights = node.weights or mesh.weights
        return _joined([self._part(each, weights, joints) for each in mesh.primitives])

    def _part(self, part: Primitive, weights: Sequence[float], joints: Array | None) -> Triangles:
        """A part, of no more vertices than its triangles have corners."""
        if part.mode == POINTS:
            self.points = True
        if part.mode == POINTS or part.mode in LINES:
            return _joined([])
        for number in (part.attributes.get("POSITION"), part.indices):
            if number is not None and part.extensions:  # compressed, without a copy that is not
                accessor = _at(self.file.accessors, number, "accessor")
                if accessor.bufferView is None and accessor.sparse is None:
                    raise _unread(", ".join(part.extensions))
        if "POSITION" not in part.attributes:
            raise _unread(", ".join(part.extensions) or "a part without positions")
        points = self._positions(part, weights, joints)
        if part.indices is None:
            corners = np.arange(len(points))
        else:
            corners = _wide(self._accessor(part.indices), 1, "indices")[:, 0].astype(np.int64)
        self._spend(len(corners))
        if len(corners) and not 0 <= corners.min() <= corners.max() < len(points):
            raise DataError(f"has faces of vertex {corners.max()}, but {len(points)} vertices")
        if part.mode == TRIANGLES:
            if len(corners) % 3:
                raise DataError(f"has a part of {len(corners)} corners, which are not triangles")
            triangles = corners.reshape(-1, 3)
        elif part.mode == STRIP:
            triangles = strips(corners)
        elif part.mode == FAN:
            triangles = fans(corners, [len(corners)])
        else:
            raise DataError(f"has a part of mode {part.mode}, which glTF does not know")
        if len(points) > triangles.size:
            return points[triangles.reshape(-1)], np.arange(triangles.size).reshape(-1, 3)
        return points, triangles

    def _positions(self, part: Primitive, weights: Sequence[float], joints: Array | None) -> Array:
        """Vertices (V, 3) of a part, morphed and moved by joints."""
        points = _wide(self._accessor(part.attributes["POSITION"]), 3, "POSITION")
        for weight, target in zip(weights, part.targets, strict=False):
            if weight and "POSITION" in target:
                shift = _wide(self._accessor(target["POSITION"]), 3, "POSITION")
                self._spend(len(points))
                if len(shift) != len(points):
                    raise DataError(f"is damaged (it morphs {len(shift)} of {len(points)} points)")
                points = points + weight * shift
        if joints is None:
            return points
        moved = np.zeros_like(points)
        for each in (name[6:] for name in part.attributes if name.startswith("JOINTS")):
            if f"WEIGHTS{each}" not in part.attributes:
                raise DataError(f"is damaged (JOINTS{each} without WEIGHTS{each})")
            which = _wide(self._accessor(part.attributes[f"JOINTS{each}"]), 4, "JOINTS")
            shares = _wide(self._accessor(part.attributes[f"WEIGHTS{each}"]), 4, "WEIGHTS")
            self._spend(4 * len(points))
            if not len(which) == len(shares) == len(points) or which.max(initial=0) >= len(joints):
                raise DataError("is damaged (its joints do not fit its points)")
            for joint, share in zip(which.astype(np.int64).T, shares.T, strict=True):
                moved += share[:, None] * _moved(points[:, None], joints[joint])[:, 0]
        return moved

    def _accessor(self, number: int) -> Array:
        """An array (count, width), of float64 where it is normalised or a float."""
        if number in self.known:
            return self.known[number]
        each = _at(self.file.accessors, number, "accessor")
        if each.componentType not in KINDS or each.type not in WIDTHS:
            raise DataError(f"is damaged (accessor of {each.type} {each.componentType})")
        self._spend(each.count)
        kind, width = np.dtype(KINDS[each.componentType]), WIDTHS[each.type]
        if each.bufferView is not None:
            values = self._values(each.bufferView, each.byteOffset, each.count, kind, width)
        elif each.sparse:
            values = np.zeros((each.count, width), kind)
        else:
            raise DataError(f"is damaged (accessor {number} is nowhere in the file)")
        if sparse := each.sparse:
            at = sparse.indices
            if sparse.count > each.count or at.componentType not in (5121, 5123, 5125):
                raise DataError(f"is damaged (sparse values of accessor {number})")
            places = self._values(
                at.bufferView, at.byteOffset, sparse.count, np.dtype(KINDS[at.componentType]), 1
            )[:, 0]
            if places.max(initial=0) >= each.count:
                raise DataError(f"is damaged (sparse values of accessor {number})")
            values = values.copy()
            values[places] = self._values(
                sparse.values.bufferView, sparse.values.byteOffset, sparse.count, kind, width
            )
        if kind.kind == "f":
            values = values.astype(np.float64)
        elif each.normalized:
            values = np.maximum(values / np.iinfo(kind).max, -1)
        self.known[number] = values
        return values

    def _values(self, view: int, start: int, count: int, kind: np.dtype[Any], width: int) -> Array:
        """Numbers (count, width) of a part of a buffer."""
        part = _at(self.file.bufferViews, view, "bufferView")
        data = self._buffer(part)
        item = kind.itemsize * width
        stride = part.byteStride or item
        if not count:
            return np.empty((0, width), kind)
        if start + stride * (count - 1) + item > part.byteLength:
            raise DataError(
                f"is damaged (an accessor of {count} values is longer than its bufferView)"
            )
        at = part.byteOffset + start
        return np.ndarray((count, width), kind, data, at, (stride, kind.itemsize))

    def _buffer(self, view: View) -> bytes:
        """The bytes of a buffer, long enough for a part of it."""
        buffer = _at(self.file.buffers, view.buffer, "buffer")
        if buffer.uri is None:
            if view.buffer != 0 or self.binary is None:
                unread = ", ".join(view.extensions or buffer.extensions)
                raise _unread(unread or "a buffer without bytes")
            data = self.binary
        elif buffer.uri.startswith("data:"):
            head, _, text = buffer.uri.partition(",")
            if not head.endswith(";base64"):
                raise _unread("a data URI that is not base64")
            try:
                data = b64decode(text, validate=True)
            except ValueError as error:
                raise DataError("is damaged (a data URI that is not base64)") from error
            self._spend(len(data) // 4)
        else:
            raise DataError(
                f"has its points in another file ({buffer.uri[:40]!r}), which is not opened",
                fix="export it as one .glb file",
            )
        for what, end in (
            ("a buffer", buffer.byteLength),
            ("a part", view.byteOffset + view.byteLength),
        ):
            if end > len(data):
                raise DataError(f"is truncated ({what} of {end} bytes has {len(data)})")
        return data

    def _spend(self, count: int) -> None:
        """Count what the file stands for."""
        self.left -= count
        if self.left < 0:
            raise DataError(
                "stands for many times more points or triangles than it holds",
                fix="export it with fewer instances",
            )


def _chunks(content: bytes) -> dict[bytes, bytes]:
    """The first chunk of each kind."""
    if content[:4] != b"glTF":
        raise DataError("is not a GLB file, as it does not begin with glTF")
    version, length = (int.from_bytes(content[at : at + 4], "little") for at in (4, 8))
    if len(content) < max(length, 12):
        raise DataError(f"is truncated (it announces {length} bytes, but has {len(content)})")
    if version != 2:
        raise DataError(f"is glTF {version}, which is not read", fix="save it as glTF 2.0")
    chunks: dict[bytes, bytes] = {}
    place = 12
    while place + 8 <= length:
        size, kind = (
            int.from_bytes(content[place : place + 4], "little"),
            content[place + 4 : place + 8],
        )
        place += 8
        if place + size > length:
            raise DataError(f"is truncated (a chunk of {size} bytes has {length - place})")
        chunks.setdefault(kind, content[place : place + size])
        place += size
    if b"JSON" not in chunks:
        raise DataError("is truncated (it has no JSON chunk)")
    return chunks


def _unread(what: str) -> DataError:
    return DataError(f"needs {printable(what)}, which is not read", fix="export it without")


def _at(items: Sequence[Item], number: int, what: str) -> Item:
    if number >= len(items):
        raise DataError(f"is damaged (it names {what} {number}, and has {len(items)})")
    return items[number]


def _wide(values: Array, width: int, what: str) -> Array:
    if values.shape[1] != width:
        raise DataError(f"is damaged ({what} of {values.shape[1]} numbers, {width} needed)")
    return values


def _joined(parts: Sequence[Triangles]) -> Triangles:
    """Parts as one."""
    before = np.cumsum([0, *(len(points) for points, _ in parts)])
    points = [np.empty((0, 3)), *(points for points, _ in parts)]
    triangles = [each + first for (_, each), first in zip(parts, before, strict=False)]
    return np.concatenate(points), np.concatenate([np.empty((0, 3), np.int64), *triangles])


def _matrices(translation: Array, rotation: Array, scale: Array) -> Array:
    """Matrices (n, 4, 4) that scale (n, 3), then rotate (n, 4), then shift (n, 3)."""
    norms = np.sqrt((rotation * rotation).sum(axis=1, keepdims=True))
    x, y, z, w = np.where(norms > 0, rotation / norms, UNMOVED["rotation"]).T
    rows = (
        (1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)),
        (2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)),
        (2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)),
    )
    matrices = np.tile(np.eye(4), (len(scale), 1, 1))
    matrices[:, :3, :3] = np.array(rows).transpose(2, 0, 1) * scale[:, None]
    matrices[:, :3, 3] = translation
    return matrices


def _product(a: Array, b: Array) -> Array:
    """The product (..., 4, 4) of matrices, without the libraries that round as the CPU likes."""
    terms = [a[..., :, i, None] * b[..., i, None, :] for i in range(4)]
    return np.asarray(terms[0] + terms[1] + terms[2] + terms[3])


def _moved(points: Array, places: Array) -> Array:
    """Points (m, 3) or (n, m, 3) in places (n, 4, 4): (n, m, 3)."""
    terms = [points[..., axis, None] * places[:, None, :3, axis] for axis in range(3)]
    return np.asarray(terms[0] + terms[1] + terms[2] + places[:, None, :3, 3])
