"""Groups: never on both sides, in any fold or validation; cuts that keep the mixture."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.model_selection import StratifiedGroupKFold

from pointstill.data import open_dataset
from pointstill.data.groups import grouped_folds, grouped_part, shared_groups
from pointstill.data.selection import held_out, limited, not_held_out
from pointstill.errors import DataError

PEOPLE = st.lists(
    st.tuples(st.integers(-1, 3), st.sampled_from("abcdefghij")), min_size=8, max_size=60
)


@settings(max_examples=60, deadline=None)
@given(PEOPLE, st.integers(2, 5))
def test_a_fold_has_whole_groups(people, parts):
    labels, groups = zip(*people, strict=True)
    folds = grouped_folds(labels, groups, parts, "key")
    assert len({*zip(groups, folds.tolist(), strict=True)}) == len({*groups})
    assert {*folds.tolist()} <= {*range(parts)}
    if len({*groups}) >= parts:
        assert len({*folds.tolist()}) == parts


@settings(max_examples=60, deadline=None)
@given(PEOPLE, st.floats(0.05, 0.6), st.integers(0, 3))
def test_a_part_has_whole_groups_and_leaves_each_class(people, part, seed):
    labels, groups = (np.array(each) for each in zip(*people, strict=True))
    held = grouped_part(labels, groups.tolist(), part, f"val/{seed}")
    assert not {*groups[held]} & {*groups[~held]}
    assert {*labels[~held]} == {*labels}


def test_cuts_do_not_depend_on_the_order_of_the_shapes():
    draw = np.random.default_rng(0)
    labels, groups = draw.integers(0, 4, 200), [f"p{i}" for i in draw.integers(0, 17, 200)]
    order = draw.permutation(200)
    shuffled = [groups[i] for i in order]
    folds = grouped_folds(labels, groups, 5, "fold")
    np.testing.assert_array_equal(grouped_folds(labels[order], shuffled, 5, "fold"), folds[order])
    part = grouped_part(labels, groups, 0.2, "val")
    np.testing.assert_array_equal(grouped_part(labels[order], shuffled, 0.2, "val"), part[order])
    assert not np.array_equal(part, grouped_part(labels, groups, 0.2, "val/1"))


def test_folds_are_as_even_as_those_of_scikit_learn():
    """The spread of class shares over folds, on people of unlike size and mixture."""

    def spread(folds) -> float:
        counts = np.array([np.bincount(labels[folds == fold], minlength=5) for fold in range(5)])
        return float((counts / np.bincount(labels)).std(axis=0).mean())

    ours, theirs = [], []
    for seed in range(6):
        draw = np.random.default_rng(seed)
        groups = np.repeat(np.arange(30), draw.integers(5, 60, 30))
        mixture = draw.dirichlet(np.ones(5), 30)
        labels = np.array([draw.choice(5, p=mixture[group]) for group in groups])
        ours.append(spread(grouped_folds(labels, [str(each) for each in groups], 5, "fold")))
        folds = np.empty(len(labels), int)
        for fold, (_, test) in enumerate(StratifiedGroupKFold(5).split(labels, labels, groups)):
            folds[test] = fold
        theirs.append(spread(folds))
    assert np.mean(ours) < 1.1 * np.mean(theirs)


def test_a_part_is_near_its_size():
    draw = np.random.default_rng(1)
    groups = [f"p{i}" for i in draw.integers(0, 40, 2000)]
    labels = draw.integers(0, 5, 2000)
    for part in (0.1, 0.2, 0.4):
        held = grouped_part(labels, groups, part, "val/0")
        shares = np.bincount(labels[held], minlength=5) / np.bincount(labels)
        assert np.abs(shares - part).max() < 0.05


def test_groups_on_both_sides_are_counted():
    lines = shared_groups({"train": {"a", "b"}, "test": {"c"}, "shift": {"b", "c"}}, "person")
    (said,) = lines
    assert said.startswith("1 of 2 groups (person) of shift are in train too, such as b: ")


@pytest.fixture
def file(tmp_path, clouds):
    """60 clouds of 3 classes and 9 people, a sixth without a label; no split."""
    draw = np.random.default_rng(0)
    np.savez(
        tmp_path / "all.npz",
        points=clouds(60, 12),
        labels=np.where(np.arange(60) % 6 == 5, -1, np.arange(60) % 3),
        classes=["cone", "cube", "ring"],
        group=draw.integers(0, 9, 60),
    )
    return tmp_path / "all.npz"


def test_no_group_is_on_two_sides_of_any_fold_and_validation(file):
    tested = 0
    for fold in range(5):
        data = open_dataset(file, fold=fold, group="group")
        groups = np.array(data.train.groups)
        assert not {*groups} & {*data.test.groups}
        tested += len(data.test)
        for seed in range(4):
            for limit in (None, 40):
                shapes = limited(data.train, limit)
                held = held_out(data.train, shapes, 0.2, seed)
                rest = not_held_out(data.train, shapes, held)
                assert len(held)
                assert (data.train.labels[held] != -1).all()
                assert not {*groups[held]} & {*groups[rest]}
                # What is in neither is of a person held out, and has no label.
                left = np.setdiff1d(shapes, np.union1d(held, rest))
                assert (data.train.labels[left] == -1).all()
                assert {*groups[left]} <= {*groups[held]}
    assert tested == 60


def test_without_a_group_asked_for_shapes_are_cut_one_by_one(file):
    split = open_dataset(file).train
    assert split.groups is not None
    assert split.groups_fingerprint is None
    shapes = np.arange(len(split))
    held = held_out(split, shapes, 0.2, 0)
    assert (split.labels[held] != -1).all()
    np.testing.assert_array_equal(not_held_out(split, shapes, held), np.setdiff1d(shapes, held))
    assert {split.groups[i] for i in held} & {split.groups[i] for i in np.setdiff1d(shapes, held)}


def test_groups_are_in_the_cache_and_no_part_of_the_fingerprint(file):
    alone, grouped = open_dataset(file), open_dataset(file, group="group")
    again = open_dataset(file, group="group").train
    assert again.groups == grouped.train.groups
    assert again.groups_fingerprint == grouped.train.groups_fingerprint
    renamed = replace(again, entry=replace(again.entry, groups=["x"] * len(again)))
    assert renamed.fingerprint == again.fingerprint
    assert renamed.groups_fingerprint != again.groups_fingerprint
    assert alone.train.fingerprint != again.fingerprint  # another fold
    names = [int(name) for name in again.names]
    given = np.load(file)["group"]
    assert again.groups == [str(each) for each in given[names]]


def test_too_few_groups_are_an_error(tmp_path, clouds):
    about = {"points": clouds(12, 10), "labels": np.arange(12) % 2, "classes": ["a", "b"]}
    np.savez(tmp_path / "one.npz", group=np.zeros(12, int), **about)
    with pytest.raises(DataError, match=r"has all its shapes in 1 group \(group\)"):
        open_dataset(tmp_path / "one.npz", group="group")
    np.savez(
        tmp_path / "apart.npz", group=np.arange(12) % 2, split=np.array(["train"] * 12), **about
    )
    split = open_dataset(tmp_path / "apart.npz", group="group").train
    with pytest.raises(DataError, match=r"too few groups \(group\) to hold one out"):
        held_out(split, np.arange(12), 0.1, 0)
    assert len(held_out(split, np.arange(12), 0.0, 0)) == 0
