"""Options that commands share: they reach what they are for."""

import shlex
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from pointstill.cli.shared_options import DataOptions, MaybeData, TeacherOptions, read_recipe
from pointstill.data import open_dataset
from pointstill.errors import TeacherError, UsageError
from pointstill.models import build_model

POINTS = torch.randn(2, 64, 3, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "weights.safetensors"
    torch.manual_seed(0)
    save_file(build_model("stillnet-n", 3).state_dict(), path)
    return path


def test_data_options_open_what_they_say(solids):
    data = DataOptions(data=str(solids), fold=2, skip_bad=True, verify=True).open()
    assert (data.name, data.fold, data.skip_bad, data.verify) == (str(solids), 2, True, True)
    assert data.test.fingerprint == open_dataset(solids, fold=2).test.fingerprint
    assert DataOptions(data=str(solids)).open().fold == 0
    assert DataOptions(data=str(solids), up="y").open().up == "y"


def test_data_may_be_left_out_where_that_is_said(solids):
    assert MaybeData().open() is None
    options = MaybeData(
        data=str(solids), fold=2, up="y", features="xyz,height", skip_bad=True, drop_missing=True
    )
    data = options.open()
    assert (data.name, data.fold, data.up, data.verify) == (str(solids), 2, "y", False)
    assert (data.features, data.skip_bad, data.drop_missing) == (("xyz", "height"), True, True)
    with pytest.raises(TypeError, match="data"):
        DataOptions(fold=2)


def test_a_run_can_be_repeated_with_the_same_axis_up(solids):
    from pointstill.recipe import TrainRecipe
    from pointstill.training.jobs import _resolved

    data = open_dataset(solids, up="y")
    resolved = _resolved("stillnet-n", data, data.train, None, TrainRecipe(), 2)
    assert (resolved["up"], resolved["origin"]["up"]) == ("y", "y")


def test_teacher_options_reach_the_teacher(solids, weights, tmp_path):
    data = open_dataset(solids)
    names = tmp_path / "names.txt"
    names.write_text("rod\n\n  ball \nbox\n")
    plain = TeacherOptions(weights=weights).load("stillnet-n", data)
    named = TeacherOptions(weights=weights, class_names=names).load("stillnet-n", data)
    # ball, box, rod are the second, third and first of its own order.
    assert torch.equal(named.logits(POINTS), plain.logits(POINTS)[:, [1, 2, 0]])
    turned = TeacherOptions(weights=weights, axes="x,z,-y").load("stillnet-n", data)
    swapped = POINTS[..., [0, 2, 1]] * torch.tensor([1, 1, -1])
    assert torch.equal(turned.logits(POINTS), plain.logits(swapped))


def test_threads_reach_torch(solids, weights):
    before = torch.get_num_threads()
    try:
        data = open_dataset(solids)
        TeacherOptions(weights=weights, threads=2).load("stillnet-n", data)
        assert torch.get_num_threads() == 2
        TeacherOptions(weights=weights, threads=3).load("stillnet-n", data, many=True)
        assert torch.get_num_threads() == 3
        TeacherOptions(weights=weights).load("stillnet-n", data, many=True)
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)


def test_class_names_that_cannot_be_read(solids, weights, tmp_path):
    data, names = open_dataset(solids), tmp_path / "names.txt"
    options = TeacherOptions(weights=weights, class_names=names)
    for content in (None, b"\xff\xfe\x00", b"ball\n" * (1 << 18)):
        if content:
            names.write_bytes(content)
        with pytest.raises(UsageError, match=r"names\.txt cannot be read") as caught:
            options.load("stillnet-n", data)
        assert "\n" not in str(caught.value)
    names.write_text("ball\nbox\n")
    with pytest.raises(TeacherError, match="rod"):
        options.load("stillnet-n", data)


def test_data_comes_again_as_a_shell_takes_it():
    options = DataOptions(data="my scans/it's", fold=3, skip_bad=True, drop_missing=True)
    assert shlex.split(options.flags) == [
        *("--data", "my scans/it's", "--fold", "3", "--skip-bad", "--drop-missing")
    ]
    assert DataOptions(data="primitives").flags == "--data primitives"


def test_how_one_speaks_to_a_model_is_not_said_of_runs_beside_it(
    solids, weights, teacher_run, tmp_path
):
    data, names = open_dataset(solids), tmp_path / "names.txt"
    names.write_text("rod\nball\nbox\n", "utf-8")
    options = TeacherOptions(weights=[weights], class_names=names, axes="x,z,-y")
    run, model = options.load_each([str(teacher_run), "stillnet-n"], data)
    alone = TeacherOptions().load(str(teacher_run), data)
    assert torch.equal(run.logits(POINTS), alone.logits(POINTS))
    named = options.load("stillnet-n", data)
    assert torch.equal(model.logits(POINTS), named.logits(POINTS))
    both = options.load([str(teacher_run), "stillnet-n"], data)
    mean = (alone.logits(POINTS) + named.logits(POINTS)) / 2
    torch.testing.assert_close(both.logits(POINTS), mean)
    turned = TeacherOptions(axes="x,z,-y").load_each([str(teacher_run)] * 2, data)
    swapped = POINTS[..., [0, 2, 1]] * torch.tensor([1, 1, -1])
    for each in turned:  # of runs alone, it is said of all
        assert torch.equal(each.logits(POINTS), alone.logits(swapped))


def test_a_run_folder_comes_before_a_model_of_its_name(
    solids, weights, teacher_run, tmp_path, monkeypatch
):
    data = open_dataset(solids)
    expected = TeacherOptions().load(str(teacher_run), data).logits(POINTS)
    shutil.copytree(teacher_run, tmp_path / "stillnet-n")
    monkeypatch.chdir(tmp_path)
    run = TeacherOptions().load("stillnet-n", data)
    assert torch.equal(run.logits(POINTS), expected)
    model = TeacherOptions(weights=[weights]).load("stillnet-n", data)
    assert not torch.equal(model.logits(POINTS), expected)
    shutil.rmtree("stillnet-n")
    with pytest.raises(UsageError, match="needs its weights"):
        TeacherOptions().load("stillnet-n", data)


def test_class_names_are_utf_8(solids, tmp_path):
    names = tmp_path / "names.txt"
    for mark in ("", "\ufeff"):  # which some editors put first
        names.write_text(f"{mark}Stühle\n", "utf-8")
        options = TeacherOptions(class_names=names).options(open_dataset(solids), "cpu")
        assert options["class_names"] == ["Stühle"]


@pytest.mark.parametrize(
    ("options", "models", "said"),
    [
        ({"ensemble_weights": "2,1"}, 2, "give --ensemble as well"),
        ({"ensemble": "logits"}, 1, "an ensemble needs several models"),
        ({"vote_augment": "jitter"}, 2, "give --votes as well"),
        ({"vote_seed": 3}, 2, "give --votes as well"),
    ],
)
def test_options_of_what_was_not_asked_for(solids, weights, options, models, said):
    options = TeacherOptions(weights=[weights] * models, **options)
    with pytest.raises(UsageError, match=said):
        options.load_each(["stillnet-n"] * models, open_dataset(solids))


def test_a_recipe_belongs_to_its_command(tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text("data: scans/\nlimit: null\nepochs: 3\norigin:\n  data: f00d\n")
    recipe = read_recipe(path, "train")
    assert recipe.config == {"train": {"data": "scans/", "epochs": 3}}
    assert recipe.source == str(path)


def test_ensembles_and_votes_reach_the_teacher(solids, weights, tmp_path):
    data = open_dataset(solids)
    other = tmp_path / "other.safetensors"
    torch.manual_seed(1)
    save_file(build_model("stillnet-n", 3).state_dict(), other)
    options = TeacherOptions(weights=[weights, other], ensemble_weights="2,1")
    one, two = (TeacherOptions(weights=[file]) for file in (weights, other))
    each = [option.load("stillnet-n", data).logits(POINTS) for option in (one, two)]
    found = options.load(["stillnet-n"] * 2, data).logits(POINTS)
    torch.testing.assert_close(found, (2 * each[0] + each[1]) / 3)
    assert TeacherOptions(weights=[weights], votes=3).load("stillnet-n", data).votes == 3
    listed = TeacherOptions(weights=[weights, other], ensemble="probabilities")
    a, b, both = listed.load_each(["stillnet-n"] * 2, data)
    torch.testing.assert_close(a.logits(POINTS), each[0])
    torch.testing.assert_close(b.logits(POINTS), each[1])
    p = (each[0].softmax(1) + each[1].softmax(1)) / 2
    torch.testing.assert_close(both.logits(POINTS).exp(), p)
    with pytest.raises(UsageError, match="write them as 2,1"):
        TeacherOptions(ensemble_weights="2;1").load(["a", "b"], data)


def test_what_is_asked_about_beside_the_data_is_parted_in_its_own_way():
    data = DataOptions(data="a", fold=2, up="y", group="user", features="xyz,v", columns="v=w")
    other = data.beside("b")
    assert (other.data, other.fold, other.up, other.group) == ("b", 0, None, None)
    assert (other.features, other.columns) == ("xyz,v", "v=w")
    assert data.beside("strangers").columns is None  # which come from no file
    plain = DataOptions(data="a", group="user", columns="x=a,y=b,z=c").beside("strangers")
    assert plain.open().source.kind == "strangers"
