"""Recording is refused in one line that says the fix, and leaves nothing, or what was there."""

import os

import pytest
from torch import Tensor

from pointstill.data import open_dataset
from pointstill.errors import RecordsError, UsageError
from stand_ins import Toy, files, run, said, scans

pytestmark = pytest.mark.usefixtures("surroundings")


# Options


@pytest.mark.parametrize("option", ["views", "points", "limit", "batch_size"])
@pytest.mark.parametrize("value", [0, -3])
def test_numbers_below_one_are_refused(tmp_path, data, option, value):
    with pytest.raises(UsageError, match=f"{option} is {value}: choose 1 or more"):
        run(tmp_path / "r.zarr", data, **{option: value})
    assert not (tmp_path / "r.zarr").exists()


@pytest.mark.parametrize("seed", [-1, 2**63])
def test_seeds_that_are_none(tmp_path, data, seed):
    with pytest.raises(UsageError, match=f"seed is {seed}: choose 0 to"):
        run(tmp_path / "r.zarr", data, seed=seed)
    assert not (tmp_path / "r.zarr").exists()


def test_an_unknown_augmentation_is_refused(tmp_path, data):
    with pytest.raises(UsageError, match="unknown augmentation 'warp'"):
        run(tmp_path / "r.zarr", data, augment="warp")


# A store of something else


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"views": 3}, "views: 2 in the records, now 3"),
        ({"augment": "scale"}, "augment.operations: "),
        ({"augment": "scale,shift(by=0.1)"}, "'by': 0.1}]"),
        ({"augment": "shift,scale"}, "columns: ['scale_x'"),
        ({"points": 15}, "points: 16 in the records, now 15"),
        ({"seed": 1}, "augment.seed: 0 in the records, now 1"),
        ({"limit": 9}, "shapes: 10 in the records, now 9"),
    ],
)
@pytest.mark.parametrize("finished", [True, False])
def test_other_options_are_refused_by_name(recorded, data, options, named, finished):
    if not finished:
        (recorded.path / "probe/c.1.1.0").unlink()
    message = said(recorded.path, data, **options)
    assert named in message
    fix = "choose another --out, or give the options it was made with"
    if "views" in options:
        fix = f"`pointstill records extend {recorded.path} --views 3` adds views"
    assert message.endswith(fix)
    assert "choose another --out" in said(recorded.path, data, **{"codec": "int8"} | options)


def test_another_teacher_is_refused(recorded, data):
    other = Toy()
    other.fingerprint = "beef"
    assert "teacher.fingerprint: f00d in the records, now beef" in said(recorded.path, data, other)


def test_the_same_teacher_from_another_place_goes_on(recorded, data):
    moved = Toy()
    moved.spec = "elsewhere/toy"
    assert run(recorded.path, data, moved).attributes["teacher_spec"] == "toy"


def test_other_data_is_refused(tmp_path, recorded):
    other = open_dataset(scans(tmp_path / "other", seed=1))
    assert "data.fingerprint: " in said(recorded.path, other)
    scans(tmp_path / "scans")
    for part in ("train", "test"):
        (tmp_path / "scans" / part / "lamp").rename(tmp_path / "scans" / part / "mast")
    message = said(recorded.path, open_dataset(tmp_path / "scans"))
    assert "classes: ['bench', 'lamp', 'tree'] in the records, now ['bench', 'mast'," in message


def test_a_folder_of_something_else_is_refused(made, data):
    message = said(made / "scans", data)
    assert "is no record store" in message
    assert "does not exist yet" in message


# Logits that cannot be stored


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e5])
def test_logits_that_cannot_be_stored_are_refused(tmp_path, data, value):
    class Bad(Toy):
        def logits(self, points: Tensor) -> Tensor:
            logits = super().logits(points)
            logits[:, 1] = value
            return logits

    with pytest.raises(RecordsError, match="view 0, shapes 0 to 3"):
        run(tmp_path / "r.zarr", data, Bad())
    assert not (tmp_path / "r.zarr").exists()


@pytest.mark.parametrize("tame", [0, 4])
def test_a_codec_that_loses_too_much_leaves_nothing(tmp_path, data, tame, monkeypatch):
    # Its logits are by how often it was asked, which is refused for itself.
    monkeypatch.setattr("pointstill.recording.job.check_independence", lambda *_: None)

    class Wide(Toy):
        asked = 0

        def logits(self, points: Tensor) -> Tensor:
            logits = super().logits(points)
            # The first tile alone, which may be of one class, may lose nothing.
            logits[:, 2] = -60_000 if self.asked >= tame else 0
            self.asked += len(points)
            return logits

    with pytest.raises(RecordsError, match=r"codec int8 loses too much .* use --codec float16"):
        run(tmp_path / "r.zarr", data, Wide(), codec="int8")
    assert not list(tmp_path.glob("*.zarr"))
    assert not run(tmp_path / "r.zarr", data, Wide()).missing()


# Two at once


def test_two_recorders_of_one_store(tmp_path, data):
    """The second is refused while the first is in the teacher; the first ends undisturbed."""
    out, refusals = tmp_path / "r.zarr", []

    def second() -> None:
        if len(refusals) < 2:
            with pytest.raises(RecordsError) as caught:
                run(out, data)
            refusals.append(str(caught.value))

    run(out, data, Toy(second))
    assert not (tmp_path / ".r.zarr.lock").exists()
    who = f"process {os.getpid()} on {os.uname().nodename}"
    for message in refusals:
        assert message == (
            f"{out} is being written by {who}: wait until it ends, or choose another --out"
        )
    assert files(out) == files(run(tmp_path / "alone.zarr", data).path)
