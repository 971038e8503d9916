"""The frame of a teacher is found, written down, read again, and missed where it is wrong.

Six classes, one for each way along an axis that a cloud has its tail: only one of all 48 frames
gives all of them right.
"""

import warnings
from collections.abc import Callable
from itertools import permutations, product
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from torch import Tensor, nn

from pointstill.augment import Clouds
from pointstill.data import Dataset, Split, open_dataset
from pointstill.errors import PointstillError, TeacherError, UsageError
from pointstill.recipe import RecordRecipe
from pointstill.recording.job import record
from pointstill.teachers import Ensemble, NetworkTeacher, Votes, axes_search, load_teacher
from pointstill.teachers.axes import SAME, format_axes, parse_axes
from pointstill.teachers.axes_search import (
    Trial,
    check_axes,
    describe_teacher,
    search,
    turned_axes,
    upright_axes,
)
from pointstill.teachers.description import Description

CLASSES = ("down", "east", "north", "south", "up", "west")
WAYS = {
    "east": (0, 1),
    "west": (0, -1),
    "north": (1, 1),
    "south": (1, -1),
    "up": (2, 1),
    "down": (2, -1),
}


class Tails(nn.Module):
    """Third moments both ways along the axes, in the order of `NAMES`; counts its clouds."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(1.0))
        self.seen = 0

    def forward(self, points: Tensor) -> Tensor:
        self.seen += len(points)
        moments = self.weight * 200 * points.pow(3).mean(1)
        return torch.stack((moments, -moments), 2).flatten(1)


NAMES = ("east", "west", "north", "south", "up", "down")  # in the teacher's own axes, z up


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Twelve training clouds a class, and test files that cannot be read."""
    root = tmp_path_factory.mktemp("tails")
    for name, (axis, sign) in WAYS.items():
        for part in ("train", "test"):
            (root / part / name).mkdir(parents=True)
        (root / "test" / name / "0.npy").write_bytes(b"never to be opened")
        for i in range(12):
            draw = np.random.default_rng([i, axis, sign + 1])
            cloud = 0.5 * draw.normal(size=(200, 3))
            cloud[:, axis] = sign * draw.exponential(size=200)
            np.save(root / "train" / name / f"{i}.npy", cloud.astype(np.float32))
    return open_dataset(root)


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> Tails:
    import sys
    from types import ModuleType

    found, tails = ModuleType("own_nets"), Tails()
    found.tails = tails  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "own_nets", found)
    return tails


def teacher_of(data: Dataset, true_frame: str, said: str | None = None) -> NetworkTeacher:
    """A teacher that is right in `true_frame` only: its classes are named after its own axes."""
    axes = parse_axes(true_frame) or SAME
    names = []
    for own, own_sign in ((axis, sign) for axis in range(3) for sign in (1, -1)):
        axis, sign = axes[own]
        names.append(next(n for n, way in WAYS.items() if way == (axis, sign * own_sign)))
    teacher = load_teacher("own_nets:tails", classes=data.classes, class_names=names, axes=said)
    assert isinstance(teacher, NetworkTeacher)
    return teacher


def split_of(data: Dataset) -> tuple[Split, Clouds]:
    return data.train, Clouds.of(data.train)


def test_the_frames_that_are_tried() -> None:
    found = upright_axes("z")
    assert found[0] == SAME
    assert len({*found}) == len(found) == 12
    orders = {tuple(axis for axis, _ in axes) for axes in found}
    assert orders == set(permutations(range(3)))
    assert all(sign == 1 for axes in found for axis, sign in axes if axis != 2)
    every = {each for axes in found for each in [axes, *turned_axes(axes, "z")]}
    whole = {
        tuple(zip(order, signs, strict=True))
        for order in permutations(range(3))
        for signs in product((1, -1), repeat=3)
    }
    assert every == whole  # 48: nothing is out of reach
    assert {format_axes(axes) for axes in turned_axes(parse_axes("x,z,-y") or SAME, "z")} == {
        "x,z,-y",
        "-x,z,y",
        "-x,z,-y",
        "-y,z,x",
        "y,z,-x",
        "-y,z,-x",
    }


@pytest.mark.parametrize("frame", ["x,y,z", "x,z,-y", "-z,x,y", "-y,-x,-z", "y,-z,-x"])
def test_the_one_right_frame_is_found(module: Tails, data: Dataset, frame: str) -> None:
    trials = search(teacher_of(data, frame), *split_of(data), shapes=72, batch_size=16, quiet=True)
    assert format_axes(trials[0].axes) == frame
    assert trials[0].accuracy > 0.95
    assert trials[1].accuracy < 0.75
    assert len(trials) == 3


def trial(frame: str, right: int, loss: float) -> Trial:
    """Of 60 shapes, the first `right` of which are right."""
    return Trial(parse_axes(frame) or SAME, torch.arange(60) < right, torch.full((60,), loss))


@pytest.mark.parametrize(
    ("others", "first"),
    [
        ([("x,y,z", 50, 0.9), ("-x,y,z", 50, 0.1)], "x,y,z"),
        ([("-x,y,z", 55, 0.1), ("x,y,z", 50, 0.9)], "x,y,z"),  # 5 of 5, which chance may do
        ([("-x,y,z", 57, 0.9), ("x,y,z", 50, 0.1)], "-x,y,z"),
        ([("x,z,y", 50, 0.1), ("x,z,-y", 50, 0.9)], "x,z,-y"),  # the first mirrors
        ([("x,z,y", 51, 0.9), ("x,z,-y", 50, 0.1)], "x,z,y"),
        ([("z,x,y", 50, 0.2), ("x,z,-y", 50, 0.1), ("x,y,z", 20, 0.0)], "x,z,-y"),
    ],
)
def test_ties(others: list[tuple[str, int, float]], first: str) -> None:
    for order in permutations(others):
        found = axes_search.ranked(trial(*each) for each in order)
        assert format_axes(found[0].axes) == first
        assert len(found) == len(others)


class Symmetric(nn.Module):
    """Tells up from down, and each way along the ground from the other axis only by its length."""

    def forward(self, points: Tensor) -> Tensor:
        return torch.stack([points[..., 2].pow(3).mean(1), -points[..., 2].pow(3).mean(1)], 1)


def test_the_data_s_own_axes_are_found_where_a_mirror_does_as_well(tmp_path: Path) -> None:
    for label, name in enumerate(("up", "down")):
        for part in ("train", "test"):
            (tmp_path / part / name).mkdir(parents=True)
            for i in range(12):
                draw = np.random.default_rng([label, i])
                cloud = 0.5 * draw.normal(size=(100, 3))
                cloud[:, 2] = (1 - 2 * label) * draw.exponential(size=100)
                np.save(tmp_path / part / name / f"{i}.npy", cloud)
    opened = open_dataset(tmp_path, cache=tmp_path / "cache")
    names = ("up", "down")
    teacher = load_teacher(Symmetric(), classes=opened.classes, class_names=names, layout="bn3")
    trials = search(teacher, *split_of(opened), shapes=24, batch_size=16, quiet=True)  # type: ignore[arg-type]
    assert trials[0].axes == SAME


def test_the_cost_is_what_was_said(module: Tails, data: Dataset) -> None:
    teacher = teacher_of(data, "x,z,y")
    module.seen = 0
    search(teacher, *split_of(data), shapes=72, batch_size=16, quiet=True)
    assert module.seen == 18 * 64 + 3 * 8
    module.seen = 0
    search(teacher, *split_of(data), shapes=20, batch_size=16, quiet=True)
    assert module.seen == 18 * 20


def test_accuracies_are_those_of_a_loop(module: Tails, data: Dataset) -> None:
    trials = search(
        teacher_of(data, "x,z,y"), *split_of(data), shapes=72, batch_size=16, quiet=True
    )
    split = data.train
    for trial in trials:
        right = 0
        for index in range(72):
            cloud = split.cloud(index).astype(np.float64)
            cloud -= cloud.mean(0)
            seen = np.stack([cloud[:, axis] * sign for axis, sign in trial.axes], 1)
            moments = (seen**3).mean(0)
            way = int(np.abs(moments).argmax())
            axis, sign = (parse_axes("x,z,y") or SAME)[way]
            named = (axis, int(np.sign(moments[way])) * sign)
            right += WAYS[split.classes[split.labels[index]]] == named
        assert trial.accuracy == pytest.approx(right / 72)


# Written down, and read again.


@pytest.fixture
def script(tmp_path: Path, data: Dataset) -> tuple[Path, list[str]]:
    """A TorchScript file whose frame is x,z,-y, and its class names."""

    class Plain(nn.Module):
        def forward(self, points: Tensor) -> Tensor:
            moments = 200 * points.pow(3).mean(1)
            return torch.stack((moments, -moments), 2).flatten(1)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.script(Plain()).save(str(tmp_path / "tails.pt"))
    return tmp_path / "tails.pt", ["east", "west", "up", "down", "south", "north"]


def test_what_is_described_needs_no_more_words(
    script: tuple[Path, list[str]], data: Dataset, tmp_path: Path
) -> None:
    file, names = script
    teacher = load_teacher(file, classes=data.classes, class_names=names)
    path, found = describe_teacher(teacher, data, spec=str(file), shapes=72, quiet=True)
    assert path == tmp_path / "tails.pt.yaml"
    written = yaml.safe_load(path.read_text())
    assert written["teacher"] == "tails.pt"
    assert (written["classes"], written["frame"], written["up"]) == (names, "x,z,-y", "z")
    assert (written["layout"], written["output"]) == ("bn3", "logits")
    assert written["normalisation"] == "unit-sphere"
    assert written["checked"]["accuracy"] == found.checked["accuracy"] > 0.95  # type: ignore[index]
    assert written["checked"]["fingerprint"] == data.train.fingerprint

    by_hand = load_teacher(file.rename(tmp_path / "x.pt"), classes=data.classes, class_names=names,
                           axes="x,z,-y")  # fmt: skip
    (tmp_path / "x.pt").rename(file)
    for spec in (file, path):
        again = load_teacher(spec, classes=data.classes, up="z")
        assert again.fingerprint == by_hand.fingerprint
        assert isinstance(again, NetworkTeacher)
        assert again.checked_on == data.train.fingerprint
    # A flag overrides it, and then nothing is known of the frame.
    other = load_teacher(file, classes=data.classes, axes="x,y,z", up="z")
    assert isinstance(other, NetworkTeacher)
    assert (other.axes, other.checked_on) == (None, None)
    # In data of another up axis it says nothing.
    with pytest.warns(UserWarning, match="with z up, and y is up in this data"):
        other = load_teacher(file, classes=data.classes, up="y")
    assert isinstance(other, NetworkTeacher)
    assert (other.axes, other.checked_on) == (None, None)


def test_another_file_under_the_same_name_is_refused(
    script: tuple[Path, list[str]], data: Dataset
) -> None:
    file, names = script
    teacher = load_teacher(file, classes=data.classes, class_names=names)
    describe_teacher(teacher, data, spec=str(file), axes="x,z,-y", shapes=10, quiet=True)
    file.write_bytes(file.read_bytes() + b" ")
    with pytest.raises(TeacherError, match=r"describes another tails\.pt .*remove the description"):
        load_teacher(file, classes=data.classes)


def test_a_frame_that_is_said_is_measured_and_not_searched(
    module: Tails, data: Dataset, tmp_path: Path
) -> None:
    teacher = teacher_of(data, "x,z,y")
    out = tmp_path / "own.yaml"
    module.seen = 0
    _, found = describe_teacher(
        teacher, data, spec="own_nets:tails", axes="x,z,y", shapes=30, out=out, quiet=True
    )
    assert module.seen == 30
    assert found.frame == "x,z,y"
    assert list(found.checked["frames"]) == ["x,z,y"]  # type: ignore[index]
    again = load_teacher(out, classes=data.classes)
    assert again.fingerprint == teacher_of(data, "x,z,y", said="x,z,y").fingerprint
    assert isinstance(again, NetworkTeacher)
    assert again.checked_on == data.train.fingerprint


def test_a_wrong_frame_that_is_said_is_warned_of(
    module: Tails, data: Dataset, tmp_path: Path
) -> None:
    out, teacher = tmp_path / "own.yaml", teacher_of(data, "x,z,-y")
    with pytest.warns(UserWarning, match=r"and on \d+% with --axes x,z,-y: give that"):
        _, found = describe_teacher(
            teacher, data, spec="own_nets:tails", axes="z,x,y", shapes=72, out=out, quiet=True
        )
    assert found.frame == "z,x,y"  # as it was said
    assert {"z,x,y", "x,z,-y"} <= set(found.checked["frames"])  # type: ignore[index]
    again = load_teacher(out, classes=data.classes)
    with pytest.warns(UserWarning, match="with --axes x,z,-y"):
        checked(data, again)


def test_a_frame_changed_by_hand_is_checked_again(
    module: Tails, data: Dataset, tmp_path: Path
) -> None:
    out = tmp_path / "own.yaml"
    describe_teacher(
        teacher_of(data, "x,z,y"), data, spec="own_nets:tails", shapes=72, out=out, quiet=True
    )
    out.write_text(out.read_text().replace("frame: x,z,y", "frame: z,x,y"))
    with pytest.warns(UserWarning, match="with --axes x,z,y"):
        checked(data, load_teacher(out, classes=data.classes))


@pytest.mark.parametrize(
    ("changed", "vouched"),
    [
        ({}, True),
        ({"frames": {"x,y,z": 0.7}}, False),  # no other was tried
        ({"accuracy": 0.95, "frames": {"x,y,z": 0.95}}, True),  # and none needs to be
        ({"frames": {"x,y,z": 0.7, "x,z,y": 0.8}}, False),
        ({"frames": {"x,z,y": 0.7, "z,y,x": 0.5}}, False),
        ({"accuracy": 0.2, "frames": {"x,y,z": 0.2, "x,z,y": 0.1}}, False),  # guesses
    ],
)
def test_what_vouches_for_a_frame(changed: dict[str, object], vouched: bool) -> None:
    checked = {"shapes": 64, "accuracy": 0.7, "frames": {"x,y,z": 0.7, "x,z,y": 0.5}}
    found = Description(checked=checked | {"fingerprint": "f00d"} | changed)
    assert found.verified_on(4) == ("f00d" if vouched else None)


def test_what_cannot_be_described(
    module: Tails, data: Dataset, teacher_run: Path, solids: Path, tmp_path: Path
) -> None:
    teacher = teacher_of(data, "x,y,z")
    with pytest.raises(
        UsageError, match="teacher own_nets:tails has no file beside which to write: give --out"
    ):
        describe_teacher(teacher, data, spec="own_nets:tails", quiet=True)
    with pytest.raises(UsageError, match=r"end its name in \.yaml"):
        describe_teacher(teacher, data, spec="own_nets:tails", out=tmp_path / "a.txt", quiet=True)
    (tmp_path / "file").touch()
    module.seen = 0
    with pytest.raises(PointstillError, match=r"b\.yaml cannot be written"):
        describe_teacher(
            teacher, data, spec="own_nets:tails", out=tmp_path / "file/b.yaml", quiet=True
        )
    assert module.seen == 0
    with pytest.raises(UsageError, match="member by member"):
        describe_teacher(Votes(teacher, 2, "scale"), data, spec="own_nets:tails", quiet=True)
    run = load_teacher(str(teacher_run), classes=open_dataset(solids).classes)
    with pytest.raises(UsageError, match="says all of this itself"):
        describe_teacher(run, data, spec=str(teacher_run), quiet=True)


def test_a_teacher_that_guesses_gets_a_warning(
    module: Tails, data: Dataset, tmp_path: Path
) -> None:
    module.weight.data.zero_()
    teacher = teacher_of(data, "x,y,z")
    with pytest.warns(UserWarning, match="with its best axes, no more than by guessing"):
        describe_teacher(
            teacher, data, spec="own_nets:tails", shapes=20, out=tmp_path / "a/b.yaml", quiet=True
        )
    with pytest.warns(UserWarning, match="no more than by guessing"):  # said again
        checked(data, load_teacher(tmp_path / "a/b.yaml", classes=data.classes))


# The check before recording.


def checked(data: Dataset, teacher: object) -> None:
    check_axes(teacher, *split_of(data), 16, quiet=True)  # type: ignore[arg-type]


def test_a_right_frame_costs_one_look(module: Tails, data: Dataset) -> None:
    teacher = teacher_of(data, "x,z,y", said="x,z,y")
    module.seen = 0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        checked(data, teacher)
    assert module.seen == 64


def test_a_wrong_frame_is_named(module: Tails, data: Dataset) -> None:
    wrong, right = teacher_of(data, "x,z,y"), teacher_of(data, "x,y,z")
    for teacher in (wrong, Votes(wrong, 2, "scale"), Ensemble([right, wrong])):
        with pytest.warns(UserWarning, match="teacher own_nets:tails is right on") as caught:
            checked(data, teacher)
        (warning,) = caught
        assert "with --axes x,z,y: give that" in str(warning.message)
        assert "\n" not in str(warning.message)
    module.seen = 0
    with pytest.warns(UserWarning, match="x,z,y"):
        checked(data, wrong)
    assert module.seen == 64 + (18 * 64 + 3 * 8) + 8  # itself, the search, itself on the rest


def test_guessing_is_warned_of(module: Tails, data: Dataset) -> None:
    module.weight.data.zero_()
    with pytest.warns(UserWarning, match="no more than by guessing: check its weights"):
        checked(data, teacher_of(data, "x,y,z"))


def test_recording_checks_a_new_store_only(
    module: Tails, data: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = {"recipe": RecordRecipe(views=1, limit=6, points=100)}
    with pytest.warns(UserWarning, match="--axes x,z,y"):
        record(teacher_of(data, "x,z,y"), data, out=tmp_path / "r.zarr", **options)  # type: ignore[arg-type]
    assert "trying other axes" in capsys.readouterr().err
    module.seen = 0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        record(teacher_of(data, "x,z,y"), data, out=tmp_path / "r.zarr", quiet=True, **options)  # type: ignore[arg-type]
    assert module.seen == 12  # of loading it, none of recording


def test_a_run_on_the_same_data_is_not_checked(
    teacher_run: Path, solids: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = open_dataset(solids)
    monkeypatch.setattr(axes_search, "try_axes", lambda *_: pytest.fail("it was asked"))
    checked(data, load_teacher(str(teacher_run), classes=data.classes, up=data.up))


def test_the_command(
    script: tuple[Path, list[str]],
    data: Dataset,
    tmp_path: Path,
    cli: Callable[..., tuple[int, str, str]],
) -> None:
    file, names = script
    (tmp_path / "names.txt").write_text("\n".join(names))
    code, out, _ = cli(
        "teacher", "describe", "--teacher", file, "--data", data.name,
        "--class-names", tmp_path / "names.txt", "--shapes", 72,
    )  # fmt: skip
    assert code == 0
    assert out.splitlines()[0].startswith("x,z,-y    right on")
    assert f"wrote {file}.yaml: axes x,z,-y, bn3, logits" in out
    out_folder = tmp_path / "r.zarr"
    code, _, err = cli(
        "record", "--teacher", file, "--data", data.name, "--views", 1, "--limit", 6,
        "--points", 100, "--out", out_folder,
    )  # fmt: skip
    assert code == 0
    assert "right on" not in err  # it was described on this very split
