"""The page in a real browser: what it answers is what `Classifier` answers.

Needs Chromium (of the system), playwright, and what `make web` fetches; skips, loudly, without.
"""

import json
import shutil
import struct
import warnings
from collections.abc import Iterator
from dataclasses import asdict, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from benchmarks.local_site import served
from measured_balls import measured_ball

from pointstill.data.primitives import Primitives
from pointstill.deployment.runtime import Classifier
from pointstill.deployment.serving.answers import answer
from pointstill.deployment.serving.samples import ply
from pointstill.deployment.serving.site import write_site
from pointstill.deployment.serving.students import Student, open_students
from pointstill.errors import DataError
from pointstill.points.strays import STRETCHES, body, spread
from pointstill.points.upright import turn_up
from pointstill.storage.calibration import Calibration, Typical

pytestmark = pytest.mark.slow
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
SOFTWARE = ["--no-sandbox", "--enable-unsafe-swiftshader"]
PATIENCE = 120_000
"""Milliseconds to wait for a page: a browser without a graphics card, on a busy machine."""
FAR = np.array((5e5, 5e6, 0))
"""Where UTM coordinates are."""


def skip(lacking: str) -> None:
    reason = f"{lacking}: the page is not tested in a browser"
    warnings.warn(reason, stacklevel=2)
    pytest.skip(reason)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if not CHROMIUM:
        skip("no Chromium")
    if not find_spec("playwright"):
        skip("playwright is not installed")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=SOFTWARE)
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def site(students: list[Student], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a static page."""
    yield from written(students, tmp_path_factory.mktemp("site"))


@pytest.fixture(scope="module")
def measuring_site(measuring: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """That of a student with channels."""
    yield from written(open_students([measuring]), tmp_path_factory.mktemp("site"))


def written(students: list[Student], folder: Path) -> Iterator[str]:
    if not find_spec("pointstill_web"):
        skip("pointstill-web is not there (`make web`)")
    write_site(students, folder)
    with served(folder) as address:
        yield address


@pytest.fixture
def page(browser: Any, site: str) -> Iterator[Any]:
    yield from opened(browser, site)


@pytest.fixture(scope="module")
def refusing(browser: Any, site: str) -> Iterator[Any]:
    """A page that may complain."""
    context = browser.new_context()
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    page.goto(site)
    page.wait_for_selector("#samples button")
    yield page
    context.close()


def opened(browser: Any, url: str, **options: Any) -> Iterator[Any]:
    """A page that must ask nobody else, and complain of nothing."""
    context = browser.new_context(**options)
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("console", lambda said: faults.append(said.text) if said.type == "error" else None)
    page.on(
        "request",
        lambda asked: asked.url.startswith((url, "blob:", "data:")) or faults.append(asked.url),
    )
    page.goto(url)
    page.wait_for_selector("#known p")
    yield page
    context.close()
    assert not faults


def classified(page: Any, name: str, content: bytes) -> dict[str, Any]:
    """What the page says of a file that is given to it."""
    page.evaluate("document.getElementById('cards').replaceChildren()")
    page.set_input_files("#file", file_of(name, content))
    page.wait_for_selector("body:not([aria-busy]) .card")
    said: dict[str, Any] = page.evaluate(
        "({...pointstill, cloud: {...pointstill.cloud, points: Array.from(pointstill.cloud.points),"
        " groups: Array.from(pointstill.cloud.groups ?? [])}})"
    )
    return said


def file_of(name: str, content: bytes) -> dict[str, Any]:
    return {"name": name, "mimeType": "application/octet-stream", "buffer": content}


def refused(page: Any, name: str, content: bytes) -> str:
    page.set_input_files("#file", file_of(name, content))
    page.wait_for_selector("#said.wrong")
    said: str = page.text_content("#said")
    return said


def probabilities(said: dict[str, Any]) -> dict[str, float]:
    return {each["name"]: each["probability"] for each in said["answers"][0]["classes"]}


def agree(said: dict[str, Any], classifier: Classifier, points: np.ndarray) -> None:
    expected = dict(classifier.predict(points, top=5))
    found = probabilities(said)
    assert next(iter(found)) == next(iter(expected))
    assert found == {name: pytest.approx(share, abs=1e-4) for name, share in expected.items()}


def clouds(count: int) -> list[np.ndarray]:
    made = Primitives()
    names = made.classes
    return [made.cloud("test", names[i % len(names)], i // len(names)) for i in range(count)]


def test_onnx_runtime_web_gives_the_same_answers(page, students):
    for cloud in clouds(16):
        agree(classified(page, "a.ply", ply(cloud)), students[0].classifier, cloud)


def test_which_parts_decided_is_the_same_as_behind_a_server(page, students):
    cloud = clouds(1)[0]
    said = classified(page, "a.ply", ply(cloud))
    expected = answer(students, {"xyz": cloud}, [], 5, True)
    assert expected.cloud
    assert said["cloud"]["groups"] == expected.cloud.groups
    np.testing.assert_allclose(said["answers"][0]["parts"], expected.answers[0].parts, atol=1e-3)


def test_a_drop_and_the_answer_that_is_read_aloud(page, students):
    cloud = clouds(1)[0]
    page.evaluate(
        """(bytes) => {
            const data = new DataTransfer();
            data.items.add(new File([new Uint8Array(bytes)], "dropped.ply"));
            dispatchEvent(new DragEvent("drop", { dataTransfer: data, cancelable: true }));
        }""",
        list(ply(cloud)),
    )
    page.wait_for_selector("body:not([aria-busy]) .card")
    (name, share), *_ = students[0].classifier.predict(cloud)
    said = page.text_content("[aria-live=polite]")
    assert said.startswith(f"dropped.ply, {len(cloud)} points: {name}, ")
    assert page.text_content(".card .answer").startswith(name)
    assert f"{100 * share:.1f} %" in said or share > 0.9995


def test_formats(page, students):
    cloud = clouds(1)[0]
    rows = "\n".join(" ".join(repr(float(value)) for value in point) for point in cloud)
    head = f"VERSION .7\nFIELDS x y z\nSIZE 4 4 4\nTYPE F F F\nCOUNT 1 1 1\nWIDTH {len(cloud)}\n"
    head += f"HEIGHT 1\nVIEWPOINT 0 0 0 1 0 0 0\nPOINTS {len(cloud)}\nDATA "
    same = {
        "a.xyz": rows,
        "a.csv": "intensity,z,y,x\n"
        + "\n".join(",".join(map(repr, map(float, (1, *p[::-1])))) for p in cloud),
        "a.txt": f"{len(cloud)}\n# a comment\n{rows}\n",
        "a.pcd": f"{head}ascii\n{rows}\n",
        "b.pcd": f"{head}binary\n".encode() + cloud.astype("<f4").tobytes(),
        "far.xyz": "\n".join(
            " ".join(map(repr, point.tolist())) for point in cloud.astype(float) + FAR
        ),
    }
    for name, content in same.items():
        content = content if isinstance(content, bytes) else content.encode()
        said = classified(page, name, content)
        assert said["points"] == len(cloud), name
        agree(said, students[0].classifier, cloud)


def box_mesh() -> tuple[np.ndarray, np.ndarray]:
    """Corners (8, 3) and triangles (12, 3) of a box of 1 x 2 x 3."""
    corners = np.array([[x, y, z] for x in (0, 1) for y in (0, 2) for z in (0, 3)], np.float32)
    quads = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
    return corners, np.array([t for a, b, c, d in quads for t in ((a, b, c), (a, c, d))], np.uint16)


def glb(corners: np.ndarray, faces: np.ndarray) -> bytes:
    binary = corners.astype("<f4").tobytes() + faces.astype("<u2").tobytes()
    views = [{"buffer": 0, "byteOffset": 0, "byteLength": corners.size * 4}]
    views += [{"buffer": 0, "byteOffset": corners.size * 4, "byteLength": faces.size * 2}]
    about = {
        "asset": {"version": "2.0"},
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0}],
        "meshes": [{"primitives": [{"attributes": {"POSITION": 0}, "indices": 1}]}],
        "buffers": [{"byteLength": len(binary)}],
        "bufferViews": views,
        "accessors": [
            {"bufferView": 0, "componentType": 5126, "count": len(corners), "type": "VEC3",
             "min": corners.min(0).tolist(), "max": corners.max(0).tolist()},
            {"bufferView": 1, "componentType": 5123, "count": faces.size, "type": "SCALAR"},
        ],
    }  # fmt: skip
    text = json.dumps(about).encode()
    text += b" " * (-len(text) % 4)
    binary += bytes(-len(binary) % 4)
    chunks = struct.pack("<II", len(text), 0x4E4F534A) + text
    chunks += struct.pack("<II", len(binary), 0x004E4942) + binary
    return struct.pack("<III", 0x46546C67, 2, 12 + len(chunks)) + chunks


def test_meshes_are_points_of_their_surface(page):
    corners, faces = box_mesh()
    stl = b"solid a" + bytes(73) + struct.pack("<I", len(faces))
    for face in faces:
        stl += bytes(12) + corners[face].astype("<f4").tobytes() + bytes(2)
    obj = "".join(f"v {x} {y} {z}\n" for x, y, z in corners)
    obj += "".join(f"f {a + 1} {b + 1} {c + 1}\n" for a, b, c in faces.astype(int))
    meshed = "\n".join(["ply", "format ascii 1.0", "element vertex 8"])
    meshed += "\nproperty float x\nproperty float y\nproperty float z\nelement face 12\n"
    meshed += "property list uchar int vertex_indices\nend_header\n"
    meshed += "".join(f"{x} {y} {z}\n" for x, y, z in corners)
    meshed += "".join(f"3 {a} {b} {c}\n" for a, b, c in faces)
    upright = corners[:, [0, 2, 1]] * (1, 1, -1)  # y is up in glTF
    turned = glb(np.asarray(upright, np.float32), faces)
    for name, content in (
        ("a.stl", stl),
        ("a.obj", obj.encode()),
        ("a.ply", meshed.encode()),
        ("a.glb", turned),
    ):
        said = classified(page, name, content)
        points = 2 * np.array(said["cloud"]["points"]).reshape(-1, 3)
        assert said["points"] == len(points) == 2048
        low, high = points.min(0), points.max(0)
        np.testing.assert_allclose(high - low, (1, 2, 3), atol=1e-3, err_msg=name)
        on_faces = np.isclose(points, low, atol=1e-3) | np.isclose(points, high, atol=1e-3)
        assert on_faces.any(1).all()
        # By area: the two faces of 2 x 3 have 6 of 11 parts of it.
        share = on_faces[:, 0].mean()
        assert share == pytest.approx(6 / 11, abs=0.04)


@pytest.mark.parametrize(
    ("name", "content", "what"),
    [
        ("a.las", b"LASF", "no format"),
        ("constructor", b"", "no format"),
        ("a.constructor", b"", "no format"),
        ("a.xyz", b"1 2 3\n" * 7, "needs 8"),
        ("a.xyz", b"1 2 3\n" * 9, "all the same"),
        ("a.xyz", b"1 2 3\n" * 9 + b"1 2\n", "Line 10"),
        ("a.csv", b"a,b,c\n1,2,3\n", "no columns x, y and z"),
        ("a.ply", ply(np.random.default_rng(0).normal(size=(40, 3)))[:-30], "ply"),
        ("a.ply", b"ply\nformat ascii 1.0\nelement vertex 99\nproperty float x\nproperty float y\n"
                  b"property float z\nend_header\n" + b"1 2 3\n" * 9, "truncated"),
        ("a.ply", ply(np.random.default_rng(0).normal(size=(40, 3)) + FAR), "so far from"),
        ("a.glb", b"glTF", "damaged"),
        ("a.stl", b"", "damaged"),
        ("a.obj", b"v 1 2 3\n", "needs 8"),
        ("a.obj", b"o nothing\n", "no faces"),
    ],
)  # fmt: skip
def test_what_is_refused(refusing, name, content, what):
    refusing.evaluate("document.getElementById('said').className = ''")
    assert what in refused(refusing, name, content)
    assert refusing.query_selector(".card") is None


def test_strays_are_those_of_the_rule(page):
    draw = np.random.default_rng(0)
    for i, cloud in enumerate(clouds(20)):
        cloud = cloud.astype(np.float64)
        far = cloud.mean(0) + draw.normal(size=(i % 7, 3)) * 10 ** (i % 3)
        cloud = draw.permutation(np.vstack([cloud, far]))
        found = page.evaluate(
            "async (xyz) => {"
            " const { strays } = await import('./cloud.js');"
            " return Array.from(strays(Float64Array.from(xyz))); }",
            cloud.ravel().tolist(),
        )
        np.testing.assert_array_equal(np.array(found, bool), ~body(cloud[None])[0])


def test_places_at_which_strays_are_looked_for(page):
    for size in (8, 100, 511, 512, 513, 70_001, 1_000_000):
        found = page.evaluate(f"import('./cloud.js').then(({{ spread }}) => spread({size}))")
        assert found == spread(STRETCHES, size).tolist()


def test_far_strays(page, refusing, students):
    """Few are left out; of too many the rest would be a dot."""
    cloud = clouds(1)[0].astype(np.float64)
    few = np.vstack([cloud, np.full((3, 3), 1e4)])
    said = classified(page, "a.xyz", text_of(few))
    agree(said, students[0].classifier, few)
    many = np.vstack([cloud, 1e4 + np.random.default_rng(0).normal(size=(len(cloud) // 3, 3))])
    with pytest.raises(DataError, match="a dot"):
        students[0].classifier.predict(many)
    assert "a dot" in refused(refusing, "a.xyz", text_of(many))


def test_another_axis_up(page, students):
    cloud = clouds(1)[0]
    before = classified(page, "a.ply", ply(cloud))
    turned = ply(turn_up(cloud, "z", "y"))
    lying = classified(page, "a.ply", turned)
    assert probabilities(lying) != probabilities(before)
    page.evaluate("document.getElementById('cards').replaceChildren()")
    page.select_option("#up", "y")
    page.wait_for_selector("body:not([aria-busy]) .card")
    agree(page.evaluate("pointstill"), students[0].classifier, cloud)


@pytest.mark.parametrize("scored", ["by the energy", "by what is typical"])
def test_unknown_is_the_answer_and_shares_are_tempered(page, students, scored):
    cloud = clouds(1)[0]
    classifier = students[0].classifier
    logits = classifier.logits(cloud).astype(float)
    typical = Typical(
        means=tuple(tuple(logits - place) for place in range(1, len(logits) + 1)),
        whitening=tuple((0.5,) * place + (2.0,) for place in range(len(logits))),
        energy=(-10.0, 0.25),
        distance=(0.0, 10.0),
    )
    about = Calibration(3.0, typical=typical if scored == "by what is typical" else None)
    score = float(about.score(logits))
    site = json.loads(page.evaluate("fetch('site.json').then((response) => response.text())"))
    for shift, first in ((0.1, "unknown"), (-0.1, None)):
        site["students"][0]["calibration"] = asdict(replace(about, threshold=score + shift))
        page.route("**/site.json", lambda route: route.fulfill(json=site))
        page.reload()
        page.wait_for_selector("#samples button")
        said = classified(page, "a.ply", ply(cloud))
        shares = np.exp(logits / 3) / np.exp(logits / 3).sum()
        assert said["answers"][0]["score"] == pytest.approx(score, rel=1e-3, abs=1e-3)
        assert next(iter(probabilities(said).values())) == pytest.approx(shares.max(), abs=1e-4)
        best = classifier.classes[int(logits.argmax())]
        assert page.text_content(".card .answer").startswith(first or best)
        assert page.get_attribute(".meter", "role") == "img"
        page.unroute("**/site.json")


def test_channels(browser, measuring_site, measuring):
    classifier = Classifier(measuring)
    for page in opened(browser, measuring_site):
        assert page.locator("#choice").is_hidden()
        for label in (0, 1):
            rows = measured_ball(label, 7 + label)
            for name, content in (("a.csv", csv_of(rows)), ("a.ply", ply_of(rows))):
                said = classified(page, name, content)
                agree(said, classifier, rows)
                assert said["points"] == len(rows)
                assert len(said["answers"][0]["parts"]) == max(said["cloud"]["groups"]) + 1
                expected = answer(
                    open_students([measuring]), table_of(rows), [], 5, True
                ).answers[0].parts  # fmt: skip
                found = np.array(said["answers"][0]["parts"])
                # Where a choice of the graph is within rounding, it may be another one.
                assert (np.abs(found - expected) < 2e-3).mean() > 0.9
        rows["v_r"][3] = np.nan
        said = classified(page, "a.csv", csv_of(rows))
        assert said["points"] == len(rows) - 1
        assert "without finite coordinates or doppler or time" in said["notes"][0]
        break


@pytest.mark.parametrize(
    ("name", "change", "what"),
    [
        ("a.csv", ("v_r", "speed"), "no doppler, which measuring takes"),
        ("a.csv", ("time", "v_r"), "several columns called v_r"),
        ("a.ply", ("nz", "nw"), "no normal"),
        ("a.pcd", ("", ""), "columns of other names"),
    ],
)
def test_channels_that_are_not_there(browser, measuring_site, name, change, what):
    context = browser.new_context()
    page = context.new_page()
    page.goto(measuring_site)
    page.wait_for_selector("#known p")
    make = ply_of if name == "a.ply" else csv_of
    content = make(measured_ball(0, 7))
    head, _, rest = content.partition(b"\n" if name == "a.csv" else b"end_header")
    joint = content[len(head) : len(content) - len(rest)]
    old, new = (each.encode() for each in change)
    assert what in refused(page, name, head.replace(old, new) + joint + rest if old else content)
    context.close()


def csv_of(rows: np.ndarray) -> bytes:
    lines = [",".join(rows.dtype.names), *(",".join(map(repr, row)) for row in rows.tolist())]
    return "\n".join(lines).encode()


def ply_of(rows: np.ndarray) -> bytes:
    head = ["ply", "format binary_little_endian 1.0", f"element vertex {len(rows)}"]
    head += [f"property double {name}" for name in rows.dtype.names] + ["end_header", ""]
    return "\n".join(head).encode() + rows.tobytes()


def text_of(cloud: np.ndarray) -> bytes:
    return "\n".join(" ".join(map(repr, point)) for point in cloud.tolist()).encode()


def table_of(rows: np.ndarray) -> dict[str, np.ndarray]:
    return {
        "xyz": np.stack([rows[axis] for axis in "xyz"], 1),
        "normal": np.stack([rows[f"n{axis}"] for axis in "xyz"], 1),
        "doppler": rows["v_r"][:, None],
        "time": rows["time"][:, None],
    }


def test_by_keyboard_alone(page):
    page.keyboard.press("Tab")
    seen = []
    for _ in range(12):
        seen.append(
            page.evaluate("document.activeElement.id || document.activeElement.textContent")
        )
        if seen[-1] == "aeroplane":
            break
        page.keyboard.press("Tab")
    assert seen[:2] == ["canvas", "file"]
    page.keyboard.press("Enter")
    page.wait_for_selector("body:not([aria-busy]) .card")
    before = page.locator("#canvas").screenshot()
    page.focus("#canvas")
    page.keyboard.press("ArrowLeft")
    turned = page.locator("#canvas").screenshot()
    assert before != turned
    page.keyboard.press("Home")
    assert page.locator("#canvas").screenshot() != turned


@pytest.mark.parametrize("width", [390, 768, 1280])
def test_nothing_sticks_out(browser, site, width):
    for page in opened(browser, site, viewport={"width": width, "height": 844}):
        page.click("#samples button")
        page.wait_for_selector("body:not([aria-busy]) .card")
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_without_webgl(browser, site, students):
    for page in opened(browser, site):
        page.context.add_init_script("HTMLCanvasElement.prototype.getContext = () => null")
        page.goto(site)
        page.wait_for_selector("#flat:not([hidden])")
        cloud = clouds(1)[0]
        agree(classified(page, "a.ply", ply(cloud)), students[0].classifier, cloud)
        break


def test_the_page_behind_a_server(browser, serve, students):
    client = serve(token="a-secret-of-some-length")
    url = f"{client.base_url}/".replace("//", "/").replace(":/", "://")
    cloud = clouds(1)[0]
    context = browser.new_context()
    page = context.new_page()
    page.goto(url)
    page.wait_for_selector("#said.wrong")
    assert "asks for a token" in page.text_content("#said")
    context.close()
    for page in opened(browser, f"{url}#token=a-secret-of-some-length"):
        agree(classified(page, "a.ply", ply(cloud)), students[0].classifier, cloud)
        assert "not a PLY file" in refused(page, "a.ply", b"ply")
        break
