"""Recording on a pretence of Ray whose workers die, fail, or hold something else than was asked."""

import os

import pytest
from ray_stand_ins import Died, Pretence, Toy, engine, run

from pointstill.errors import RecordsError, TeacherError
from pointstill.recording import ray_engine as module
from pointstill.recording.ray_engine import TRIES
from pointstill.records import Store
from stand_ins import files

pytestmark = pytest.mark.usefixtures("many_threads")


def test_the_tile_of_a_dead_worker_goes_to_another(pretend, whole, solids, tmp_path):
    deaths = iter([False, True, False, False, True])
    dead: list[int] = []

    def fate(worker: int, method: str) -> None:
        if method == "record" and next(deaths, False):
            dead.append(worker)
            raise Died

    pretend(fate)
    out = tmp_path / "ray.zarr"
    store = run(out, solids, engine(solids, workers=2))
    assert len(dead) == 2
    assert files(store.path) == files(whole.path)


def test_what_a_dead_worker_left_half_written_goes(pretend, whole, solids, tmp_path):
    def fate(worker: int, method: str) -> None:
        if method == "record" and not half.exists():
            half.write_bytes(b"half")
            raise Died

    half = tmp_path / "ray.zarr/logits/c.0.1.0.1234.partial"
    pretend(fate)
    store = run(tmp_path / "ray.zarr", solids, engine(solids, workers=2))
    assert files(store.path) == files(whole.path)


def test_a_tile_that_kills_its_workers_is_given_up(pretend, whole, solids, tmp_path):
    def fate(worker: int, method: str) -> None:
        if method == "record" and len(ray.calls) > 8:
            raise Died("out of memory")

    ray = pretend(fate)
    with pytest.raises(
        RecordsError, match=rf"{TRIES} workers died of view 1, shapes 16 to 23 \(out of memory\)"
    ):
        run(tmp_path / "ray.zarr", solids, engine(solids, workers=1))
    assert len(Store.open(tmp_path / "ray.zarr").missing()) == 4
    assert ray.ended
    pretend()
    store = run(tmp_path / "ray.zarr", solids, engine(solids, workers=1))
    assert files(store.path) == files(whole.path)


def test_workers_that_cannot_start(pretend, solids, tmp_path):
    def fate(worker: int, method: str) -> None:
        raise Died("killed\nas it was too big")

    pretend(fate)
    with pytest.raises(RecordsError, match=r"workers die as they load .*killed as it was") as told:
        run(tmp_path / "ray.zarr", solids, engine(solids))
    assert "\n" not in str(told.value)


def test_what_a_teacher_raises_ends_the_recording(pretend, solids, tmp_path):
    kept = []
    for error in (ZeroDivisionError("by\n0"), TeacherError("teacher toy: no")):
        ray = pretend()

        def fail(error: Exception = error, ray: Pretence = ray) -> None:
            if len(ray.calls) > 5:
                raise error

        out = tmp_path / f"{type(error).__name__}.zarr"
        with pytest.raises((RecordsError, TeacherError)) as told:
            run(out, solids, engine(solids, Toy(fail), workers=1))
        kept.append((str(told.value), told.value.exit_code))
        assert len(Store.open(out).missing()) == 7
        assert len(ray.killed) == 1
    assert kept[0] == (
        "a worker failed in recording view 0, shapes 40 to 47 (ZeroDivisionError: by 0): mend "
        "that, and run the same command again; what is recorded stays",
        1,
    )
    assert kept[1] == (f"worker on {os.uname().nodename}: teacher toy: no", 1)


def test_a_worker_refuses_other_data_another_teacher_and_other_versions(
    pretend, solids, make_solids, tmp_path, monkeypatch
):
    pretend()
    host = f"worker on {os.uname().nodename}: "
    other = make_solids(tmp_path / "other", first_seed=5)
    with pytest.raises(RecordsError, match=r"data\.fingerprint: .* give the t") as told:
        run(tmp_path / "data.zarr", solids, engine(other))
    assert str(told.value).startswith(host)
    teacher = Toy()
    teacher.fingerprint = "beef"
    with pytest.raises(RecordsError, match=r"teacher\.fingerprint: f00d in .*, now beef"):
        run(tmp_path / "teacher.zarr", solids, engine(solids, teacher))
    monkeypatch.setattr(module, "__version__", "0.0.9")  # after the task was made, as elsewhere
    with pytest.raises(RecordsError, match=r"pointstill 0\.0\.9 and torch .* install the same"):
        run(tmp_path / "version.zarr", solids, engine(solids))


def test_an_interrupt_leaves_a_store_to_go_on_with(pretend, whole, solids, tmp_path):
    def fate(worker: int, method: str) -> None:
        if len(ray.calls) == 9:
            raise KeyboardInterrupt

    ray = pretend(fate)
    out = tmp_path / "ray.zarr"
    with pytest.raises(KeyboardInterrupt):
        run(out, solids, engine(solids, workers=2))
    assert len(ray.killed) == 2
    assert ray.ended
    assert 0 < len(Store.open(out).missing()) < 11
    assert files(run(out, solids).path) == files(whole.path)
