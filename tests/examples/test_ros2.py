"""The functions of the ROS 2 package, on messages and a bag of rosbags; the node on stand-ins."""

import importlib
import sys
from dataclasses import is_dataclass
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.lib.recfunctions import repack_fields
from rosbags.rosbag2 import Reader, StoragePlugin, Writer
from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from scipy.cluster.hierarchy import fcluster, linkage

from pointstill import Classifier
from pointstill.errors import DataError
from pointstill.storage.calibration import Calibration
from solid_clouds import solid

HERE = Path(__file__).parents[2] / "examples/ros2"
STUDENT = Path(__file__).parents[1] / "stored/nwsd.onnx"
VISION = {
    "Detection3DArray": "std_msgs/Header header\nDetection3D[] detections",
    "Detection3D": "std_msgs/Header header\nObjectHypothesisWithPose[] results\n"
    "BoundingBox3D bbox\nstring id",
    "ObjectHypothesisWithPose": "ObjectHypothesis hypothesis\n"
    "geometry_msgs/PoseWithCovariance pose",
    "ObjectHypothesis": "string class_id\nfloat64 score",
    "BoundingBox3D": "geometry_msgs/Pose center\ngeometry_msgs/Vector3 size",
}
"""vision_msgs 4, which rosbags does not bring."""
STORE = get_typestore(Stores.ROS2_JAZZY)
for _name, _text in VISION.items():
    STORE.register(get_types_from_msg(_text, f"vision_msgs/msg/{_name}"))
CODES = {"i1": 1, "u1": 2, "i2": 3, "u2": 4, "i4": 5, "u4": 6, "f4": 7, "f8": 8}


@pytest.fixture(scope="module")
def package():
    """Its modules `clouds` and `detections`, which need no ROS."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(HERE))
        yield SimpleNamespace(
            clouds=importlib.import_module("pointstill_ros.clouds"),
            detections=importlib.import_module("pointstill_ros.detections"),
        )


def made(kind: str, /, **values: Any) -> Any:
    return STORE.types[kind](**values)


def header(frame: str = "base_link") -> Any:
    return made(
        "std_msgs/msg/Header",
        stamp=made("builtin_interfaces/msg/Time", sec=7, nanosec=9),
        frame_id=frame,
    )


def message(
    table: np.ndarray, rows: int = 1, row_padding: int = 0, frame: str = "base_link", **other: Any
) -> Any:
    """A PointCloud2 of a structured array, sent and received as CDR."""
    big = any(kind.byteorder == ">" for kind, *_ in table.dtype.fields.values())
    described = []
    for name in table.dtype.names:
        kind, offset = table.dtype.fields[name][:2]
        base, count = kind.subdtype or (kind, ())
        described.append(
            made(
                "sensor_msgs/msg/PointField",
                name=name,
                offset=offset,
                datatype=CODES[base.str[1:]],
                count=int(np.prod(count, initial=1)),
            )
        )
    step, columns = table.dtype.itemsize, len(table) // rows
    lines = np.full((rows, columns * step + row_padding), 0xAB, np.uint8)
    lines[:, : columns * step] = np.frombuffer(table.tobytes(), np.uint8).reshape(rows, -1)
    values = {
        "header": header(frame),
        "height": rows,
        "width": columns,
        "fields": described,
        "is_bigendian": big,
        "point_step": step,
        "row_step": lines.shape[1],
        "data": lines.reshape(-1),
        "is_dense": False,
    }
    kind = "sensor_msgs/msg/PointCloud2"
    return STORE.deserialize_cdr(STORE.serialize_cdr(made(kind, **values | other), kind), kind)


def table_of(xyz: np.ndarray, dtype: Any = None) -> np.ndarray:
    dtype = dtype or [(axis, "<f4") for axis in "xyz"]
    table = np.zeros(len(xyz), dtype)
    for place, axis in enumerate("xyz"):
        table[axis] = xyz[:, place]
    return table


LAYOUTS = {
    "plain": np.dtype([(axis, "<f4") for axis in "xyz"]),
    # x, y, z, four bytes of padding, intensity, ring, six bytes of padding: a Velodyne's point.
    "padded": np.dtype(
        {
            "names": ["x", "y", "z", "intensity", "ring"],
            "formats": ["<f4"] * 4 + ["<u2"],
            "offsets": [0, 4, 8, 16, 20],
            "itemsize": 28,
        }
    ),
    "big endian": np.dtype([("x", ">f4"), ("y", ">f4"), ("z", ">f4"), ("ring", ">u2")]),
    "doubles": np.dtype([(axis, "<f8") for axis in "xyz"]),
    "another order": np.dtype([("t", "<u4"), ("z", "<f4"), ("x", "<f4"), ("y", "<f4")]),
    "arrays": np.dtype([("x", "<f4"), ("y", "<f4"), ("z", "<f4"), ("fpfh", "<f4", (33,))]),
    "unaligned": np.dtype([("tag", "u1"), ("x", "<f4"), ("y", "<f4"), ("z", "<f4")]),
}


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
@pytest.mark.parametrize(("rows", "row_padding"), [(1, 0), (6, 0), (6, 5)])
def test_every_layout_is_read(package, layout, rows, row_padding):
    draw = np.random.default_rng(0)
    table = table_of(draw.normal(size=(60, 3)), layout)
    for name in set(layout.names) - {*"xyz"}:
        table[name] = draw.integers(0, 100, table[name].shape)
    found = package.clouds.read_cloud(message(table, rows, row_padding))
    assert found.dtype == layout
    np.testing.assert_array_equal(repack_fields(found), repack_fields(table))


def test_messages_without_points(package, classifier):
    empty = table_of(np.empty((0, 3)))
    assert len(package.clouds.read_cloud(message(empty, fields=[], point_step=0))) == 0
    table = package.clouds.read_cloud(message(empty))
    assert package.detections.classify_clusters(classifier, table) == ([], [])


def test_a_count_of_none_is_one(package):
    """As some drivers write it."""
    given = message(table_of(np.ones((9, 3))))
    for each in given.fields:
        each.count = 0
    np.testing.assert_array_equal(package.clouds.read_cloud(given)["z"], np.ones(9))


@pytest.mark.parametrize(
    ("other", "what"),
    [
        ({"width": 61}, "announces 1 x 61 points of 12 bytes in rows of 720, and has 720 bytes"),
        (
            {"height": 2, "width": 30, "row_step": 100},
            "announces 2 x 30 points of 12 bytes in rows",
        ),
        ({"point_step": 8}, r"has points of 8 bytes with x at 0, y at 4, z at 8 \("),
        ({"point_step": 0}, "has points of 0 bytes"),
    ],
)
def test_messages_that_do_not_fit_are_refused(package, other, what):
    with pytest.raises(DataError, match=f"the cloud {what}"):
        package.clouds.read_cloud(message(table_of(np.ones((60, 3))), **other))


def test_fields_that_cannot_be_are_refused(package):
    given = message(table_of(np.ones((9, 3))))
    given.fields[2].datatype = 99
    with pytest.raises(DataError, match="has z of datatype 99"):
        package.clouds.read_cloud(given)
    given.fields[2].datatype, given.fields[2].name = 7, "x"
    with pytest.raises(DataError, match=r"x at 0, y at 4, x at 8 \("):
        package.clouds.read_cloud(given)


@pytest.mark.parametrize("frame", ["camera_depth_optical_frame", "left_optical"])
def test_an_optical_frame_is_refused(package, frame):
    with pytest.raises(DataError, match=f"is in {frame}, an optical frame"):
        package.clouds.read_cloud(message(table_of(np.ones((9, 3))), frame=frame))


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    found = Classifier(STUDENT, drop_missing=True, up="z")
    found.calibration = Calibration(temperature=2.0, threshold=-100.0)  # it was never calibrated
    return found


PLACES = {"ball": (2.0, 0.0, 1.2), "box": (0.0, 3.0, 1.2), "rod": (-3.0, 1.0, 1.2)}


def placed(name: str) -> np.ndarray:
    return solid(name, 600, 5) + np.float32(PLACES[name])


@pytest.fixture(scope="module")
def scene() -> np.ndarray:
    """Three solids above a sloping floor, beside a wall, and rays that met nothing: (n, 3)."""
    draw = np.random.default_rng(1)
    floor = np.concatenate([draw.uniform(-6, 6, (3_999, 2)), draw.normal(0, 0.01, (3_999, 1))], 1)
    floor[:, 2] += 0.02 * floor[:, 0]
    wall = np.stack([draw.uniform(-6, 6, 3_000), np.full(3_000, 6.0), draw.uniform(0, 3, 3_000)], 1)
    solids = [placed(name) for name in PLACES]
    few = draw.normal((4, 4, 2), 0.02, (5, 3))
    cloud = np.concatenate([floor, *solids, wall, few, np.full((500, 3), np.nan)])
    return draw.permutation(cloud.astype(np.float32))


def test_what_stands_in_a_scene(package, classifier, scene):
    table = package.clouds.read_cloud(message(table_of(scene, LAYOUTS["padded"]), rows=4))
    found = package.detections.classify_clusters(classifier, table, tolerance=0.3)
    assert found.refused == []
    assert len(found.detections) == len(PLACES)
    for name, place in PLACES.items():
        away = [np.linalg.norm(each.centroid - place) for each in found.detections]
        each = found.detections[int(np.argmin(away))]
        assert min(away) < 0.1
        assert each.points == 600
        cloud = placed(name)
        np.testing.assert_allclose(each.low, cloud.min(0), atol=1e-6)
        np.testing.assert_allclose(each.high, cloud.max(0), atol=1e-6)
        # The same points in the order in which the scan has them, asked by themselves.
        rows = [tuple(point) for point in scene.tolist()]
        mine = {tuple(point) for point in cloud.tolist()}
        alone = np.array([row for row in rows if row in mine], np.float32)
        assert len(alone) == 600
        ((wanted, probability), *_) = classifier.predict(alone, reject=True)
        assert (each.name, each.probability) == (wanted, pytest.approx(probability, abs=1e-5))


def test_what_is_left_out(package, classifier, scene):
    table = table_of(scene)
    count = lambda **options: len(  # noqa: E731
        package.detections.classify_clusters(classifier, table, **{"tolerance": 0.3} | options)[0]
    )
    assert count(largest=13.0) == len(PLACES) + 1  # the wall
    assert count(least=601) == 0
    assert count(ground=0, largest=100.0, least=1000) == 1  # floor and wall in one


def test_what_the_student_does_not_know_is_unknown(package, classifier, scene, monkeypatch):
    ask = package.detections.classify_clusters
    known = ask(classifier, table_of(scene), tolerance=0.3).detections
    strict = Calibration(temperature=2.0, threshold=1e9)
    monkeypatch.setattr(classifier, "calibration", strict)
    found = ask(classifier, table_of(scene), tolerance=0.3).detections
    assert [each.name for each in found] == ["unknown"] * 3
    assert [each.probability for each in found] == [each.probability for each in known]


def test_a_field_that_the_student_lacks_is_said(package, scene):
    class Needs:
        fewest, calibration = 64, SimpleNamespace(threshold=None)

        def predict(self, part, top, reject):
            assert (top, reject) == (1, False)
            raise DataError("has no doppler, but x, y, z", where="the cloud")

    found = package.detections.classify_clusters(Needs(), table_of(scene), tolerance=0.3)
    assert found == ([], ["the cloud has no doppler, but x, y, z"] * len(PLACES))
    with pytest.raises(DataError, match="has no y and no z, but x"):
        package.detections.classify_clusters(Needs(), np.zeros(9, [("x", "f4")]))


def test_clusters_are_those_of_single_linkage(package):
    draw = np.random.default_rng(2)
    centres = draw.uniform(-4, 4, (12, 3))
    cloud = np.concatenate([draw.normal(c, 0.08, (60, 3)) for c in centres])
    for tolerance in (0.15, 0.3, 0.6):
        found = package.detections.clusters(cloud, tolerance)
        wanted = fcluster(linkage(cloud, "single"), tolerance, "distance")
        pairs = {(a, b) for a, b in zip(found, wanted, strict=True)}
        assert len(pairs) == found.max() + 1 == wanted.max()
        firsts = [int(np.argmax(found == each)) for each in range(found.max() + 1)]
        assert firsts == sorted(firsts)


def test_the_ground_is_level_and_has_nothing_below(package):
    draw = np.random.default_rng(3)
    tables = np.concatenate([draw.uniform(-1, 1, (3_000, 2)), np.full((3_000, 1), 0.8)], 1)
    floor = np.concatenate([draw.uniform(-1, 1, (1_000, 2)), np.zeros((1_000, 1))], 1)
    stands = package.detections.above_ground(np.concatenate([tables, floor]), 0.05)
    np.testing.assert_array_equal(stands, np.arange(4_000) < 3_000)
    wall = np.stack([np.zeros(500), draw.uniform(0, 3, 500), draw.uniform(0, 3, 500)], 1)
    assert package.detections.above_ground(wall, 0.05).mean() > 0.9
    assert package.detections.above_ground(wall[:2], 0.05).all()


def filled(name: str, values: Any) -> Any:
    """A message of a nested mapping; what is not said is as ROS leaves it."""
    if is_dataclass(values):
        return values
    _, described = STORE.fielddefs[name]
    found = {}
    for field, (kind, detail) in described:
        given = values.get(field)
        if kind.name == "NAME":
            found[field] = filled(detail, given or {})
        elif kind.name == "SEQUENCE":
            found[field] = [filled(detail[0][1], each) for each in given]
        elif kind.name == "ARRAY":
            found[field] = np.zeros(detail[1])
        else:
            found[field] = given if given is not None else "" if detail[0] == "string" else 0
    unknown = values.keys() - found.keys()
    assert not unknown, f"{name} has no {unknown}"
    return made(name, **found)


def test_the_answer_is_a_message(package, classifier, scene):
    table = table_of(scene)
    found = package.detections.classify_clusters(classifier, table, tolerance=0.3)
    kind = "vision_msgs/msg/Detection3DArray"
    sent = filled(kind, package.detections.as_message(header("map"), found.detections))
    got = STORE.deserialize_cdr(STORE.serialize_cdr(sent, kind), kind)
    assert (got.header.frame_id, got.header.stamp.sec) == ("map", 7)
    assert len(got.detections) == len(found.detections) == 3
    for each, wanted in zip(got.detections, found.detections, strict=True):
        (result,) = each.results
        assert each.header.frame_id == "map"
        assert (result.hypothesis.class_id, result.hypothesis.score) == wanted[:2]
        position, size = result.pose.pose.position, each.bbox.size
        assert (position.x, position.y, position.z) == tuple(wanted.centroid)
        assert (size.x, size.y, size.z) == tuple(wanted.high - wanted.low)
        assert each.bbox.center.position.z == (wanted.low[2] + wanted.high[2]) / 2
        assert result.pose.pose.orientation.w == each.bbox.center.orientation.w == 1


def test_a_bag_from_end_to_end(package, classifier, scene, tmp_path):
    kind, bag = "sensor_msgs/msg/PointCloud2", tmp_path / "bag"
    with Writer(bag, version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        topic = writer.add_connection("/points", kind, typestore=STORE)
        for time, table in enumerate((table_of(scene), table_of(scene[:0]))):
            writer.write(topic, time, STORE.serialize_cdr(message(table), kind))
    with Reader(bag) as reader:
        scans = [STORE.deserialize_cdr(raw, kind) for *_, raw in reader.messages()]
    tables = [package.clouds.read_cloud(scan) for scan in scans]
    counts = [
        len(package.detections.classify_clusters(classifier, each, tolerance=0.3).detections)
        for each in tables
    ]
    assert counts == [3, 0]


class StandInNode:
    """What of rclpy's `Node` the node uses."""

    given: dict[str, Any]

    def __init__(self, name: str):
        self.said: list[tuple[str, str]] = []
        self.subscribed: dict[str, Any] = {}
        self.published: list[Any] = []

    def declare_parameter(self, name: str, default: Any) -> SimpleNamespace:
        return SimpleNamespace(value=self.given.get(name, default))

    def get_logger(self) -> SimpleNamespace:
        def say(level: str):
            return lambda text, throttle_duration_sec=0.0: self.said.append((level, text))

        return SimpleNamespace(warning=say("warning"), error=say("error"))

    def create_publisher(self, kind: Any, topic: str, depth: int) -> SimpleNamespace:
        assert topic == "detections"
        return SimpleNamespace(publish=self.published.append)

    def create_subscription(self, kind: Any, topic: str, call: Any, profile: Any) -> None:
        self.subscribed[topic] = call


def test_the_node_on_stand_ins(package, scene, monkeypatch):
    """Of ROS nothing is here: this shows that its lines fit each other, and no more."""

    def module(name: str, **content: Any) -> None:
        found = ModuleType(name)
        vars(found).update(content)
        monkeypatch.setitem(sys.modules, name, found)

    module("rclpy")
    module("rclpy.node", Node=StandInNode)
    module(
        "rclpy.qos",
        QoSProfile=SimpleNamespace,
        ReliabilityPolicy=SimpleNamespace(BEST_EFFORT="best"),
    )
    module("rosidl_runtime_py", set_message_fields=dict.update)
    module("sensor_msgs")
    module("sensor_msgs.msg", PointCloud2="PointCloud2")
    module("vision_msgs")
    module("vision_msgs.msg", Detection3DArray=dict)
    monkeypatch.delitem(sys.modules, "pointstill_ros.node", raising=False)
    node_module = importlib.import_module("pointstill_ros.node")
    StandInNode.given = {"student": str(STUDENT), "tolerance": 0.3}
    node = node_module.ClassifierNode()
    node.subscribed["points"](message(table_of(scene)))
    (answer,) = node.published
    assert len(answer["detections"]) == 3
    assert answer["header"].frame_id == "base_link"
    node.subscribed["points"](message(table_of(scene), frame="camera_optical_frame"))
    assert len(node.published) == 1
    (*_, (level, text)) = node.said
    assert level == "error"
    assert text.startswith("the cloud is in camera_optical_frame")
