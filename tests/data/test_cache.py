"""The cache: what names an entry, and that no kill, race or full disk leaves a broken one."""

import errno
import hashlib
import json
import os
import resource
import signal
import subprocess
import sys
import tracemalloc
import warnings
from pathlib import Path

import numpy as np
import pytest

from pointstill.data import cache as store
from pointstill.data import open_dataset, readers
from pointstill.errors import DataError

ABOUT = {"classes": ("a", "b"), "name": "train", "up": "z", "bad": []}


def three(clouds, *, fail_after: int = 9):
    for i in range(3):
        if i == fail_after:
            raise DataError("cloud 1: bad")
        yield f"cloud {i}", i % 2, clouds(10 + i, seed=i)


def entries(root: Path) -> list[str]:
    return sorted(p.name for p in root.iterdir())


def test_an_entry_comes_back(cache, clouds):
    store.write(cache, "key", three(clouds), ABOUT)
    entry = store.read(cache / "key")
    np.testing.assert_array_equal(entry.points, np.concatenate([c for *_, c in three(clouds)]))
    assert entry.offsets.tolist() == [0, 10, 21, 33]
    assert entry.labels.tolist() == [0, 1, 0]
    assert entry.names == ["cloud 0", "cloud 1", "cloud 2"]
    assert isinstance(entry.points.base, np.memmap)
    assert np.load(cache / "key" / "points.npy").shape == (33, 3)


def test_the_fingerprint_is_a_sha256_of_what_was_written(cache, clouds):
    entry = store.write(cache, "key", three(clouds), ABOUT)
    digest = hashlib.sha256()
    for array in (entry.points, entry.offsets, entry.labels):
        digest.update(np.ascontiguousarray(array).tobytes())
    digest.update(json.dumps([["a", "b"], "train", "z", 3]).encode())
    assert entry.meta["fingerprint"] == digest.hexdigest()


def test_the_fingerprint_tells_data_apart(cache, clouds):
    def fingerprint(clouds_=None, **about):
        written = store.write(cache, "key", clouds_ or three(clouds), ABOUT | about, replace=True)
        return written.meta["fingerprint"]

    reversed_ = list(three(clouds))[::-1]
    moved = [("other name", label, cloud) for _, label, cloud in three(clouds)]
    different = {
        fingerprint(),
        fingerprint(reversed_),
        fingerprint(list(three(clouds))[:2]),
        fingerprint([(n, 0, c) for n, _, c in three(clouds)]),
        fingerprint(classes=("a", "c")),
        fingerprint(name="test"),
        fingerprint(up="y"),
    }
    assert len(different) == 7
    assert fingerprint(moved) == fingerprint()


def test_the_second_open_reads_no_source(scans, monkeypatch):
    first = open_dataset(scans).train
    monkeypatch.setattr(readers, "read_cloud", lambda path: pytest.fail(f"{path} was read"))
    second = open_dataset(scans).train
    assert second.fingerprint == first.fingerprint
    np.testing.assert_array_equal(second.points, first.points)


def test_a_changed_file_is_read_again(scans, clouds):
    before = open_dataset(scans).train
    np.save(scans / before.names[0], clouds(33))
    after = open_dataset(scans).train
    assert after.sizes[0] == 33
    assert after.fingerprint != before.fingerprint


def test_options_have_entries_of_their_own(scans, cache):
    open_dataset(scans).train  # noqa: B018
    open_dataset(scans).test  # noqa: B018
    open_dataset(scans, fold=1).train  # noqa: B018
    open_dataset(scans, skip_bad=True).train  # noqa: B018
    assert len(entries(cache)) == 4


def test_verify_finds_a_change_that_sizes_and_times_hide(scans, clouds):
    before = open_dataset(scans).train
    file = scans / before.names[0]
    stat = file.stat()
    np.save(file, clouds(before.sizes[0], seed=99))
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert open_dataset(scans).train.fingerprint == before.fingerprint
    with pytest.raises(DataError, match="not those read before"):
        open_dataset(scans, verify=True).train  # noqa: B018
    after = open_dataset(scans, verify=True).train
    assert after.fingerprint != before.fingerprint
    np.testing.assert_array_equal(after.cloud(0), clouds(before.sizes[0], seed=99))


@pytest.mark.parametrize("name", ["points.npy", "offsets.npy", "labels.npy", "meta.json"])
@pytest.mark.parametrize("damage", ["missing", "short", "empty", "garbage"])
def test_a_damaged_entry_is_made_again(name, damage, scans, cache):
    before = open_dataset(scans).train
    whole_points = np.array(before.points)
    (entry,) = cache.iterdir()
    file = entry / name
    whole = file.read_bytes()
    file.unlink()
    if damage != "missing":
        content = {"short": whole[:-5], "empty": b"", "garbage": b"garbage"}[damage]
        file.write_bytes(content)
    with pytest.warns(UserWarning, match="train clouds in the cache were damaged, and are read"):
        after = open_dataset(scans).train
    assert after.fingerprint == before.fingerprint
    np.testing.assert_array_equal(after.points, whole_points)
    assert entries(cache) == [entry.name]


def test_a_file_in_the_place_of_an_entry_is_replaced(cache, clouds):
    cache.mkdir()
    (cache / "key").write_text("in the way")
    store.write(cache, "key", three(clouds), ABOUT)
    assert entries(cache) == ["key"]


def test_an_exception_in_the_middle_leaves_nothing(cache, clouds):
    with pytest.raises(DataError, match="cloud 1: bad"):
        store.write(cache, "key", three(clouds, fail_after=1), ABOUT)
    assert entries(cache) == []


WRITER = """
import sys, time
from pathlib import Path
import numpy as np
from pointstill.data import cache

def clouds():
    yield "a", 0, np.eye(3, dtype=np.float32)
    print("writing", flush=True)
    time.sleep(60)

cache.write(Path(sys.argv[1]), "key", clouds(), {})
"""


def test_what_a_killed_writer_left_is_swept_and_a_live_ones_is_not(cache, clouds):
    cache.mkdir()
    (cache / f"{store.WRITING}dead-before-it-wrote").mkdir()
    writer = subprocess.Popen([sys.executable, "-c", WRITER, cache], stdout=subprocess.PIPE)
    try:
        assert writer.stdout.readline() == b"writing\n"
        for folder in cache.iterdir():
            os.utime(folder, (0, 0))
        store.write(cache, "one", three(clouds), ABOUT)
        assert len(entries(cache)) == 2  # the live one's and `one`
    finally:
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        writer.stdout.close()
    assert store.read(cache / "key") is None
    store.write(cache, "two", three(clouds), ABOUT)
    assert entries(cache) == ["one", "two"]


def test_a_new_writer_has_time_to_lock(cache, clouds):
    (cache / f"{store.WRITING}just-made").mkdir(parents=True)
    store.write(cache, "key", three(clouds), ABOUT)
    assert entries(cache) == [f"{store.WRITING}just-made", "key"]


def test_the_first_of_two_writers_wins(cache, clouds):
    def overtaken():
        yield from three(clouds)
        store.write(cache, "key", [("first", 0, clouds(20))], ABOUT)

    entry = store.write(cache, "key", overtaken(), ABOUT)
    assert entry.names == ["first"]
    assert entries(cache) == ["key"]


def test_two_processes_agree(hdf5, cache):
    code = (
        "import sys; from pointstill.data import open_dataset\n"
        "print(open_dataset(sys.argv[1]).train.fingerprint)"
    )
    command = [sys.executable, "-c", code, hdf5]
    writers = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    printed = [writer.communicate()[0] for writer in writers]
    assert [writer.returncode for writer in writers] == [0, 0]
    assert printed[0] == printed[1] == open_dataset(hdf5).train.fingerprint + "\n"
    assert len(entries(cache)) == 1


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EACCES, errno.EROFS])
@pytest.mark.parametrize("call", ["os.fsync", "numpy.save", "pathlib.Path.mkdir"])
def test_a_cache_that_cannot_be_written_says_where_else(code, call, scans, cache, monkeypatch):
    if call != "pathlib.Path.mkdir":
        cache.mkdir()

    def fail(*_, **__):
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patched:
        patched.setattr(call, fail)
        with pytest.raises(DataError, match=r"cannot be written.*POINTSTILL_CACHE") as caught:
            open_dataset(scans).train  # noqa: B018
    assert str(cache) in str(caught.value)
    assert os.strerror(code) in str(caught.value)
    assert not cache.exists() or entries(cache) == []
    assert len(open_dataset(scans).train) == 12


def test_a_disk_that_fills_up_while_writing(cache, hdf5):
    code = (
        "import resource, sys; from pointstill.data import open_dataset\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4000, 4000))\n"
        "open_dataset(sys.argv[1]).train"
    )
    assert resource.RLIMIT_FSIZE is not None
    run = subprocess.run([sys.executable, "-c", code, hdf5], capture_output=True, text=True)
    assert "DataError: " in run.stderr.splitlines()[-1]
    assert "is a cache that cannot be written" in run.stderr.splitlines()[-1]
    assert entries(cache) == []


def test_memory_holds_one_cloud_at_a_time(cache):
    big = np.random.default_rng(0).random((100_000, 3), dtype=np.float32)  # 1.2 MB
    tracemalloc.start()
    store.write(cache, "key", ((f"{i}", 0, big) for i in range(40)), ABOUT)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8e6 < 40 * big.nbytes


def test_the_cache_is_where_the_environment_says(scans, cache, tmp_path, monkeypatch):
    open_dataset(scans).train  # noqa: B018
    assert len(entries(cache)) == 1
    open_dataset(scans, cache=tmp_path / "other").train  # noqa: B018
    assert len(entries(tmp_path / "other")) == 1
    monkeypatch.delenv("POINTSTILL_CACHE")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert store.default_root() == tmp_path / "home" / ".cache" / "pointstill"


@pytest.mark.slow
def test_a_second_open_is_immediate(shared):
    code = (
        "import sys, time; start = time.perf_counter()\n"
        "from pointstill.data import open_dataset\n"
        "data = open_dataset(sys.argv[1]); data.train.fingerprint, data.test.fingerprint\n"
        "print(time.perf_counter() - start, 'torch' in sys.modules)"
    )
    source = shared / "data" / "modelnet40_ply_hdf5_1024"
    for _ in range(4):
        run = subprocess.run(
            [sys.executable, "-c", code, source], capture_output=True, text=True, check=True
        )
        seconds, torch_loaded = run.stdout.split()
        assert torch_loaded == "False"
        if float(seconds) < 0.5:
            return
    pytest.fail(f"the second open took {seconds} s")


def flip(file: Path, place: int, bits: int = 0x40) -> None:
    """Change one byte of a file, and nothing else that is seen of it."""
    stat = file.stat()
    with file.open("r+b") as handle:
        handle.seek(place, os.SEEK_SET if place >= 0 else os.SEEK_END)
        (byte,) = handle.read(1)
        handle.seek(-1, os.SEEK_CUR)
        handle.write(bytes([byte ^ bits]))
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))


@pytest.fixture
def points_file(scans, cache) -> Path:
    """That of the cached training split of `scans`."""
    open_dataset(scans).train  # noqa: B018
    (file,) = cache.glob("*/points.npy")
    return file


USES = {
    "points": lambda split: split.points,
    "cloud": lambda split: split.cloud(len(split) - 1),
    "check": lambda split: split.check(),
}


@pytest.mark.parametrize("use", USES)
def test_damaged_points_are_found_and_read_again_when_first_used(use, scans, points_file):
    before = np.array(open_dataset(scans).train.points)
    flip(points_file, -5)
    split = open_dataset(scans).train
    assert len(split) == 12  # no point is read yet
    with pytest.warns(UserWarning, match="train clouds in the cache were damaged, and are read"):
        USES[use](split)
    np.testing.assert_array_equal(split.points, before)
    np.testing.assert_array_equal(np.load(points_file), before)


def test_points_that_another_process_mended_are_taken(scans, points_file):
    flip(points_file, -5)
    first, second = open_dataset(scans).train, open_dataset(scans).train
    with pytest.warns(UserWarning, match="were damaged"):
        kept = np.array(first.points)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(second.points, kept)


def test_damaged_points_whose_source_is_gone_are_an_error(scans, points_file):
    split = open_dataset(scans).train
    flip(points_file, -5)
    (scans / split.names[3]).unlink()
    with (
        pytest.warns(UserWarning, match="were damaged"),
        pytest.raises(DataError, match="does not exist"),
    ):
        split.points  # noqa: B018


def test_damaged_points_whose_source_changed_are_an_error(scans, points_file, clouds):
    split = open_dataset(scans).train
    flip(points_file, -5)
    np.save(scans / split.names[3], clouds(30))
    with (
        pytest.warns(UserWarning, match="were damaged"),
        pytest.raises(DataError, match="are not those read before, which were damaged in the"),
    ):
        split.points  # noqa: B018


def test_damaged_features_are_found_and_made_again(scans, cache):
    data = open_dataset(scans, features="xyz,height")
    before = np.array(data.train.extra.values)
    (file,) = [f for f in cache.glob("*/points.npy") if np.load(f).shape[1] == 1]
    flip(file, -1)
    with pytest.warns(UserWarning, match="were damaged"):
        after = open_dataset(scans, features="xyz,height").train.extra.values
    np.testing.assert_array_equal(after, before)


def test_a_block_is_checked_once_and_alone(cache, monkeypatch):
    big = np.random.default_rng(0).random((100_000, 3), dtype=np.float32)  # 1.2 MB
    store.write(cache, "key", ((f"{i}", 0, big + i) for i in range(3)), ABOUT)
    entry = store.read(cache / "key")
    flip(cache / "key" / "points.npy", -1)
    size, ends = big.itemsize * 3, [int(end) for end in entry.offsets]
    for i in range(2):
        np.testing.assert_array_equal(entry.rows(ends[i], ends[i + 1]), big + i)
    last = -(-ends[2] * size // store.BLOCK)
    monkeypatch.setattr(hashlib, "sha256", lambda *_: pytest.fail("checked again"))
    entry.rows(0, last * store.BLOCK // size)
    monkeypatch.undo()
    with pytest.raises(DataError, match=r"train clouds in the cache are damaged: .*--verify"):
        entry.rows(ends[2], ends[3])
    assert not entry.sound()


def test_blocks_have_the_digests_of_what_lies_there(cache):
    clouds = np.random.default_rng(0).random((9, 40_000, 3), dtype=np.float32)  # 0.48 MB each
    entry = store.write(cache, "key", ((f"{i}", 0, c) for i, c in enumerate(clouds)), ABOUT)
    content, blocks = clouds.tobytes(), np.load(cache / "key" / "blocks.npy")
    for i, block in enumerate(blocks):
        part = content[i * store.BLOCK : (i + 1) * store.BLOCK]
        assert part
        assert hashlib.sha256(part).digest() == block.tobytes()
    assert len(blocks) * store.BLOCK >= len(content)
    assert entry.sound()


def damaged(folder: Path, generator: np.random.Generator) -> None:
    """Damage one file of an entry: a byte, a truncation, bytes of nothing, or its deletion."""
    file = generator.choice(sorted(folder.iterdir()))
    size = file.stat().st_size
    kind = generator.choice(["byte", "byte", "byte", "short", "zeros", "gone"])
    place = int(generator.integers(size))
    if kind == "byte":
        flip(file, place, int(generator.integers(1, 256)))
    elif kind == "short":
        os.truncate(file, place)
    elif kind == "zeros":
        with file.open("r+b") as handle:
            handle.seek(place)
            handle.write(bytes(min(512, size - place)))
    else:
        file.unlink()


@pytest.mark.filterwarnings("ignore:.*were damaged")
@pytest.mark.parametrize("count", [100, pytest.param(1000, marks=pytest.mark.slow)])
def test_no_damage_goes_unseen(count, cache, tmp_path, clouds):
    """Every way in which data leave the cache gives what was written, or an error."""
    root = tmp_path / "few"
    for seed, name in enumerate(("a", "b")):
        (root / name).mkdir(parents=True)
        for i in range(3):
            np.save(root / name / f"{name} {i}.npy", clouds(9 + i, seed=10 * seed + i))
    generator = np.random.default_rng(count)

    def content() -> tuple:
        split = open_dataset(root, features="xyz,height").train
        arrays = (split.labels, split.offsets, split.points, split.extra.values)
        about = (split.names, split.classes, split.up, split.name, split.fingerprint)
        return (*about, split.bad, split.missing, *(array.tobytes() for array in arrays))

    good = content()
    for _ in range(count):
        damaged(generator.choice(sorted(cache.iterdir())), generator)
        assert content() == good  # read again from the source where that was needed
        assert len(list(cache.iterdir())) == 2


def test_verify_finds_and_mends_a_damaged_cache(scans, points_file):
    good = open_dataset(scans).train
    kept, fingerprint = np.array(good.points), good.fingerprint
    flip(points_file, -8)
    with pytest.raises(DataError, match="were damaged, and are mended"):
        open_dataset(scans, verify=True).train  # noqa: B018
    mended = open_dataset(scans, verify=True).train
    mended.check()
    assert mended.fingerprint == fingerprint
    np.testing.assert_array_equal(mended.points, kept)


def test_a_sealed_document_holds_its_digest():
    sealed = store.seal({"names": ["a", "\udcff"], "points": 3})
    assert store.unseal(sealed) == {"names": ["a", "\udcff"], "points": 3}
    for changed in (sealed.replace("3}", "4}"), sealed.replace('"a"', '"b"'), "[]", "{}", "{"):
        with pytest.raises(ValueError, match=r"."):
            store.unseal(changed)
