"""The page as files."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from pointstill.data.readers import read_cloud
from pointstill.deployment.serving import site
from pointstill.deployment.serving.samples import MOST, samples
from pointstill.deployment.serving.students import open_students
from pointstill.errors import UsageError


@pytest.fixture
def vendor(tmp_path, monkeypatch):
    """A stand-in for the wheel pointstill-web."""
    folder = tmp_path / "pointstill_web"
    for name in ("three/three.module.js", "onnxruntime/ort.wasm"):
        (folder / "vendor" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "vendor" / name).write_text("anything")
    (folder / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    return folder / "vendor"


def test_a_folder_that_needs_no_server(students, student_onnx, tmp_path, vendor):
    written = site.write_site(students, tmp_path / "site")
    assert all(path.is_file() for path in written)
    out = tmp_path / "site"
    assert (out / "students" / "student.onnx").read_bytes() == student_onnx.read_bytes()
    said = json.loads((out / "site.json").read_text())
    assert said["where"] == "browser"
    assert said["students"][0]["classes"] == ["ball", "box", "rod"]
    assert all((out / each["file"]).is_file() for each in said["students"] + said["samples"])
    page = (out / "index.html").read_text()
    assert site.POLICY in page
    assert page.index(site.POLICY) < page.index("<script")  # it holds for what comes after it


def test_only_the_static_page_may_compile_webassembly(students, vendor):
    page = site.page_files(students, ["ply"], "server")
    assert b"unsafe" not in page["index.html"]
    assert "vendor/onnxruntime/ort.wasm" not in page
    assert "vendor/three/three.module.js" in page


def test_nothing_inline_and_nothing_from_elsewhere(students, vendor):
    for name, content in site.page_files(students, ["ply"], "server").items():
        text = content.decode("latin-1") if not name.startswith("samples/") else ""
        assert not re.search(r"<script(?![^>]*\bsrc=)|\bstyle=|\bon[a-z]+=\"|<style", text), name
        assert not re.search(r"https?://(?!www\.w3\.org)", text), name


def test_every_module_that_is_imported_is_there(students):
    files = site.page_files(students, ["ply"], "server")
    for name, content in files.items():
        if name.endswith(".js"):
            for other in re.findall(r"from \"\./([\w./-]+)\"", content.decode()):
                assert other in files or other.startswith("vendor/"), (name, other)
    for other in re.findall(r"(?:src|href)=\"([^\"#]+)\"", files["index.html"].decode()):
        assert other in files


def test_without_what_others_made(students, tmp_path, monkeypatch):
    monkeypatch.setattr(site, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match="pointstill-web"):
        site.write_site(students, tmp_path / "site")
    assert "index.html" in site.page_files(students, ["ply"], "server")


def test_a_student_that_takes_colours(students, tmp_path, monkeypatch, vendor):
    monkeypatch.setattr(students[0].classifier, "features", ("xyz", "colour"))
    with pytest.raises(UsageError, match="takes colours"):
        site.write_site(students, tmp_path / "site")


def test_no_samples_for_a_student_that_takes_more_than_they_have(students, monkeypatch):
    monkeypatch.setattr(students[0].classifier, "features", ("xyz", "doppler"))
    monkeypatch.setattr(students[0].classifier, "columns", {"doppler": "v_r"})
    said = json.loads(site.page_files(students, ["ply"], "server")["site.json"])
    assert said["samples"] == []
    assert said["columns"] == {"doppler": "v_r"}
    assert said["students"][0]["features"] == ["xyz", "doppler"]


def test_students_that_cannot_stand_side_by_side(student_onnx, tmp_path):
    (other := tmp_path / "deep" / "student.onnx").parent.mkdir()
    other.write_bytes(student_onnx.read_bytes())
    with pytest.raises(UsageError, match="called student, student"):
        open_students([student_onnx, other])
    with pytest.raises(UsageError, match="no student"):
        open_students([])


@pytest.mark.parametrize("up", "xyz")
def test_samples_stand_upright(tmp_path, up):
    made = samples(["table", "sofa", "monkey"], up)
    assert len(made) == MOST
    assert {"sofa", "table"} <= set(made)
    (path := tmp_path / "a.ply").write_bytes(made["table"])
    heights = read_cloud(path)[:, "xyz".index(up)]
    upright = read_cloud(_written(tmp_path / "z.ply", samples(["table"], "z")["table"]))[:, 2]
    np.testing.assert_array_equal(heights, upright)


def _written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def test_the_command(cli, student_onnx, tmp_path, vendor):
    code, said, _ = cli("page", student_onnx, "--out", tmp_path / "my site")
    assert code == 0
    assert f"--directory '{tmp_path / 'my site'}'" in said
    assert (tmp_path / "my site" / "index.html").is_file()
    code, _, said = cli("page", tmp_path / "none.onnx", "--out", tmp_path / "other")
    assert code == 2
    assert "none.onnx is no student" in said
