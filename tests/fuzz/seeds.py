"""Sound inputs of every format that is read, and of everything that is kept; made here, and small.

Some are hostile from the start: they name another file (`bait.*`, which lies beside every input),
code, or more than they hold.
"""

import io
import json
import pickle
import shutil
import struct
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

CLASSES = ("ball", "box", "rod")
KEPT = "kept"
"""The folder, in that of an input, of a structure of several files."""
BAITS = {
    "bait.py": b"open('opened', 'w')\nbuild = None\n",
    "bait.mtl": b"newmtl m\nmap_Kd bait.png\n",
    "bait.bin": bytes(4096),
    "bait.obj": b"v 0 0 0\n",
    "bait.h5": bytes(6 * 64 * 3 * 4),
}
"""Files that no input may open."""


@dataclass(frozen=True)
class Seed:
    """One sound input."""

    name: str
    target: str
    """How it is used: a key of `TARGETS`."""
    files: dict[str, bytes]
    """By their names in the folder of the input."""
    main: str
    """The file, or folder, that is opened."""
    damage: tuple[str, ...]
    """The files that are damaged, one in each input."""


def make(folder: Path, student: Path | None, kept: bool = True) -> list[Seed]:
    """All seeds.

    Args:
        folder: empty; data and cache stay there, which structures are used with.
        student: an exported student; None makes one, which takes half a minute.
        kept: with what is kept.
    """
    seeds = [_single("reader", name, content) for name, content in clouds().items()]
    seeds += _hdf5(folder) + _arrays(folder) + _tables() + _texts() + _weights(folder) + _students()
    return seeds + (_kept(folder, student) if kept else [])


def _single(target: str, name: str, content: bytes) -> Seed:
    """A seed of one file: `obj/negative` is `input.obj`."""
    file = f"input.{name.partition('/')[0]}"
    return Seed(name, target, {file: content}, file, (file,))


# Clouds


def clouds() -> dict[str, bytes]:
    """suffix/variant -> a file of 24 points, or of a small mesh."""
    draw = np.random.default_rng(0)
    points = draw.normal(size=(24, 3)).astype(np.float32)
    made = {f"npy/{name}": content for name, content in _npy(points).items()}
    made["npz/arrays"] = _saved(np.savez, points=points, normals=points, labels=np.arange(24))
    made["npz/packed"] = _saved(np.savez_compressed, cloud=points.astype(np.float64))
    made |= {f"ply/{name}": content for name, content in _ply(points).items()}
    made |= {f"pcd/{name}": content for name, content in _pcd(points).items()}
    made |= {f"{name}": content for name, content in _las(points).items()}
    sweep = np.c_[points, np.arange(24) / 24].astype("<f4")
    made["bin/kitti"] = sweep.tobytes()
    made["pcd.bin/nuscenes"] = np.c_[sweep, np.arange(24) % 8].astype("<f4").tobytes()
    made |= _text(points)
    return made | _meshes()


def _saved(save: Any, *arrays: Any, **named: Any) -> bytes:
    buffer = io.BytesIO()
    save(buffer, *arrays, **named)
    return buffer.getvalue()


def _npy(points: np.ndarray) -> dict[str, bytes]:
    objects = np.array([{"a": 1}] * 9, dtype=object)
    return {
        "float32": _saved(np.save, points),
        "fortran": _saved(np.save, np.asfortranarray(points.astype(">f8"))),
        "whole": _saved(np.save, (points * 100).astype(np.int16)),
        "wide": _saved(np.save, np.repeat(points, 2, axis=1)),
        "pickle": _saved(lambda file, array: np.save(file, array, allow_pickle=True), objects),
        "is_npz": _saved(np.savez, points),
    }


def _ply(points: np.ndarray) -> dict[str, bytes]:
    def head(kind: str, *more: str, count: int = 24) -> bytes:
        lines = ["ply", f"format {kind} 1.0", "comment made here", f"element vertex {count}"]
        lines += [f"property float {axis}" for axis in "xyz"]
        return "\n".join([*lines, *more, "end_header", ""]).encode()

    def rows(array: np.ndarray) -> bytes:
        return b"".join(b" ".join(b"%r" % float(v) for v in row) + b"\n" for row in array)

    colours = tuple(f"property uchar {name}" for name in ("red", "green", "blue"))
    record = np.dtype([("xyz", "<f4", 3), ("rgb", "u1", 3)])
    coloured = np.zeros(24, record)
    coloured["xyz"], coloured["rgb"] = points, 7
    corners, faces = _box()
    face = "property list uchar int vertex_indices"
    lists = b"".join(struct.pack("<B4i", 4, *face) for face in faces)
    lines = b"".join(b"4 %d %d %d %d\n" % tuple(face) for face in faces)
    mesh = (f"element face {len(faces)}", face)
    return {
        "ascii": head("ascii") + rows(points),
        "little": head("binary_little_endian", *colours) + coloured.tobytes(),
        "big": head("binary_big_endian") + points.astype(">f4").tobytes(),
        "mesh": head("ascii", *mesh, count=8) + rows(corners) + lines,
        "binary_mesh": head("binary_little_endian", *mesh, count=8)
        + corners.astype("<f4").tobytes()
        + lists,
    }


def _pcd(points: np.ndarray) -> dict[str, bytes]:
    def head(data: str) -> bytes:
        return (
            "# .PCD v0.7 - Point Cloud Data file format\nVERSION 0.7\nFIELDS x y z rgb\n"
            "SIZE 4 4 4 4\nTYPE F F F U\nCOUNT 1 1 1 1\nWIDTH 24\nHEIGHT 1\n"
            f"VIEWPOINT 0 0 0 1 0 0 0\nPOINTS 24\nDATA {data}\n"
        ).encode()

    from pypcd4.pypcd4 import Encoding, PointCloud

    record = np.zeros(24, [("xyz", "<f4", 3), ("rgb", "<u4")])
    record["xyz"], record["rgb"] = points, 0x102030
    packed = _saved(
        lambda file: PointCloud.from_xyz_points(points).save(file, Encoding.BINARY_COMPRESSED)
    )
    rows = b"".join(b"%r %r %r 1056816\n" % tuple(map(float, row)) for row in points)
    return {
        "ascii": head("ascii") + rows,
        "binary": head("binary") + record.tobytes(),
        "packed": packed,
    }


def _las(points: np.ndarray) -> dict[str, bytes]:
    import laspy

    made = {}
    for name, version, form in (("old", "1.2", 3), ("new", "1.4", 7)):
        header = laspy.LasHeader(version=version, point_format=form)
        header.offsets, header.scales = np.array([5e5, 5e6, 100.0]), np.array([0.001] * 3)
        header.creation_date = None
        header.vlrs.append(laspy.VLR("made", 1, "here", b"0123456789"))
        scan = laspy.LasData(header)
        scan.xyz = points.astype(np.float64) + header.offsets
        scan.intensity = np.arange(24, dtype=np.uint16)
        for kind in ("las", "laz"):
            made[f"{kind}/{name}"] = _saved(scan.write, do_compress=kind == "laz")
    return made


def _text(points: np.ndarray) -> dict[str, bytes]:
    def rows(between: str, extra: str = "") -> bytes:
        lines = [between.join(f"{value:.6f}" for value in row) + extra for row in points]
        return "\n".join([*lines, ""]).encode()

    return {
        "xyz/spaces": rows(" "),
        "txt/commas": rows(","),
        "txt/comment": b"# x y z intensity\n" + rows(" ", " 7"),
        "txt/tabs": b"\xef\xbb\xbf" + rows("\t").replace(b"\n", b"\r\n"),
        "csv/named": b"id,x,y,z\n" + b"".join(b"5," + line for line in rows(",").splitlines(True)),
        "csv/semicolons": b"x;y;z;red;green;blue\n" + rows(";", ";1;2;3"),
        "pts/counted": b"24\n" + rows(" "),
    }


def _box() -> tuple[np.ndarray, list[tuple[int, ...]]]:
    """Corners (8, 3) and faces of a box."""
    corners = np.array([[i >> 2 & 1, i >> 1 & 1, i & 1] for i in range(8)], np.float64) * (1, 2, 3)
    faces = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
    return corners, faces


def _meshes() -> dict[str, bytes]:
    corners, faces = _box()
    triangles = [t for a, b, c, d in faces for t in ((a, b, c), (a, c, d))]
    rows = "".join(f"{x:g} {y:g} {z:g}\n" for x, y, z in corners)
    quads = "".join("4 {} {} {} {}\n".format(*face) for face in faces)
    cut = "".join("3 {} {} {}\n".format(*face) for face in triangles)
    v = "".join(f"v {line}\n" for line in rows.splitlines())
    f = "".join("f {} {} {} {}\n".format(*(i + 1 for i in face)) for face in faces)
    back = "".join("f {} {} {} {}\n".format(*(i - 8 for i in face)) for face in faces)
    full = "".join("f " + " ".join(f"{i + 1}/1/1" for i in face) + "\n" for face in triangles)
    facets = [corners[list(triangle)].astype("<f4") for triangle in triangles]
    solid = "".join(
        "facet normal 0 0 1\nouter loop\n"
        + "".join("vertex {:g} {:g} {:g}\n".format(*corner) for corner in facet)
        + "endloop\nendfacet\n"
        for facet in facets
    )
    binary = b"".join(bytes(12) + facet.tobytes() + bytes(2) for facet in facets)
    texts = {
        "off/quads": f"OFF\n8 6 0\n{rows}{quads}",
        "off/joined": f"OFF8 12 0\n{rows}{cut}",
        "off/comment": f"OFF\n# a box\n8 12 0\n\n{rows}{cut}",
        "obj/quads": f"# a box\no box\n{v}{f}",
        "obj/negative": f"{v}{back}{v}{back}",
        "obj/full": f"mtllib bait.mtl\n{v}vt 0 0\nvn 0 0 1\nusemtl m\ns off\n{full}",
        "obj/bare": "".join(f"v {i % 5} {i % 3} {i}\n" for i in range(12)),
        "stl/ascii": f"solid box\n{solid}endsolid box\n",
    }
    made = {name: text.encode() for name, text in texts.items()}
    made["stl/binary"] = bytes(80) + struct.pack("<I", len(facets)) + binary
    positions, indices = corners.astype("<f4"), np.array(triangles, "<u2")
    made["glb/nodes"] = glb(positions, indices)
    made["glb/external"] = glb(positions, indices, uri="bait.bin")
    return made


def glb(positions: np.ndarray, indices: np.ndarray, uri: str | None = None) -> bytes:
    """A binary glTF file of two nodes, one in the other, with a mesh each."""
    body = positions.tobytes() + indices.tobytes()
    first = positions.nbytes
    tree = {
        "asset": {"version": "2.0"},
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [
            {"mesh": 0, "children": [1], "translation": [1, 2, 3]},
            {"mesh": 0, "scale": [2, 1, 1], "rotation": [0, 0, 1, 0]},
        ],
        "meshes": [{"primitives": [{"attributes": {"POSITION": 0}, "indices": 1, "mode": 4}]}],
        "accessors": [
            {
                **{"bufferView": 0, "componentType": 5126, "count": len(positions), "type": "VEC3"},
                **{"min": positions.min(0).tolist(), "max": positions.max(0).tolist()},
            },
            {"bufferView": 1, "componentType": 5123, "count": indices.size, "type": "SCALAR"},
        ],
        "bufferViews": [
            {"buffer": 0, "byteOffset": 0, "byteLength": first},
            {"buffer": 0, "byteOffset": first, "byteLength": indices.nbytes},
        ],
        "buffers": [{"byteLength": len(body)} | ({"uri": uri} if uri else {})],
    }
    text = json.dumps(tree).encode()
    text += b" " * (-len(text) % 4)
    chunks = struct.pack("<I", len(text)) + b"JSON" + text
    chunks += struct.pack("<I", len(body)) + b"BIN\0" + body
    return b"glTF" + struct.pack("<II", 2, 12 + len(chunks)) + chunks


# Data sets


def _hdf5(folder: Path) -> list[Seed]:
    import h5py

    draw = np.random.default_rng(1)
    data = draw.normal(size=(6, 64, 3)).astype(np.float32)
    labels = np.array([[0], [1], [2], [0], [1], [2]], np.uint8)
    seeds = []
    for name in ("plain", "packed", "external"):
        path = folder / "train0.h5"
        with h5py.File(path, "w") as file:
            if name == "external":
                file.create_dataset(
                    "data", data.shape, "<f4", external=[("bait.h5", 0, data.nbytes)]
                )
            else:
                packed = {"compression": "gzip", "chunks": (2, 64, 3), "shuffle": True}
                file.create_dataset("data", data=data, **(packed if name == "packed" else {}))
            file.create_dataset("label", data=labels)
            file.create_dataset("normal", data=data)
        files = {
            "train0.h5": path.read_bytes(),
            "train_files.txt": b"data/set/train0.h5\n",
            "test_files.txt": b"train0.h5\n",
            "shape_names.txt": "\n".join(CLASSES).encode(),
        }
        path.unlink()
        damage = ("train0.h5",) * 4 + ("train_files.txt", "shape_names.txt")
        seeds.append(Seed(f"h5/{name}", "hdf5", files, ".", damage))
    return seeds


def _arrays(folder: Path) -> list[Seed]:
    """All clouds in one file, with and without a description; links in HDF5 lead to a bait."""
    import h5py

    draw = np.random.default_rng(4)
    counts = np.array([9, 12, 10, 16, 11, 14])
    ends = np.cumsum(counts)
    labels = np.array([*CLASSES, "", *CLASSES[:2]])
    splits = np.array(["train", "train", "test", "train", "shift", "test"])
    flat = draw.normal(size=(ends[-1], 4)).astype(np.float32)
    padded = np.full((6, 16, 4), np.nan, np.float32)
    for row, (end, count) in enumerate(zip(ends, counts, strict=True)):
        padded[row, :count] = flat[end - count : end]
    known = {"labels": labels, "split": splits, "group": np.arange(6) // 2}
    plain = {"points": flat[:, :3], "offsets": np.r_[0, ends], "doppler": flat[:, 3], **known}
    named = {"x": padded, "n": counts, "y": labels, "who": np.arange(6) // 2}
    about = (
        b"points: x\ncounts: n\nlabels: y\ngroup: who\ncolumns: {x: 0, y: 1, z: 2, doppler: 3}\n"
    )
    seeds = []
    for suffix in ("npz", "h5"):
        for name, arrays in (("plain", plain), ("described", named)):
            path = folder / f"all.{suffix}"
            if suffix == "npz":
                np.savez(path, **arrays)
            else:
                with h5py.File(path, "w") as file:
                    for each, array in arrays.items():
                        file[each] = array.astype("S") if array.dtype.kind == "U" else array
                    file["velocity"] = h5py.ExternalLink("bait.h5", "points")
            files = {f"all.{suffix}": path.read_bytes()}
            path.unlink()
            if name == "described":
                files["all.yaml"] = f"data: all.{suffix}\n".encode() + about
            main = "all.yaml" if name == "described" else f"all.{suffix}"
            seeds.append(Seed(f"{suffix}/{name}", "arrays", files, main, (*files,)))
    return seeds


def _tables() -> list[Seed]:
    """A table of labels, and the clouds that it names; one names what is elsewhere."""
    draw = np.random.default_rng(5)
    places = [f"{'ab'[i % 2]}/{i}.npy" for i in range(6)]
    files = {place: _saved(np.save, draw.normal(size=(9 + i, 3))) for i, place in enumerate(places)}
    lines = [
        f"{place},{(*CLASSES, '')[i % 4]},{('train', 'test')[i % 3 == 2]},g{i // 2}"
        for i, place in enumerate(places)
    ]
    whole = "\n".join(["path,label,split,group", *lines, ""]).encode()
    bare = "\n".join(["label;path", *(f"{i % 2};{each}" for i, each in enumerate(places))]).encode()
    out = whole + b"../bait.obj,ball,train,g9\n"
    return [
        Seed(f"csv/{name}", "label_table", {"labels.csv": table} | files, ".", damage)
        for name, table in {"whole": whole, "bare": bare, "outside": out}.items()
        for damage in [("labels.csv",) * 4 + (places[0],)]
    ]


# Texts that are typed or kept


def _texts() -> list[Seed]:
    class_map = b"ball: ball\nbox: box\ncube: box\nrod: null\n'7': rod\n"
    description = (
        b"teacher: stillnet-n\nclasses: [ball, box, rod]\nframe: x,z,y\nup: z\npoints: 64\n"
        b"features: [xyz]\nlayout: bn3\noutput: logits\n"
        b"checked: {shapes: 9, accuracy: 0.9, frames: {'x,z,y': 0.9}, fingerprint: f00d}\n"
    )
    recipe = (
        b"loss: nwsd\nepochs: 3\npoints: 64\nbatch_size: 8\nlearning_rate: 0.002\nval: 0.0\n"
        b"keep: last\nseed: 0\nalpha: 0.5\norigin:\n  model: stillnet-n\n  classes: [ball, box]\n"
    )
    return [
        _single("class_map", "yaml/class_map", class_map),
        _single("description", "yaml/description", description),
        _single("recipe", "yaml/recipe", recipe),
    ]


# Teachers


def _weights(folder: Path) -> list[Seed]:
    import safetensors.torch
    import torch

    from pointstill.models import build_model

    torch.manual_seed(0)
    model = build_model("stillnet-n", len(CLASSES)).eval()
    state = model.state_dict()
    scripted = torch.jit.trace(torch.nn.Linear(3, 3), torch.zeros(1, 3))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = {
            "safetensors/plain": safetensors.torch.save(state),
            "pt/plain": _saved(lambda file: torch.save(state, file)),
            "t7/wrapped": _saved(lambda file: torch.save({"net": state, "acc": 0.9}, file)),
            "pth/old": _saved(
                lambda file: torch.save(state, file, _use_new_zipfile_serialization=False)
            ),
            "pth/object": _saved(lambda file: torch.save({"model": _Hostile()}, file)),
            "pth/pickle": pickle.dumps(_Hostile()),
            "pt/script": _saved(lambda file: torch.jit.save(scripted, file)),
        }
    seeds = [_single("weights", name, content) for name, content in made.items()]
    beside = {"input.pt": made["pt/plain"], "input.pt.yaml": b"teacher: bait:build\n"}
    seeds.append(Seed("pt/described", "described", beside, "input.pt", ("input.pt.yaml",)))
    plain = {"input.onnx": network()}
    seeds.append(Seed("onnx/teacher", "teacher", plain, "input.onnx", ("input.onnx",)))
    outside = {"input.onnx": network(outside="input.onnx.data")}
    outside["input.onnx.data"] = _COLUMNS.tobytes()
    seeds.append(Seed("onnx/outside", "teacher", outside, "input.onnx", (*outside,)))
    hostile = {"input.onnx": network(outside="../bait.bin")}
    return [*seeds, Seed("onnx/hostile", "teacher", hostile, "input.onnx", ("input.onnx",))]


class _Hostile:
    """What runs a command when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        import os

        return os.system, ("true",)


_COLUMNS = np.random.default_rng(3).normal(size=(3, len(CLASSES))).astype(np.float32)


def network(about: dict[str, Any] | None = None, outside: str | None = None) -> bytes:
    """An ONNX graph (batch, n, 3) -> (batch, 3), with metadata or weights in another file."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    weights = numpy_helper.from_array(_COLUMNS, "weights")
    if outside:
        onnx.external_data_helper.set_external_data(weights, outside, 0, _COLUMNS.nbytes)
        weights.ClearField("raw_data")
    axes = numpy_helper.from_array(np.array([1]), "axes")
    graph = helper.make_graph(
        [
            helper.make_node("ReduceMax", ["points", "axes"], ["most"], keepdims=0),
            helper.make_node("MatMul", ["most", "weights"], ["logits"]),
        ],
        "net",
        [helper.make_tensor_value_info("points", TensorProto.FLOAT, ["batch", "n", 3])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", len(CLASSES)])],
        [weights, axes],
    )
    opset = [helper.make_opsetid("", 18)]
    model = helper.make_model(graph, opset_imports=opset, ir_version=9)
    if about is not None:
        helper.set_model_props(model, {"pointstill": json.dumps(about)})
    return bytes(model.SerializeToString())


def _students() -> list[Seed]:
    """What calls itself a student."""
    about: dict[str, Any] = {"classes": [*CLASSES], "points": 64, "up": "z", "model": "stillnet-n"}
    made = {
        "onnx/about": network(about),
        "onnx/classes": network(about | {"classes": ["one"]}),
        "onnx/external": network(about, outside="bait.bin"),
    }
    return [_single("student", name, content) for name, content in made.items()]


# What is kept


class _Killed(BaseException):
    """The end of a job, as by a signal."""


def _kept(folder: Path, student: Path | None) -> list[Seed]:
    from unittest import mock

    from pointstill.data import open_dataset
    from pointstill.deployment.exporting import export
    from pointstill.recipe import RecordRecipe
    from pointstill.recording.job import record
    from pointstill.records import layout
    from pointstill.run import Run
    from pointstill.teachers import load_teacher
    from pointstill.training.jobs import train

    from .targets import MODEL, RESUMED, TRAINED

    data = open_dataset(_solids(folder / "data"), cache=folder / "cache")
    run = train(MODEL, data, out=folder / "run", recipe=TRAINED, quiet=True)
    seeds = [_tree("run", run.folder), _tree("cache", folder / "cache")]
    seeds.append(_tree("student_kept", student or export(run, folder / "student.onnx")))
    save = Run.save_state

    def save_and_die(run: Run, state: dict[str, Any]) -> None:
        save(run, state)
        raise _Killed

    try:
        with mock.patch.object(Run, "save_state", save_and_die):
            train(MODEL, data, out=folder / "unfinished", recipe=RESUMED, quiet=True)
    except _Killed:
        seeds.append(_tree("unfinished", folder / "unfinished"))
    teacher = load_teacher(str(run.folder), classes=data.classes)
    codecs: dict[str, dict[str, Any]] = {
        "float16": {},
        "int8": {"codec": "int8"},
        "topk": {"codec": "topk:2"},
        "keyed": {"keyed": True, "augment": "scale,shift,jitter"},
    }
    with mock.patch.object(layout, "TILE", 6):
        for name, options in codecs.items():
            recipe = RecordRecipe(**{"views": 2, "points": 32} | options)
            store = folder / f"{name}.zarr"
            record(teacher, data, out=store, recipe=recipe, quiet=True)
            seeds.append(_tree("store", store, name))
    return seeds


def _tree(target: str, path: Path, name: str = "") -> Seed:
    """A kept file, or all files of a kept folder."""
    if path.is_file():
        files = {f"{KEPT}/{path.name}": path.read_bytes()}
    else:
        files = {
            f"{KEPT}/{file.relative_to(path).as_posix()}": file.read_bytes()
            for file in sorted(path.rglob("*"))
            if file.is_file() and file.name != ".lock"
        }
    main = next(iter(files)) if path.is_file() else KEPT
    return Seed(f"{target}/{name or path.name}", target, files, main, tuple(files))


def _solids(root: Path) -> Path:
    """A data set: five clouds in each of three classes."""
    shutil.rmtree(root, ignore_errors=True)
    draw = np.random.default_rng(2)
    for number, name in enumerate(CLASSES):
        (root / name).mkdir(parents=True)
        for i in range(5):
            cloud = draw.normal(size=(40 + i, 3)).astype(np.float32) * (1, 1, 1 + number)
            np.save(root / name / f"{i}.npy", cloud.astype(np.float32))
    return root
