"""Uploads are read in processes that may be killed."""

import asyncio
import io
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
async def started(up="z", features=(), **limits):
    readers = Readers(Limits(**{"readers": 1} | limits), up, features)
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
    rows = np.random.default_rng(0).normal(size=(40, 4))
    np.savetxt(path, rows, delimiter=",", header="x,y,z,intensity", comments="")

    async def read():
        async with started(features=("intensity",)) as readers:
            return await readers.read(".csv", path.read_bytes())

    columns = asyncio.run(read()).columns
    expected = read_table(path, "z", ("intensity",))
    assert list(columns) == ["xyz", "intensity"]
    for name, values in columns.items():
        np.testing.assert_array_equal(values, expected[name])


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
    np.testing.assert_array_equal(upload.columns["xyz"], cloud())


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

    assert len(asyncio.run(read()).columns["xyz"]) == 50


def test_a_request_that_is_given_up_leaves_no_half_read_answer():
    async def read():
        async with started() as readers:
            task = asyncio.create_task(readers.read(".npy", npy(cloud(400_000))))
            await asyncio.sleep(0.01)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            return await readers.read(".npy", npy(cloud()))

    assert len(asyncio.run(read()).columns["xyz"]) == 50


def test_a_file_that_wants_too_much_memory():
    rows = ", ".join(["[1, 2, 3]"] * 1_500_000)

    async def read():
        async with started(memory=64, seconds=60) as readers:
            with pytest.raises(DataError, match="memory"):
                await readers.read(".json", f'{{"points": [{rows}]}}'.encode())
            return await readers.read(".npy", npy(cloud()))

    assert len(asyncio.run(read()).columns["xyz"]) == 50


def test_too_many_points():
    async def read():
        async with started(most_points=100) as readers:
            with pytest.raises(DataError, match="has 101 points, and 100 are taken"):
                await readers.read(".npy", npy(cloud(101)))
            return await readers.read(".npy", npy(cloud(100)))

    assert len(asyncio.run(read()).columns["xyz"]) == 100


def test_a_suffix_that_is_none_breaks_the_reader_alone():
    async def read():
        async with started() as readers:
            with pytest.raises(DataError, match="broke what reads it"):
                await readers.read("/../../a.npy", npy(cloud()))
            return await readers.read(".npy", npy(cloud()))

    assert len(asyncio.run(read()).columns["xyz"]) == 50


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
    said, arrays = reader_process._answer(path, {"up": "z", "features": [], "most_points": 9})
    assert not arrays
    assert str(tmp_path) not in said["what"] + said["fix"]


@pytest.mark.parametrize("name", ["upload", "seconds", "readers", "most_points"])
def test_limits_of_nothing(name):
    with pytest.raises(UsageError, match=f"--{name.replace('_', '-')} is 0"):
        Limits(**{name: 0})
