"""LAS and LAZ of another library's writing, and what they announce."""

import os
import signal
import struct
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import laspy
import numpy as np
import pytest

from pointstill.data.channels import feature_values
from pointstill.data.readers import read_cloud, read_table
from pointstill.data.readers.las import _workplace
from pointstill.errors import DataError


def write(path, points, colours=None, form=3, version="1.2"):
    scan = laspy.LasData(laspy.LasHeader(point_format=form, version=version))
    scan.header.scales = [1e-6] * 3
    scan.x, scan.y, scan.z = points.T
    if colours is not None:
        scan.red, scan.green, scan.blue = colours.T
    scan.write(path)


@pytest.fixture(params=["las", "laz"])
def scan(request, tmp_path, clouds) -> Path:
    write(tmp_path / f"a.{request.param}", clouds(50))
    return tmp_path / f"a.{request.param}"


@pytest.mark.parametrize("suffix", ["las", "laz"])
@pytest.mark.parametrize(("form", "version"), [(0, "1.2"), (3, "1.3"), (6, "1.4"), (10, "1.4")])
def test_formats_and_versions(suffix, form, version, tmp_path, clouds):
    write(tmp_path / f"a.{suffix}", clouds(50), form=form, version=version)
    np.testing.assert_allclose(read_cloud(tmp_path / f"a.{suffix}"), clouds(50), atol=1e-6)


@pytest.mark.parametrize("suffix", ["las", "laz"])
@pytest.mark.parametrize("factor", [1, 257])
def test_colours_of_8_bits_in_fields_of_16(suffix, factor, tmp_path, clouds):
    colours = np.random.default_rng(0).integers(0, 256, (50, 3), dtype=np.uint16)
    write(tmp_path / f"a.{suffix}", clouds(50), colours * factor)
    found = feature_values(read_table(tmp_path / f"a.{suffix}"), ("xyz", "colour"), "z")
    np.testing.assert_allclose(found, colours / 255, atol=1e-6)


def test_a_suffix_does_not_say_whether_it_is_packed(scan, clouds):
    other = scan.with_suffix(".las" if scan.suffix == ".laz" else ".laz")
    scan.rename(other)
    np.testing.assert_allclose(read_cloud(other), clouds(50), atol=1e-6)


def patched(path, place, kind, *values):
    content = bytearray(path.read_bytes())
    struct.pack_into(kind, content, place, *values)
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("place", "kind", "values", "message"),
    [
        (0, "4s", [b"LASX"], "is no LAS file"),
        (24, "B", [2], "is LAS 2.2 with a header of 227 bytes"),
        (25, "B", [9], "is LAS 1.9 with a header of 227 bytes"),
        (25, "B", [4], "is LAS 1.4 with a header of 227 bytes"),
        (94, "<H", [9], "is LAS 1.2 with a header of 9 bytes"),
        (96, "<I", [1 << 31], "is truncated (it announces 2147483648 bytes before the points"),
        (100, "<I", [1 << 31], "is truncated (it announces 2147483648 records before the points"),
        (104, "B", [99], "has points of format 35 in 34 bytes"),
        (104, "B", [60], "has points of format 60 in 34 bytes"),
        (105, "<H", [3], "in 3 bytes, which are not read"),
        (131, "<d", [0.0], "has scales (0.0, 1e-06, 1e-06)"),
        (139, "<d", [np.nan], "has scales (1e-06, nan, 1e-06)"),
        (155, "<d", [np.inf], "and offsets (inf,"),
    ],
)
def test_headers_that_lie(scan, place, kind, values, message):
    patched(scan, place, kind, *values)
    with pytest.raises(DataError) as caught:
        read_cloud(scan)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_points_that_are_not_there(scan):
    patched(scan, 107, "<I", 4_000_000_000)
    with pytest.raises(DataError, match="announces"):
        read_cloud(scan)
    patched(scan, 107, "<I", 60)
    with pytest.raises(DataError, match=r"truncated|damaged"):
        read_cloud(scan)


def test_extended_records_are_counted_and_not_opened(tmp_path, clouds):
    write(tmp_path / "a.las", clouds(50), form=6, version="1.4")
    size = (tmp_path / "a.las").stat().st_size
    patched(tmp_path / "a.las", 235, "<QI", size - 60, 1)
    assert len(read_cloud(tmp_path / "a.las")) == 50
    patched(tmp_path / "a.las", 235, "<QI", size - 60, 1 << 31)
    with pytest.raises(DataError, match="extended records"):
        read_cloud(tmp_path / "a.las")


def chunks_that_lie(path, clouds):
    """A LAZ file whose table announces 4 billion chunks: its library aborts."""
    write(path, clouds(50))
    content = path.read_bytes()
    (offset,) = struct.unpack_from("<I", content, 96)
    (table,) = struct.unpack_from("<q", content, offset)
    patched(path, table + 4, "<I", (1 << 32) - 1)


def test_an_abort_is_an_error_of_one_file(tmp_path, clouds):
    chunks_that_lie(tmp_path / "bad.laz", clouds)
    write(tmp_path / "good.laz", clouds(50))
    for _ in range(2):
        with pytest.raises(DataError, match=r"bad\.laz is damaged, or not a LAZ file"):
            read_cloud(tmp_path / "bad.laz")
        np.testing.assert_allclose(read_cloud(tmp_path / "good.laz"), clouds(50), atol=1e-6)


def test_a_worker_that_was_killed_is_replaced(tmp_path, clouds):
    write(tmp_path / "a.laz", clouds(50))
    read_cloud(tmp_path / "a.laz")
    first = _workplace.worker
    read_cloud(tmp_path / "a.laz")
    assert _workplace.worker is first
    first.send_signal(signal.SIGKILL)
    first.wait()
    assert len(read_cloud(tmp_path / "a.laz")) == 50


def test_many_threads_read_packed_files(tmp_path, clouds):
    for i in range(8):
        write(tmp_path / f"{i}.laz", clouds(20 + i, seed=i))
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(read_cloud, [tmp_path / f"{i % 8}.laz" for i in range(40)]))
    for i, points in enumerate(found):
        np.testing.assert_allclose(points, clouds(20 + i % 8, seed=i % 8), atol=1e-6)


def test_forked_processes_have_workers_of_their_own(tmp_path, clouds):
    write(tmp_path / "a.laz", clouds(50))
    read_cloud(tmp_path / "a.laz")
    worker = _workplace.worker
    children = []
    for _ in range(3):
        child = os.fork()
        if not child:
            sound = len(read_cloud(tmp_path / "a.laz")) == 50
            os._exit(0 if sound and _workplace.worker.pid != worker.pid else 1)
        children.append(child)
    assert len(read_cloud(tmp_path / "a.laz")) == 50
    assert [os.waitpid(child, 0)[1] for child in children] == [0, 0, 0]
    assert _workplace.worker is worker


def test_a_worker_ends_with_its_process(tmp_path, clouds):
    """Also where that was killed; a program without a file may read as well."""
    write(tmp_path / "a.laz", clouds(50))
    code = (
        "import sys, time; from pointstill.data.readers import las, read_cloud\n"
        f"count = len(read_cloud({str(tmp_path / 'a.laz')!r}))\n"
        "print(count, las._workplace.worker.pid, flush=True)\n"
        "sys.stdin.read(1) or time.sleep(60)"
    )
    for kill in (False, True):
        with subprocess.Popen(
            [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as process:
            count, worker = map(int, process.stdout.readline().split())
            assert count == 50
            if kill:
                process.kill()
            else:
                process.stdin.write(b"x")
                process.stdin.close()
            process.wait()
        end = time.monotonic() + 20
        while _runs(worker) and time.monotonic() < end:
            time.sleep(0.05)
        assert not _runs(worker)


def _runs(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_readers_are_there_without_fork_and_limits():
    code = """
import numpy, os, random, sys
sys.modules.update(resource=None, fcntl=None)
del os.register_at_fork
from pointstill.data.readers import las, laz_worker
laz_worker._limit(1, 1)
"""
    subprocess.run([sys.executable, "-c", code], check=True)
