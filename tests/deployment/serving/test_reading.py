"""Uploads are read in processes that may be killed."""

import asyncio
import io
import json
import os
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import pytest

from pointstill.data.readers import read_table
from pointstill.deployment.serving import reader_process
from pointstill.deployment.serving.limits import Limits
from pointstill.deployment.serving.reading import Readers
from pointstill.errors import DataError, UsageError


@asynccontextmanager
async def started(features=("xyz",), columns=None, **limits):
    readers = Readers(Limits(**{"readers": 1} | limits), "z", features, columns or {})
    await readers.start()
    try:
        yield readers
    finally:
        await readers.stop()


def npy(array):
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def cloud(count=50):
    return np.random.default_rng(0).normal(size=(count, 3))


def test_what_is_read_is_what_the_readers_read(tmp_path):
    path = tmp_path / "a.csv"
    rows = np.random.default_rng(0).normal(size=(40, 5))
    np.savetxt(path, rows, delimiter=",", header="east,y,z,intensity,V_r", comments="")
    called = {"x": "east", "doppler": "v_r"}

    async def read():
        async with started(("xyz", "doppler", "intensity"), called) as readers:
            return await readers.read(".csv", path.read_bytes())

    table = asyncio.run(read()).table
    expected = read_table(path, "z", ("intensity", "doppler"), columns=called)
    assert list(table) == ["xyz", "doppler", "intensity"]
    for name, values in table.items():
        np.testing.assert_array_equal(values, expected[name])
    np.testing.assert_array_equal(
        table["doppler"][:, 0], np.loadtxt(path, float, usecols=4, delimiter=",", skiprows=1)
    )


def test_json_by_name_and_in_order():
    rows = np.random.default_rng(0).normal(size=(40, 4))
    named = dict(zip(("X", "z", "y", "doppler"), rows[:, [0, 2, 1, 3]].T.tolist(), strict=True))

    async def read(points):
        async with started(("xyz", "doppler")) as readers:
            content = json.dumps({"points": points}).encode()
            return (await readers.read(".json", content)).table

    for points in (
        rows.tolist(),
        named,
        {"xyz": rows[:, :3].tolist(), "doppler": named["doppler"]},
    ):
        table = asyncio.run(read(points))
        np.testing.assert_array_equal(np.hstack([table["xyz"], table["doppler"]]), rows)
    for points, what in (
        (rows[:, :3].tolist(), r"must be \(n, 4\).*xyz,doppler"),
        ({name: named[name] for name in ("X", "y", "z")}, "no doppler, but X, y, z"),
        (named | {"x": named["y"]}, "several columns called x"),
        (named | {"doppler": named["y"][1:]}, "39 of doppler"),
        (named | {"doppler": ["fast"] * 40}, "<U4"),
        ({}, "no x"),
    ):
        with pytest.raises(DataError, match=what):
            asyncio.run(read(points))


def test_a_point_whose_channel_is_missing_is_left_out():
    rows = np.random.default_rng(0).normal(size=(40, 4))
    rows[7, 3], rows[9, 0] = np.nan, np.inf

    async def read():
        async with started(("xyz", "doppler")) as readers:
            return await readers.read(".json", json.dumps({"points": rows.tolist()}).encode())

    upload = asyncio.run(read())
    assert upload.notes == ["2 points without finite coordinates or doppler were left out"]
    np.testing.assert_array_equal(upload.table["xyz"], np.delete(rows, (7, 9), 0)[:, :3])


def test_a_process_without_an_answer_is_killed_and_another_goes_on():
    async def read():
        async with started(seconds=1) as readers:
            (reader,) = readers._idle._queue
            process = reader.process
            os.kill(process.pid, 19)  # SIGSTOP: it hangs
            with pytest.raises(DataError, match="took more time"):
                await readers.read(".npy", npy(cloud()))
            assert process.returncode is not None
            return readers.restarts, await readers.read(".npy", npy(cloud()))

    restarts, upload = asyncio.run(read())
    assert restarts == 1
    np.testing.assert_array_equal(upload.table["xyz"], cloud())


def test_a_process_that_died_is_replaced():
    async def read():
        async with started() as readers:
            (reader,) = readers._idle._queue
            process = reader.process
            process.kill()
            await process.wait()
            with pytest.raises(DataError, match="broke what reads it"):
                await readers.read(".npy", npy(cloud()))
            return await readers.read(".npy", npy(cloud()))

    assert len(asyncio.run(read()).table["xyz"]) == 50


def test_a_request_that_is_given_up_leaves_no_half_read_answer():
    async def read():
        async with started() as readers:
            task = asyncio.create_task(readers.read(".npy", npy(cloud(400_000))))
            await asyncio.sleep(0.01)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            return await readers.read(".npy", npy(cloud()))

    assert len(asyncio.run(read()).table["xyz"]) == 50


def test_a_file_that_wants_too_much_memory():
    rows = ", ".join(["[1, 2, 3]"] * 1_500_000)

    async def read():
        async with started(memory=64, seconds=60) as readers:
            with pytest.raises(DataError, match="memory"):
                await readers.read(".json", f'{{"points": [{rows}]}}'.encode())
            return await readers.read(".npy", npy(cloud()))

    assert len(asyncio.run(read()).table["xyz"]) == 50


def test_too_many_points():
    async def read():
        async with started(most_points=100) as readers:
            with pytest.raises(DataError, match="has 101 points, and 100 are taken"):
                await readers.read(".npy", npy(cloud(101)))
            return await readers.read(".npy", npy(cloud(100)))

    assert len(asyncio.run(read()).table["xyz"]) == 100


def test_a_suffix_that_is_none_breaks_the_reader_alone():
    async def read():
        async with started() as readers:
            with pytest.raises(DataError, match="broke what reads it"):
                await readers.read("/../../a.npy", npy(cloud()))
            return await readers.read(".npy", npy(cloud()))

    assert len(asyncio.run(read()).table["xyz"]) == 50


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="no /proc")
def test_a_process_knows_no_secrets_and_leaves_no_files(monkeypatch, tmp_path):
    monkeypatch.setenv("POINTSTILL_TOKEN", "a-secret-of-some-length")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    async def read():
        async with started() as readers:
            await readers.read(".npy", npy(cloud()))
            (reader,) = readers._idle._queue
            process = reader.process
            (folder,) = tmp_path.iterdir()
            assert not [*folder.iterdir()]
            (folder / "upload.ply").touch()  # as a process that is killed leaves it
            return Path(f"/proc/{process.pid}/environ").read_bytes()

    assert b"a-secret" not in asyncio.run(read())
    assert not [*tmp_path.iterdir()]


def test_the_message_names_no_path_of_the_server(tmp_path):
    (path := tmp_path / "upload.ply").write_bytes(b"ply\nformat ascii 1.0\nend_header\n")
    said, arrays = reader_process._answer(
        path, {"features": ["xyz"], "columns": {}, "most_points": 9}, "z"
    )
    assert not arrays
    assert str(tmp_path) not in said["what"] + said["fix"]


@pytest.mark.parametrize("name", ["upload", "seconds", "readers", "most_points"])
def test_limits_of_nothing(name):
    with pytest.raises(UsageError, match=f"--{name.replace('_', '-')} is 0"):
        Limits(**{name: 0})
