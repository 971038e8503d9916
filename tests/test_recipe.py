"""Options are refused before anything starts, by name, with what to choose instead."""

import math
import subprocess
import sys
from dataclasses import FrozenInstanceError, fields

import numpy as np
import pytest

from pointstill.errors import UsageError
from pointstill.losses import options as losses_options
from pointstill.losses.options import KDOptions, LabelOptions, NWSDOptions
from pointstill.recipe import DistillRecipe, TrainRecipe, decisive, of_its_loss

NAN, INF = math.nan, math.inf

LABELS = [("smoothing", -0.1), ("smoothing", 1.0), ("smoothing", NAN)]
LOSS = [
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
    ("points", 15),
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
    ("label_share", 0.0),
    ("label_share", 1.1),
    ("label_share", NAN),
    ("balance", "classes"),
    ("measure", "kappa"),
]


def nwsd_recipe(**entries) -> DistillRecipe:
    return DistillRecipe(loss="nwsd", **entries)


@pytest.mark.parametrize(
    ("recipe", "option", "value"),
    [
        *((LabelOptions, *case) for case in LABELS),
        *((NWSDOptions, *case) for case in LABELS + LOSS),
        *((TrainRecipe, *case) for case in LABELS + FIT),
        *((nwsd_recipe, *case) for case in LABELS + LOSS + FIT),
        *((DistillRecipe, *case) for case in [*LABELS, *FIT, ("loss", "kl")]),
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
    assert DistillRecipe(loss="kd", alpha=0.0).loss_options == KDOptions(alpha=0.0)
    with pytest.raises(UsageError, match="beta must be below alpha"):
        DistillRecipe(loss="nwsd", alpha=0.1, beta=0.1)
    assert DistillRecipe(loss="nwsd", beta=-0.5).loss_options.beta == -0.5


@pytest.mark.parametrize(
    ("loss", "option", "value", "others"),
    [
        ("kd", "beta", 0.2, "nwsd"),
        ("kd", "beta", 0.1, "nwsd"),  # said, though it is the default
        ("kd", "past", "records", "nwsd"),
        ("ce", "alpha", 0.9, "kd or dkd or nkd or mse or nwsd"),
        ("ce", "snapshot_age", 5, "nwsd"),
    ],
)
def test_an_option_that_the_loss_does_not_use_is_refused(loss, option, value, others):
    with pytest.raises(UsageError) as caught:
        DistillRecipe(loss=loss, **{option: value})
    wrong = f"{option} is {value}, and loss {loss} does not use it"
    assert str(caught.value) == f"{wrong}: leave it out, or choose loss {others}"
    assert caught.value.exit_code == 2


def test_a_recipe_lists_what_its_loss_uses():
    entries = DistillRecipe(temperature=2.0).entries()
    used = {"loss": "kd", "smoothing": 0.0, "labels": 1.0, "alpha": 1.0, "temperature": 2.0}
    assert entries.items() >= used.items()
    assert not entries.keys() & {"beta", "form", "past", "snapshot_age", "past_decay"}
    assert DistillRecipe(**entries).entries() == entries
    nwsd = DistillRecipe(loss="nwsd", form="js").entries()
    assert nwsd.items() >= {"beta": 0.1, "form": "js", "past": "snapshot"}.items()


def test_what_a_loss_does_not_use_is_left_out_of_a_file():
    """0.1.0 wrote every option down, whichever the loss used."""
    old = {"loss": "kd", "beta": 0.2, "form": "floor", "past": "snapshot", "temperature": 2.0}
    assert of_its_loss(old) == {"loss": "kd", "temperature": 2.0}
    assert of_its_loss(old, "nwsd") == old
    assert of_its_loss(old | {"loss": "nwsd"}, "ce") == {"loss": "nwsd"}
    assert of_its_loss({"beta": 0.2, "epochs": 50}) == {"epochs": 50}  # of the default


def test_what_tells_two_runs_apart():
    new = {"student": "toy", **DistillRecipe().entries()}
    old = new | {"beta": 0.3, "form": "js", "past": "snapshot"}  # which kd did not use
    assert decisive(old) == decisive(new)
    lacking = {name: value for name, value in new.items() if name not in ("ema", "alpha", "keep")}
    assert decisive(lacking) == decisive(new)
    assert decisive(new | {"alpha": 0.9}) != decisive(new)
    nwsd = {"student": "toy", **DistillRecipe(loss="nwsd").entries()}
    assert decisive(nwsd) != decisive(nwsd | {"beta": 0.3})
    without = {name: value for name, value in nwsd.items() if name != "loss"}
    assert decisive(without) == decisive(nwsd)  # the default of 0.1.0
    labels = {"model": "toy", **TrainRecipe().entries()}
    assert decisive({"model": "toy"}) == labels == decisive(labels)


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
    assert recipe.loss == "kd"
    assert (recipe.loss_options.alpha, recipe.loss_options.temperature) == (1.0, 4.0)
    nwsd = DistillRecipe(loss="nwsd").loss_options
    assert (nwsd.form, nwsd.past, nwsd.snapshot_age) == ("floor", "snapshot", 5)
    assert (nwsd.alpha, nwsd.beta, nwsd.temperature) == (1.0, 0.1, 4.0)


def test_recipes_do_not_change():
    with pytest.raises(FrozenInstanceError):
        TrainRecipe().epochs = 3


def test_the_docstrings_of_fields_reach_the_help():
    """Every field has one line of help in the source: the command line shows it."""
    import ast
    import inspect

    import pointstill.recipe as module

    documented = set()
    sources = [inspect.getsource(each) for each in (module, losses_options)]
    for node in (node for source in sources for node in ast.parse(source).body):
        if isinstance(node, ast.ClassDef):
            for field, text in zip(node.body, node.body[1:], strict=False):
                if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr):
                    documented.add(field.target.id)
    for recipe in (TrainRecipe, DistillRecipe):
        assert {field.name for field in fields(recipe)} <= documented


def test_imports_no_torch():
    program = "import pointstill.recipe, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
