"""Stores by URL: what is recorded there is what is recorded on a disk, by whatever verb."""

import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

import s3_server
import stand_ins
from pointstill.data import Dataset
from pointstill.errors import RecordsError, RemoteError
from pointstill.recording.maintenance import extend, repair, verify
from pointstill.records import Store, headers, layout
from pointstill.records.folder_or_bucket import locate
from pointstill.records.merge_and_subset import merge, subset
from s3_server import Server, always, none
from stand_ins import Toy, files, run, scans

SLOW = pytest.mark.slow
server, s3 = s3_server.server, s3_server.s3
pytestmark = pytest.mark.usefixtures("surroundings")


def stored(s3: Server, url: str) -> dict[str, bytes]:
    """All objects of a store but the sidecar."""
    return {n: c for n, c in s3.objects(url).items() if not n.startswith("provenance")}


@pytest.fixture
def plain(s3: Server, data: Dataset) -> str:
    """The URL of a finished store, equal to `made / "plain"`."""
    url = f"{s3.bucket()}/deep/plain.zarr"
    run(url, data)
    s3.log.clear()
    return url


def refused(error: RemoteError, *named: str) -> None:
    assert len(stand_ins.refused(error, *named)) < 400
    assert not isinstance(error, RecordsError)
    assert error.exit_code == 1


# What is there.


def test_a_store_by_url_is_the_store_on_a_disk(s3, plain, made, data):
    assert stored(s3, plain) == files(made / "plain")
    store, there = Store.open(plain), Store.open(made / "plain")
    assert store.path == plain
    assert not store.missing()
    for view in range(store.views):
        np.testing.assert_array_equal(store.logits(view), there.logits(view))
        np.testing.assert_array_equal(store.parameters(view), there.parameters(view))
    assert store.bytes_on_disk() == sum(map(len, s3.objects(plain).values()))
    noted = [(note["view"], note["tile"]) for note in store.notes()]
    assert sorted(noted) == [(tile.view, tile.number) for tile in store.tiles()]
    s3.log.clear()
    run(plain, data, Toy(lambda: pytest.fail("the teacher was asked again")))
    assert all(method == "GET" for method, _ in s3.log)


@SLOW
def test_a_store_copied_by_another_tool(s3, plain, tmp_path, made):
    for name, content in s3.objects(plain).items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    assert len(Store.open(tmp_path).notes()) == 6
    url = f"{s3.bucket()}/up.zarr"
    for name in (f for f in (made / "plain").rglob("*") if f.is_file()):
        s3.put(f"{url}/{name.relative_to(made / 'plain')}", name.read_bytes())
    assert len(Store.open(url).notes()) == 6
    assert stored(s3, url) == stored(s3, plain)


def test_the_order_of_the_puts(s3, plain, data):
    url = f"{s3.bucket()}/r.zarr"
    run(url, data)
    puts = [path.partition("/r.zarr/")[2] for method, path in s3.log if method == "PUT"]
    puts = [name for name in puts if not name.startswith("provenance")]
    made, tiles = puts[: puts.index("zarr.json") + 1], puts[puts.index("zarr.json") + 1 :]
    assert made[0] == headers.BACKUP
    assert set(made) == stored(s3, plain).keys() - set(tiles)
    for number in range(0, len(tiles), 3):
        chunk = tiles[number].partition("/")[2]
        assert tiles[number : number + 3] == [
            f"{n}/{chunk}" for n in ("logits", "augment", "probe")
        ]


# Stopped, and gone on with.


@pytest.mark.parametrize("every", [29, pytest.param(1, marks=pytest.mark.slow)])
def test_stopped_before_any_put(s3, data, made, every):
    """From the nth put on all are refused; then the same command goes on."""
    bucket, expected = s3.bucket(), files(made / "batched")
    for count in range(0, 999, every):
        url, left = f"{bucket}/{count}.zarr", [count]

        def refuse(method: str, path: str, left: list[int] = left) -> int | None:
            left[0] -= method == "PUT"
            return 403 if method == "PUT" and left[0] < 0 else None

        s3.fault = refuse
        try:
            run(url, data, Toy(batch=1.0), batch_size=3)
        except RemoteError as error:
            refused(error, url, "403")
        else:
            break
        s3.fault = none
        assert stored(s3, run(url, data, Toy(batch=1.0), batch_size=3).path) == expected, count
    assert count > 25


SIGKILLED = """
import os, random, signal, sys, time
from datetime import timedelta
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import stand_ins
from pointstill.data import open_dataset
from pointstill.records import layout as module

folder, rounds, url = Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
module.TILE = 4
data = open_dataset(folder / "scans", cache=folder / "cache")
data.train
options = {"batch_size": 3, "views": 8}
random.seed(rounds)
kills = stores = 0
while kills < rounds:
    child = os.fork()  # nothing here speaks to the server itself, so that a fork is sound
    if not child:
        try:
            stand_ins.run(f"{url}/{stores}.zarr", data, stand_ins.Toy(batch=1.0), **options)
        finally:
            os._exit(0)
    time.sleep(random.uniform(0.01, 0.6))
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    kills += os.WIFSIGNALED(status)
    stores += not os.WIFSIGNALED(status)  # it had ended: begin anew
for number in range(stores + 1):
    stand_ins.run(f"{url}/{number}.zarr", data, stand_ins.Toy(batch=1.0), **options)
print(stores)
"""


@pytest.mark.slow
def test_killed_by_a_signal_at_random_moments(s3, tmp_path, data):
    scans(tmp_path / "scans")
    url = s3.bucket()
    arguments = [str(Path(__file__).parents[1]), str(tmp_path), "40", url]
    command = [sys.executable, "-c", SIGKILLED, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    whole = files(run(tmp_path / "w.zarr", data, Toy(batch=1.0), batch_size=3, views=8).path)
    for number in range(int(done.stdout) + 1):
        assert stored(s3, f"{url}/{number}.zarr") == whole


# Two at once.


def test_two_recorders_of_one_store_by_turns(s3, data, made):
    """A second records everything while the first is in its nth tile; the first ends after it."""
    for nth in (0, 3):
        url, asked = f"{s3.bucket()}/r.zarr", []

        def second(url: str = url, asked: list[int] = asked, nth: int = nth) -> None:
            asked.append(1)
            if len(asked) == nth + 1:
                run(url, data)

        run(url, data, Toy(second))
        assert stored(s3, url) == files(made / "plain")


def test_two_recorders_of_one_store_at_once(s3, data, made):
    url = f"{s3.bucket()}/r.zarr"
    failures: list[Exception] = []
    together = threading.Barrier(2)

    def recorder() -> None:
        try:
            together.wait()
            run(url, data)
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=recorder) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert stored(s3, url) == files(made / "plain")


def test_a_recorder_of_something_else_damages_nothing(s3, data, made):
    url, asked = f"{s3.bucket()}/r.zarr", []

    def second() -> None:
        if not asked:
            asked.append(1)
            run(url, data)

    with pytest.raises(RecordsError, match="claimed by another process"):
        run(url, data, Toy(second), augment="rotate")
    with pytest.raises(RecordsError, match="made from something else"):
        run(url, data, augment="rotate")
    assert stored(s3, url) == files(made / "plain")


@pytest.mark.parametrize("name", ["", "/deep", "/deep/plain.zarr/logits"])
def test_nothing_is_made_over_what_exists(s3, plain, data, name):
    url = f"{plain.partition('/deep')[0]}{name}"
    before = s3.objects(url)
    with pytest.raises(RecordsError, match=r"is no record store|is damaged"):
        run(url, data)
    assert s3.objects(url) == before


# The verbs.


def test_verify_and_repair(s3, plain, data, made):
    assert verify(Store.open(plain), data, tiles=None, teacher=Toy(), quiet=True).kl == 0
    s3.put(f"{plain}/logits/c.0.1.0", b"junk")
    s3.put(f"{plain}/augment/c.1.0.0", None)
    s3.put(f"{plain}/logits/zarr.json", b"{}")
    with pytest.raises(RecordsError, match=r"logits/zarr\.json is not what was written"):
        Store.open(plain)
    mended = repair(plain, Toy(), data, quiet=True)
    assert mended.headers == ["logits/zarr.json"]
    assert [(tile.view, tile.number) for tile in mended.tiles] == [(0, 1), (1, 0)]
    assert stored(s3, plain) == files(made / "plain")


@pytest.mark.parametrize(
    "stop",
    [*(pytest.param(name, marks=SLOW) for name in ("", "logits/z", "probe/c.3.1")), "augment/z"],
)
def test_extend(s3, plain, data, tmp_path, stop):
    if stop:
        s3.fault = always(403, "PUT", stop)
        with pytest.raises(RemoteError, match="403"):
            extend(plain, Toy(), data, views=4, quiet=True)
        s3.fault = none
    extend(plain, Toy(), data, views=4, quiet=True)
    assert stored(s3, plain) == files(run(tmp_path / "longer.zarr", data, views=4).path)


def test_parts_are_merged_from_anywhere_to_anywhere(s3, data, made, tmp_path):
    bucket = s3.bucket()
    run(f"{bucket}/1.zarr", data, part="1/2")
    run(tmp_path / "2.zarr", data, part="2/2")
    for out in (f"{bucket}/whole.zarr", tmp_path / "whole.zarr"):
        assert not merge([f"{bucket}/1.zarr", tmp_path / "2.zarr"], out).missing()
        assert len(Store.open(out).notes()) == 6
    assert stored(s3, f"{bucket}/whole.zarr") == files(tmp_path / "whole.zarr")
    assert files(tmp_path / "whole.zarr") == files(made / "plain")
    with pytest.raises(RecordsError, match="exists: choose another --out"):
        merge([f"{bucket}/1.zarr", tmp_path / "2.zarr"], f"{bucket}/whole.zarr")


@SLOW
def test_a_merge_that_is_stopped_is_no_store_and_goes_on(s3, plain, made):
    """Whatever was put before, there is no root header, so that nothing takes it for a store."""
    url = f"{s3.bucket()}/whole.zarr"
    for refusing in ("logits/c.0.1.0", "whole.zarr/zarr.json"):
        assert not locate(url).taken()
        s3.fault = always(403, "PUT", refusing)
        with pytest.raises(RemoteError, match="403"):
            merge([plain, made / "plain"], url)
        s3.fault = none
        with pytest.raises(RecordsError):
            Store.open(url)
    merge([plain, made / "plain"], url)
    assert stored(s3, url) == files(made / "plain")


@SLOW
def test_subset_and_parquet(s3, plain, data, tmp_path, made):
    import pyarrow.parquet as pq

    from pointstill.records.parquet import export_parquet

    url = f"{s3.bucket()}/s.zarr"
    for source, out in ((plain, url), (made / "plain", tmp_path / "s.zarr")):
        subset(source, out, data, limit=5)
        export_parquet(Store.open(out), tmp_path / f"{type(out).__name__}.parquet")
    assert stored(s3, url) == files(tmp_path / "s.zarr")
    tables = [pq.read_table(file) for file in tmp_path.glob("*.parquet")]
    assert len(tables) == 2
    assert tables[0].equals(tables[1])


def test_commands(s3, cli, solids, teacher_run, tmp_path, monkeypatch):
    """Record, look, check and distil by URL; the student is that of the store on a disk."""
    monkeypatch.setattr(layout, "TILE", 256)
    url = f"{s3.bucket()}/records.zarr"
    asked = ("--data", solids, "--out", url, "--views", 3)
    code, out, err = cli("record", "--teacher", teacher_run, *asked)
    assert code == 0, err
    assert f"recorded 144 records in {url}\n" in out
    assert f"--records {url} " in out
    records = tmp_path / "records.zarr"
    assert cli("record", "--teacher", teacher_run, *asked[:2], *asked[4:], "--out", records)[0] == 0
    assert stored(s3, url) == files(records)
    code, out, _ = cli("records", "info", url)
    assert (code, out.splitlines()[0]) == (0, f"{url}: 144 of 144 records (complete)")
    code, out, _ = cli("records", "verify", url, "--data", solids, "--tiles", "all")
    assert (code, out.startswith(f"{url}: 3 tiles replay")) == (0, True)
    weights = []
    for store, run_folder in ((url, "by-url"), (records, "by-path")):
        flags = ("--records", store, "--out", tmp_path / run_folder, "--epochs", 1)
        code, _, err = cli("distill", "--student", "stillnet-n", "--data", solids, *flags)
        assert code == 0, err
        weights.append((tmp_path / run_folder / "weights.safetensors").read_bytes())
    assert weights[0] == weights[1]
    assert f"records: {url}\n" in (tmp_path / "by-url/recipe.yaml").read_text()
    code, _, err = cli("distill", "--student", "stillnet-n", *asked[:4], "--records", url)
    only = "as only data and records can be at a URL: give a path, and copy between the two"
    assert (code, err) == (2, f"error: --out is {url}; it must be a path on this machine, {only}\n")


@SLOW
def test_workers_of_ray_write_to_the_same_store(s3, cli, solids, teacher_run):
    bucket = s3.bucket()
    asked = ("--teacher", teacher_run, "--data", solids, "--views", 2, "--threads", 1)
    for name, engine in (("one", ()), ("ray", ("--engine", "ray", "--workers", 2))):
        code, _, err = cli("record", *asked, "--out", f"{bucket}/{name}.zarr", *engine)
        assert code == 0, err
    assert len({note["process"] for note in Store.open(f"{bucket}/ray.zarr").notes()}) == 3
    assert stored(s3, f"{bucket}/ray.zarr") == stored(s3, f"{bucket}/one.zarr")
