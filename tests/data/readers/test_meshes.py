"""All formats of meshes."""

import os
import subprocess
import sys

import numpy as np
import pytest
import trimesh

from pointstill.data.readers import MESH_POINTS, read_cloud
from pointstill.errors import DataError

MESHES = ("off", "obj", "stl", "glb", "ply")


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize("suffix", MESHES)
def test_meshes_are_sampled_by_the_files_name(suffix, tmp_path):
    mesh = trimesh.creation.box((1, 2, 3))
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        mesh.export(tmp_path / folder / f"box.{suffix}")
    mesh.export(tmp_path / f"other.{suffix}")
    points = read_cloud(tmp_path / "a" / f"box.{suffix}")
    assert points.shape == (MESH_POINTS, 3)
    np.testing.assert_allclose((np.abs(points) - [0.5, 1, 1.5]).max(axis=1), 0, atol=1e-6)
    np.testing.assert_array_equal(points, read_cloud(tmp_path / "b" / f"box.{suffix}"))
    assert not np.array_equal(points, read_cloud(tmp_path / f"other.{suffix}"))


@pytest.mark.parametrize("suffix", MESHES)
def test_a_mesh_is_that_of_another_library(suffix, tmp_path):
    from pointstill.data.mesh_sampling import sample_mesh

    path = tmp_path / f"a.{suffix}"
    trimesh.creation.icosphere(2).export(path)
    mesh = trimesh.load_mesh(path, process=False)
    expected = sample_mesh(mesh.vertices, mesh.faces, MESH_POINTS, f"mesh:a.{suffix}")
    np.testing.assert_array_equal(read_cloud(path), expected)


@pytest.mark.parametrize("suffix", [each for each in MESHES if each != "obj"])  # has no counts
@pytest.mark.parametrize("part", [0.0, 0.3, 0.5, 0.9])
def test_truncated_files_are_found_out(suffix, part, tmp_path):
    path = tmp_path / f"a.{suffix}"
    trimesh.creation.icosphere(2).export(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * part)])
    with pytest.raises(DataError, match=path.name):
        read_cloud(path)


HIDDEN = ("PIL", "networkx", "scipy", "lxml", "trimesh", "torch", "matplotlib")


def test_a_minimal_install_reads_all_meshes_without_a_word(tmp_path):
    mesh = trimesh.creation.box()
    for suffix in MESHES:
        mesh.export(tmp_path / f"a.{suffix}")
    faces = "".join(f"f {a + 1}/1 {b + 1}/1 {c + 1}/1\n" for a, b, c in mesh.faces)
    vertices = "".join(f"v {x} {y} {z}\n" for x, y, z in mesh.vertices)
    (tmp_path / "textured.obj").write_text(f"mtllib gone.mtl\n{vertices}vt 0 0\nusemtl a\n{faces}")
    code = (
        "import sys; from pathlib import Path\n"
        f"sys.modules.update(dict.fromkeys({HIDDEN}))\n"  # importing one fails
        "from pointstill.data.readers import read_cloud\n"
        "shapes = {read_cloud(path).shape for path in Path(sys.argv[1]).iterdir()}\n"
        f"assert shapes == {{({MESH_POINTS}, 3)}}, shapes"
    )
    command = [sys.executable, "-W", "error", "-c", code, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ, check=False)
    assert (done.stdout, done.stderr, done.returncode) == ("", "", 0)
