"""Recipes: a run's options from a file, and a run repeated by the one that it wrote."""

import shutil
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import yaml

from command_line import SHORT, squeezed
from pointstill.__main__ import _value_of
from pointstill.data import open_dataset
from pointstill.run import WEIGHTS, Run


@pytest.mark.parametrize(
    ("tokens", "value"),
    [
        (["train", "--recipe", "a.yaml"], "a.yaml"),
        (["train", "--recipe=a.yaml", "--epochs", "1"], "a.yaml"),
        (["train", "--recipe"], None),
        (["train", "--recipes", "a.yaml"], None),
        ([], None),
    ],
)
def test_the_recipe_is_found_among_the_tokens(tokens, value):
    assert _value_of("--recipe", tokens) == value


def test_a_flag_overrides_the_recipe(cli, solids, tmp_path):
    recipe = tmp_path / "recipe.yaml"
    lines = {"model": "stillnet-n", "epochs": 1, "points": 64, "batch_size": 16, "val": 0}
    recipe.write_text(yaml.safe_dump(lines | {"data": str(solids), "limit": 6, "seed": 4}))
    for flag in (["--recipe", recipe], [f"--recipe={recipe}"]):
        out = tmp_path / f"run{len(flag)}"
        code, said, err = cli("train", *flag, "--seed", "5", "--out", out)
        assert code == 0, err
        assert f"finished {out}" in said
        resolved = Run(out).recipe
        assert {name: resolved[name] for name in lines} == lines
        assert (resolved["limit"], resolved["seed"]) == (6, 5)
    code, _, err = cli("train", "--out", tmp_path / "x")  # a recipe does not linger
    assert code == 2
    assert "requires an argument" in squeezed(err)


def test_a_run_is_repeated_by_its_own_recipe(cli, solids, records, tmp_path):
    """Of train and of distill; with a data path and records that are named as commands are."""
    train = ["train", "--model", "stillnet-n", "--data", solids, *SHORT, "--limit", "9"]
    student = ["distill", "--student", "stillnet-n", "--data", solids, "--records", records]
    student += ["--epochs", "1", "--batch-size", "16", "--loss", "kd", "--smoothing", "0.1"]
    for tokens in (train, student):
        first, second = tmp_path / f"{tokens[0]}-1", tmp_path / f"{tokens[0]}-2"
        assert cli(*tokens, "--out", first)[0] == 0
        code, _, err = cli(tokens[0], "--recipe", first / "recipe.yaml", "--out", second)
        assert code == 0, err
        assert Run(first).recipe == Run(second).recipe
        assert (first / WEIGHTS).read_bytes() == (second / WEIGHTS).read_bytes()


def test_a_run_that_left_out_bad_clouds_is_repeated(cli, solids, tmp_path):
    root = Path(shutil.copytree(solids, tmp_path / "solids"))
    np.save(root / open_dataset(solids).train.names[0], np.full((30, 3), np.nan))
    holed = root / open_dataset(solids).train.names[1]
    np.save(holed, np.insert(np.load(holed), 0, np.nan, axis=0))
    tokens = ["--model", "stillnet-n", "--data", root, *SHORT, "--limit", "9"]
    tokens += ["--skip-bad", "--drop-missing"]
    code, _, err = cli("train", *tokens, "--out", tmp_path / "first")
    assert code == 0
    assert "left out 1 missing points of 1 clouds of the train split\n" in err
    recipe = tmp_path / "first" / "recipe.yaml"
    code, _, err = cli("train", "--recipe", recipe, "--out", tmp_path / "second")
    assert code == 0, err
    again = Run(tmp_path / "second").recipe
    assert (again["skip_bad"], again["drop_missing"]) == (True, True)
    data = open_dataset(root, skip_bad=True, drop_missing=True)
    assert again["origin"]["data"] == data.train.fingerprint
    moved = shutil.copytree(root, tmp_path / "moved")
    there = ("--data", moved, "--fold", "1", "--skip-bad", "--drop-missing")
    code, _, err = cli("evaluate", tmp_path / "first", *there)
    assert (code, "was trained on fold 0 of" in err) == (2, True)


BOMB = "".join(f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]\n" for a, b in pairwise("abcdefghij"))
"""Nine lists of nine, within each other."""


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("epoch: 3\n", "epoch"),
        ("epochs: many\n", "epochs"),
        ("- epochs\n", "is not a list of `name: value` lines"),
        ("epochs: [\n", "cannot be read"),
        ("\xff", "is not a list"),
        ("epochs: 0\n", "epochs is 0: choose 1 or more"),
        ("epochs: 2.5\n", "2.5: give a whole number"),
        ("points: .inf\n", "inf: give a whole number"),
        ("learning_rate: .inf\n", "learning_rate is inf; it must be finite"),
        (None, "cannot be read"),
        ("a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1]\n" + BOMB, "once its aliases are written out"),
        ("a: &a [*a]\n", "cannot be read"),
        (f"a: {'[' * 2000}{']' * 2000}\n", "within each other"),
        ("epochs: 3\nepochs: 4\n", "the key 'epochs' stands there twice"),
        ("epochs: 3\n" + "#\n" * (1 << 19), "more than 1,048,576 bytes"),
    ],
)
def test_recipes_that_make_no_sense(cli, tmp_path, content, said):
    recipe = tmp_path / "recipe.yaml"
    if content is not None:
        recipe.write_text(content)
    tokens = ["--model", "stillnet-n", "--data", "x", "--out", tmp_path / "run"]
    code, out, err = cli("train", "--recipe", recipe, *tokens)
    assert (code, out) == (2, "")
    assert said in squeezed(err)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", ["axes", "frame"])
def test_axes_by_both_names(cli, solids, teacher_run, tmp_path, name):
    """`--frame` is what `--axes` was called; recipe files of then are read."""
    recipe, tokens = tmp_path / "recipe.yaml", ["--teacher", teacher_run, "--data", solids]
    recipe.write_text(f"{name}: x,y,q\nviews: 1\n")
    for flags in (["--recipe", recipe], [f"--{name}", "x,y,q"]):
        code, _, err = cli("record", *tokens, *flags, "--out", tmp_path / "r.zarr")
        assert code == 2
        assert "x,y,q" in err


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("loss: [d]\norigin: {}\n", "Invalid value"),
        ("loss: {a: 1}\norigin: {}\n", "Unknown option"),
        ("1: 2\n", "is not a list of `name: value` lines"),
    ],
)
def test_a_recipe_of_other_shapes(cli, solids, tmp_path, text, said):
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(text)
    given = ["--student", "stillnet-n", "--data", solids, "--records", "none.zarr"]
    code, _, err = cli("distill", "--recipe", recipe, *given, "--out", tmp_path / "run")
    assert (code, said in squeezed(err), "fault of pointstill" in err) == (2, True, False), err


def test_a_recipe_without_end_is_refused(cli, solids, tmp_path):
    given = ["--model", "stillnet-n", "--data", solids, "--out", tmp_path / "run"]
    code, _, err = cli("train", "--recipe", "/dev/zero", *given)
    assert (code, "cannot be read (more than 1,048,576 bytes)" in err) == (2, True), err
