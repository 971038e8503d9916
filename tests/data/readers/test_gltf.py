"""GLB: what libraries pass over, and what is not there."""

import base64
import json
import os
import struct
from typing import Any

import numpy as np
import pytest
import trimesh

from pointstill.data.readers import MESH_POINTS, read_cloud
from pointstill.errors import DataError

pytestmark = pytest.mark.usefixtures("quiet")

BOX = trimesh.creation.box((1, 2, 3))
Document = dict[str, Any]


def glb(document: Document, binary: bytes = b"") -> bytes:
    text = json.dumps({"asset": {"version": "2.0"}, **document}).encode()
    text += b" " * (-len(text) % 4)
    chunks = struct.pack("<I4s", len(text), b"JSON") + text
    if binary:
        chunks += struct.pack("<I4s", len(binary), b"BIN\0") + binary
    return b"glTF" + struct.pack("<II", 2, 12 + len(chunks)) + chunks


KINDS = {"i1": 5120, "u1": 5121, "i2": 5122, "u2": 5123, "u4": 5125, "f4": 5126}
TYPES = {1: "SCALAR", 3: "VEC3", 4: "VEC4", 16: "MAT4"}


class Draft:
    """A document that arrays are put into: two nodes of one box, if nothing is changed."""

    def __init__(self, vertices: Any = BOX.vertices, faces: Any = BOX.faces, **accessor: Any):
        self.binary = b""
        self.document: Document = {"accessors": [], "bufferViews": []}
        kind = accessor.pop("kind", "f4")
        self.part: Document = {"attributes": {"POSITION": self.array(vertices, kind, **accessor)}}
        if faces is not None:
            self.part["indices"] = self.array(np.reshape(faces, -1), "u2")
        self.document["meshes"] = [{"primitives": [self.part]}]
        self.document["nodes"] = [{"mesh": 0}, {"mesh": 0, "translation": [10, 0, 0]}]
        self.document["scenes"] = [{"nodes": [0, 1]}]

    def array(self, values: Any, kind: str, **accessor: Any) -> int:
        values = np.asarray(values, "<" + kind)
        data = values.tobytes()
        view = {"buffer": 0, "byteOffset": len(self.binary), "byteLength": len(data)}
        self.binary += data + bytes(-len(data) % 4)
        self.document["bufferViews"].append(view)
        self.document["accessors"].append(
            {
                "bufferView": len(self.document["bufferViews"]) - 1,
                "componentType": KINDS[kind],
                "count": len(values),
                "type": TYPES[values.size // len(values)],
                **accessor,
            }
        )
        return len(self.document["accessors"]) - 1

    def bytes(self, **document: Any) -> bytes:
        buffers = [{"byteLength": len(self.binary)}]
        return glb({"buffers": buffers, **self.document, **document}, self.binary)


PLAIN = Draft().bytes()
FLAT = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]])


def box(points: np.ndarray) -> list[float]:
    return [*points.min(axis=0), *points.max(axis=0)]


def test_two_boxes(read):
    points = read("a.glb", PLAIN)
    assert box(points) == pytest.approx([-0.5, -1, -1.5, 10.5, 1, 1.5], abs=0.02)
    assert abs((points[:, 0] > 5).mean() - 0.5) < 0.05


def test_a_scene_is_one_mesh_with_its_parts_in_place(read):
    scene = trimesh.Scene([trimesh.creation.box((1, 1, 1))])
    moved = trimesh.transformations.translation_matrix([10, 0, 0])
    scene.add_geometry(trimesh.creation.box((1, 1, 1)), transform=moved)
    x = read("two.glb", scene.export(file_type="glb"))[:, 0]
    assert abs((x > 5).mean() - 0.5) < 0.05
    assert x.max() == pytest.approx(10.5)


def test_a_scene_is_that_of_another_library(read):
    rng = np.random.default_rng(0)
    scene = trimesh.Scene()
    for _ in range(3):
        place = trimesh.transformations.random_rotation_matrix(rng.random(3))
        place[:3, 3] = rng.normal(size=3)
        scene.add_geometry(BOX, transform=place)
    points = read("a.glb", scene.export(file_type="glb"))
    _, away, _ = trimesh.proximity.closest_point_naive(scene.to_mesh(), points[::16])
    assert away.max() < 1e-6


@pytest.mark.parametrize(
    ("kind", "factor", "normalized", "scale"),
    [
        ("i2", 32767 / 1.5, True, 1.5),
        ("i1", 126 / 1.5, True, 1.5 * 127 / 126),
        ("i2", 2, False, 0.5),
        ("i1", 2, False, 0.5),
    ],
)
def test_quantised_positions(kind, factor, normalized, scale, read):
    draft = Draft(np.round(BOX.vertices * factor), kind=kind, normalized=normalized)
    for node in draft.document["nodes"]:
        node["scale"] = [scale] * 3
    points = read("a.glb", draft.bytes(extensionsRequired=["KHR_mesh_quantization"]))
    np.testing.assert_allclose(points, read("a.glb", PLAIN), atol=2e-4 if normalized else 1e-6)


@pytest.mark.parametrize(("kind", "most"), [("u2", 65535), ("u1", 255)])
def test_unsigned_positions_reach_from_0_to_1(kind, most, read):
    draft = Draft(FLAT * most, [[0, 1, 2], [0, 2, 3]], kind=kind, normalized=True)
    points = read("a.glb", draft.bytes(scenes=[{"nodes": [0]}]))
    assert box(points) == pytest.approx([0, 0, 0, 1, 1, 0], abs=0.02)


def test_strided_positions(read):
    draft = Draft(np.c_[BOX.vertices, np.full(len(BOX.vertices), 9)].reshape(-1, 4))
    draft.document["accessors"][0]["type"] = "VEC3"
    draft.document["bufferViews"][0]["byteStride"] = 16
    np.testing.assert_array_equal(read("a.glb", draft.bytes()), read("a.glb", PLAIN))


@pytest.mark.parametrize("base", [True, False])
def test_sparse_positions(base, read):
    moved = BOX.vertices * 1.0
    draft = Draft(moved * (BOX.vertices[:, :1] > 0) if base else moved)
    which = np.flatnonzero(BOX.vertices[:, 0] < 0) if base else np.arange(len(moved))
    draft.array(which, "u1")
    draft.array(moved[which], "f4")
    views = len(draft.document["bufferViews"])
    accessor = draft.document["accessors"][0]
    accessor["sparse"] = {
        "count": len(which),
        "indices": {"bufferView": views - 2, "componentType": 5121},
        "values": {"bufferView": views - 1},
    }
    if not base:
        del accessor["bufferView"]
    np.testing.assert_array_equal(read("a.glb", draft.bytes()), read("a.glb", PLAIN))


@pytest.mark.parametrize(
    ("mode", "corners"), [(4, [0, 1, 2, 0, 2, 3]), (5, [0, 1, 3, 2]), (6, [0, 1, 2, 3])]
)
@pytest.mark.parametrize("indexed", [True, False])
def test_triangles_strips_and_fans(mode, corners, indexed, read):
    draft = Draft(FLAT, corners) if indexed else Draft(FLAT[corners], None)
    draft.part["mode"] = mode
    points = read("a.glb", draft.bytes(scenes=[{"nodes": [0]}]))
    assert box(points) == pytest.approx([0, 0, 0, 1, 1, 0], abs=0.02)
    assert np.hypot(*(points[:, :2].mean(axis=0) - 0.5)) < 0.03


@pytest.mark.parametrize("required", [True, False])
def test_instances(required, read):
    name = "EXT_mesh_gpu_instancing"
    draft = Draft()
    half = np.sqrt(0.5)
    attributes = {
        "TRANSLATION": draft.array([[0, 0, 0], [10, 0, 0], [20, 0, 0]], "f4"),
        "ROTATION": draft.array([[0, 0, 0, 1], [0, 0, 0, 1], [0, 0, half, half]], "f4"),
        "SCALE": draft.array([[1, 1, 1], [1, 1, 1], [2, 2, 2]], "f4"),
    }
    draft.document["nodes"] = [{"mesh": 0, "extensions": {name: {"attributes": attributes}}}]
    draft.document["scenes"] = [{"nodes": [0]}]
    points = read("a.glb", draft.bytes(extensionsRequired=[name] if required else []))
    assert box(points) == pytest.approx([-0.5, -1, -3, 22, 1, 3], abs=0.05)
    assert abs((points[:, 0] > 15).mean() - 4 / 6) < 0.04


def test_nodes_are_in_the_places_of_their_parents(read):
    draft = Draft()
    half = np.sqrt(0.5)
    draft.document["nodes"] = [
        {"children": [1], "matrix": [2, 0, 0, 0, 0, 2, 0, 0, 0, 0, 2, 0, 1, 2, 3, 1]},
        {"mesh": 0, "rotation": [0, 0, half, half], "translation": [5, 0, 0], "scale": [1, 2, 1]},
    ]
    points = read("a.glb", draft.bytes(scenes=[{"nodes": [0]}]))
    # (x, y, z) -> (-2 y, x, z) + (5, 0, 0) -> twice as much, + (1, 2, 3)
    assert box(points) == pytest.approx([7, 1, 0, 15, 3, 6], abs=0.1)


def test_the_scene_that_is_shown_is_read(read):
    scenes = [{"nodes": [1]}, {"nodes": [0]}]
    assert box(read("a.glb", Draft().bytes(scenes=scenes, scene=1)))[3] < 1
    assert box(read("a.glb", Draft().bytes(scenes=scenes)))[0] > 9
    without = Draft()
    del without.document["scenes"]
    assert box(read("a.glb", without.bytes()))[3] > 10
    del without.document["nodes"]
    assert box(read("a.glb", without.bytes()))[3] < 1


def test_skins_and_morphs_are_at_rest(read):
    draft = Draft(FLAT, [0, 1, 2, 0, 2, 3])
    shift = draft.array(np.tile([0, 0, 4], (4, 1)), "f4")
    draft.part["targets"] = [{"POSITION": shift}]
    draft.document["meshes"][0]["weights"] = [0.5]
    draft.document["nodes"] = [{"mesh": 0}]
    whole = draft.bytes(scenes=[{"nodes": [0]}])
    assert box(read("a.glb", whole)) == pytest.approx([0, 0, 2, 1, 1, 2], abs=0.02)
    draft.document["nodes"] = [
        {"mesh": 0, "skin": 0, "weights": [0.0], "translation": [99, 0, 0]},
        {"translation": [0, 0, 1]},
        {"translation": [0, 0, 3]},
    ]
    draft.part["attributes"] |= {
        "JOINTS_0": draft.array([[0, 1, 0, 0]] * 4, "u1"),
        "WEIGHTS_0": draft.array([[0.5, 0.5, 0, 0]] * 4, "f4"),
    }
    bound = np.tile(np.eye(4), (2, 1, 1))
    bound[:, 3, 0] = 7  # columns first
    inverse = draft.array(bound.reshape(2, 16), "f4")
    draft.document["skins"] = [{"joints": [1, 2], "inverseBindMatrices": inverse}]
    whole = draft.bytes(scenes=[{"nodes": [0, 1, 2]}])
    assert box(read("a.glb", whole)) == pytest.approx([7, 0, 2, 8, 1, 2], abs=0.02)


def test_lines_have_no_surface(read):
    draft = Draft()
    draft.document["meshes"][0]["primitives"].append({**draft.part, "mode": 1})
    np.testing.assert_array_equal(read("a.glb", draft.bytes()), read("a.glb", PLAIN))


def test_bytes_may_stand_in_a_uri(read):
    draft = Draft()
    text = base64.b64encode(draft.binary).decode()
    buffer = {"byteLength": len(draft.binary)}
    for uri in (f"data:application/octet-stream;base64,{text}", f"data:;base64,{text}"):
        content = glb({**draft.document, "buffers": [{**buffer, "uri": uri}]})
        np.testing.assert_array_equal(read("a.glb", content), read("a.glb", PLAIN))


def test_no_other_file_is_opened(tmp_path):
    os.mkfifo(tmp_path / "fifo")  # which would block for ever
    draft = Draft()
    path = tmp_path / "a.glb"
    buffers = [{"byteLength": len(draft.binary)}, {"byteLength": 9, "uri": "fifo"}]
    path.write_bytes(draft.bytes(buffers=buffers, images=[{"uri": "fifo"}]))
    assert len(read_cloud(path)) == MESH_POINTS
    path.write_bytes(draft.bytes(buffers=[{"byteLength": len(draft.binary), "uri": "fifo"}]))
    with pytest.raises(DataError, match=r"in another file \('fifo'\), which is not opened"):
        read_cloud(path)


DRACO, MESHOPT = "KHR_draco_mesh_compression", "EXT_meshopt_compression"


def draco(required: bool, fallback: bool) -> bytes:
    draft = Draft()
    draft.part["extensions"] = {DRACO: {"bufferView": 0, "attributes": {"POSITION": 0}}}
    plain = {"attributes": {"POSITION": draft.array(BOX.vertices, "f4")}, "indices": 1}
    draft.document["meshes"].append({"primitives": [plain]})
    draft.document["nodes"][1]["mesh"] = 1
    if not fallback:
        del draft.document["accessors"][0]["bufferView"]
    return draft.bytes(extensionsUsed=[DRACO], extensionsRequired=[DRACO] if required else [])


def test_a_part_that_is_compressed_is_refused_or_read_from_its_copy(read):
    for required in (True, False):
        with pytest.raises(DataError, match=f"needs {DRACO}, which is not read"):
            read("a.glb", draco(required, fallback=False))
    draft = Draft()
    draft.part["extensions"] = {DRACO: {"bufferView": 0, "attributes": {"POSITION": 0}}}
    np.testing.assert_array_equal(read("a.glb", draft.bytes()), read("a.glb", PLAIN))
    view = draft.document["bufferViews"][0]
    view |= {"buffer": 1, "extensions": {MESHOPT: {"buffer": 0, "byteLength": 9, "count": 8}}}
    buffers = [{"byteLength": len(draft.binary)}, {"byteLength": 96}]
    with pytest.raises(DataError, match=f"needs {MESHOPT}, which is not read"):
        read("a.glb", draft.bytes(buffers=buffers))


def changed(change: str, **values: Any) -> bytes:
    draft = Draft()
    *keys, last = (int(key) if key.isdecimal() else key for key in change.split("."))
    place: Any = draft.document
    for key in keys:
        place = place[key]
    place[last] = values["to"]
    return draft.bytes()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is not a GLB file"),
        (b'{"asset": {}}', "is not a GLB file"),
        (PLAIN[:15], "is truncated (it announces"),
        (PLAIN[:-9], "is truncated (it announces"),
        (PLAIN[:8] + (len(PLAIN) - 12).to_bytes(4, "little") + PLAIN[12:-12], "a chunk of"),
        (b"glTF" + struct.pack("<II", 2, 12), "has no JSON chunk"),
        (b"glTF" + struct.pack("<II", 1, 20) + bytes(8), "is glTF 1, which is not read"),
        (b"glTF" + struct.pack("<III4s", 2, 21, 1, b"JSON") + b"[", "is damaged"),
        (b"glTF" + struct.pack("<III4s", 2, 90_020, 90_000, b"JSON") + b"[" * 90_000, "is damaged"),
        (Draft().bytes(extensionsRequired=["NEW_shape"]), "needs NEW_shape, which is not read"),
        (Draft().bytes(extensionsRequired=["a\x1b\n"]), r"needs a\x1b\n, which is not read"),
        (Draft().bytes(nodes=7), "is damaged"),
        (changed("accessors.0.count", to=10**11), "stands for many times more"),
        (changed("accessors.0.count", to=25), "longer than its bufferView"),
        (changed("accessors.0.byteOffset", to=4), "longer than its bufferView"),
        (changed("accessors.0.componentType", to=5), "accessor of VEC3 5"),
        (changed("accessors.0.type", to="VEC4"), "longer than its bufferView"),
        (changed("accessors.1.count", to=35), "35 corners, which are not triangles"),
        (changed("bufferViews.0.byteLength", to=10**6), "a part of 1000000 bytes has"),
        (changed("buffers", to=[{"byteLength": 10**6}]), "a buffer of 1000000 bytes has"),
        (changed("buffers", to=[]), "names buffer 0, and has 0"),
        (changed("nodes.0.mesh", to=7), "names mesh 7, and has 1"),
        (changed("nodes.0.mesh", to=-1), "is damaged"),
        (changed("nodes.0.children", to=[0]), "has node 0 in two places"),
        (changed("nodes.0.children", to=[1]), "has node 1 in two places"),
        (changed("nodes.0.translation", to=[1e999, 0, 0]), "NaN"),
        (changed("nodes.0.skin", to=3), "names skin 3, and has 0"),
        (changed("scene", to=3), "names scene 3, and has 1"),
        (changed("meshes.0.primitives.0.mode", to=7), "a part of mode 7"),
        (changed("meshes.0.primitives.0.mode", to=1), "has no faces"),
        (changed("meshes.0.primitives.0.attributes", to={}), "a part without positions"),
        (changed("meshes.0.primitives.0.attributes.POSITION", to=1), "1 numbers, 3 needed"),
        (Draft(BOX.vertices[:5]).bytes(), "has faces of vertex 7, but 5 vertices"),
    ],
)
def test_what_is_wrong_is_said(content, message, read):
    with pytest.raises(DataError) as caught:
        read("a.glb", content)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_points_are_read_neither_alone_nor_beside_triangles(read, clouds):
    cloud = trimesh.Scene([trimesh.PointCloud(clouds(20))])
    with pytest.raises(DataError, match=r"a\.glb has no faces"):
        read("a.glb", cloud.export(file_type="glb"))
    cloud.add_geometry(BOX)
    with pytest.raises(DataError, match="has points beside its triangles"):
        read("a.glb", cloud.export(file_type="glb"))


def test_a_small_file_that_stands_for_a_large_one_takes_no_time(read):
    draft = Draft()
    draft.document["nodes"] = [{"mesh": 0}] * 30_000
    draft.document["scenes"] = [{"nodes": list(range(30_000))}]
    assert len(read("a.glb", draft.bytes())) == MESH_POINTS
    draft.document["meshes"][0]["primitives"] = [draft.part] * 1_000
    with pytest.raises(DataError, match="stands for many times more"):
        read("a.glb", draft.bytes())
    with pytest.raises(DataError, match="has node 60 in two places"):
        read("a.glb", Draft().bytes(nodes=[{"children": [i + 1, i + 1]} for i in range(60)] + [{}]))
