"""Options are refused before anything starts, by name, with what to choose instead."""

import math
import subprocess
import sys
from dataclasses import FrozenInstanceError, fields

import numpy as np
import pytest

from pointstill.errors import UsageError
from pointstill.recipe import DistillRecipe, LabelOptions, LossOptions, TrainRecipe

NAN, INF = math.nan, math.inf

LABELS = [("smoothing", -0.1), ("smoothing", 1.0), ("smoothing", NAN)]
LOSS = [
    ("loss", "kl"),
    ("form", "flor"),
    ("past", "future"),
    ("temperature", 0.0),
    ("temperature", -1.0),
    ("temperature", NAN),
    ("alpha", -0.1),
    ("snapshot_age", 0),
    ("past_decay", 0.0),
    ("past_decay", 1.0),
    ("beta", 1.0),
    ("beta", 2.0),
    ("beta", -INF),
    ("alpha", INF),
    ("temperature", INF),
    ("snapshot_age", 1.5),
]
FIT = [
    ("epochs", 0),
    ("points", 31),
    ("batch_size", 1),
    ("limit", 0),
    ("learning_rate", 0.0),
    ("learning_rate", NAN),
    ("learning_rate", INF),
    ("weight_decay", INF),
    ("save_minutes", INF),
    ("epochs", 2.5),
    ("points", 64.0),
    ("seed", -1),
    ("seed", 2**63),
    ("seed", 0.5),
    ("weight_decay", -0.1),
    ("warmup", -0.1),
    ("warmup", 1.0),
    ("clip", -1.0),
    ("clip", NAN),
    ("ema", 1.0),
    ("ema", -0.1),
    ("val", 1.0),
    ("val", -0.1),
    ("threads", -1),
    ("save_minutes", -1.0),
    ("precision", "64-true"),
]


@pytest.mark.parametrize(
    ("recipe", "option", "value"),
    [
        *((LabelOptions, *case) for case in LABELS),
        *((LossOptions, *case) for case in LABELS + LOSS),
        *((TrainRecipe, *case) for case in LABELS + FIT),
        *((DistillRecipe, *case) for case in LABELS + LOSS + FIT),
    ],
)
def test_refuses_what_makes_no_sense(recipe, option, value):
    with pytest.raises(UsageError, match=option) as caught:
        recipe(**{option: value})
    assert str(value) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("option", ["learning_rate", "temperature", "weight_decay", "alpha"])
def test_numbers_that_float32_has_not(option):
    largest = float(np.finfo(np.float32).max)
    with np.errstate(over="ignore"):
        assert np.isinf(np.float32(1.01 * largest))
    with pytest.raises(UsageError, match=f"{option} is 3.4.*e.38; it must be finite"):
        DistillRecipe(**{option: 1.01 * largest})
    DistillRecipe(**{option: 0.99 * largest})


def test_beta_matters_to_the_loss_that_uses_it():
    for loss in ("ce", "kd"):
        assert LossOptions(loss=loss, alpha=0.0).loss == loss
    with pytest.raises(UsageError, match="beta must be below alpha"):
        LossOptions(loss="nwsd", alpha=0.1, beta=0.1)
    assert LossOptions(loss="nwsd", beta=-0.5).beta == -0.5


@pytest.mark.parametrize("recipe", [TrainRecipe, DistillRecipe])
def test_edges_that_are_allowed(recipe):
    recipe(
        val=0,
        seed=2**63 - 1,
        ema=0,
        clip=0,
        warmup=0,
        weight_decay=0,
        threads=0,
        save_minutes=0,
        smoothing=0.99,
    )
    recipe(epochs=1, points=32, batch_size=2, limit=1, precision="bf16-mixed")


def test_the_defaults_are_those_of_the_method():
    recipe = DistillRecipe()
    assert (recipe.loss, recipe.form, recipe.past, recipe.snapshot_age) == (
        "nwsd",
        "floor",
        "snapshot",
        5,
    )
    assert (recipe.alpha, recipe.beta, recipe.temperature) == (1.0, 0.1, 4.0)


def test_recipes_do_not_change():
    with pytest.raises(FrozenInstanceError):
        TrainRecipe().epochs = 3


def test_the_docstrings_of_fields_reach_the_help():
    """Every field has one line of help in the source: the command line shows it."""
    import ast
    import inspect

    import pointstill.recipe as module

    documented = set()
    for node in ast.parse(inspect.getsource(module)).body:
        if isinstance(node, ast.ClassDef):
            for field, text in zip(node.body, node.body[1:], strict=False):
                if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr):
                    documented.add(field.target.id)
    for recipe in (TrainRecipe, DistillRecipe):
        assert {field.name for field in fields(recipe)} <= documented


def test_imports_no_torch():
    program = "import pointstill.recipe, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
