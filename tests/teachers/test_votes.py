"""Votes, one view and one cloud at a time."""

import numpy as np
import pytest
import torch
import toys
from torch import Tensor

from pointstill.augment.key import Key
from pointstill.errors import UsageError
from pointstill.teachers import Ensemble, Votes, load_teacher

CLASSES = ("bed", "car", "chair", "desk")


def test_the_mean_over_keyed_scales(points: Tensor) -> None:
    teacher = load_teacher("toys:moments", classes=CLASSES, votes=5, vote_seed=3)
    linear = toys.moments().linear
    weight, bias = linear.weight.detach().double().numpy(), linear.bias.detach().double().numpy()
    expected = np.zeros((3, 4))
    for vote in range(5):
        bits = Key(3, "votes", vote, torch.tensor([0]), "scale#0").bits(3)[0].tolist()
        factors = 2 / 3 + (3 / 2 - 2 / 3) * np.array([(word >> 8) / 2**24 for word in bits])
        for row, cloud in enumerate(points.double().numpy()):
            seen = cloud * factors
            features = np.concatenate([seen.mean(0), (seen**2).mean(0)])
            expected[row] += (weight @ features + bias) / 5
    np.testing.assert_allclose(teacher.logits(points).numpy(), expected, atol=1e-5)


def test_neither_batch_nor_history_matters(points: Tensor) -> None:
    teacher = load_teacher(
        "toys:moments", classes=CLASSES, votes=3, vote_augment="rotate,mirror,scale", up="y"
    )
    whole = teacher.logits(points)
    alone = torch.cat([teacher.logits(cloud) for cloud in points.split(1)])
    torch.testing.assert_close(whole, alone, rtol=1e-5, atol=1e-6)
    assert torch.equal(teacher.logits(points), whole)


def test_a_turn_about_the_up_axis_keeps_the_height(points: Tensor) -> None:
    teacher = load_teacher("toys:moments", classes=CLASSES)
    for axis, up in enumerate("xyz"):
        votes = Votes(teacher, 2, "rotate", up=up)
        turned = votes.view(points, 1)
        torch.testing.assert_close(turned[..., axis], points[..., axis])
        torch.testing.assert_close(turned.norm(dim=2), points.norm(dim=2))
        assert not torch.allclose(turned, points, atol=0.1)


def test_the_fingerprint_names_all_that_decides() -> None:
    teacher = load_teacher("toys:moments", classes=CLASSES)
    other = load_teacher("toys:moments", classes=CLASSES, axes="x,z,y")
    all_of_them = [
        teacher,
        Votes(teacher, 1, "scale"),
        Votes(teacher, 2, "scale"),
        Votes(teacher, 2, "scale", seed=1),
        Votes(teacher, 2, "scale(low=0.8)"),
        Votes(teacher, 2, "rotate"),
        Votes(teacher, 2, "rotate", up="y"),
        Votes(other, 2, "scale"),
    ]
    assert len({each.fingerprint for each in all_of_them}) == len(all_of_them)
    assert Votes(teacher, 2, "scale").fingerprint == all_of_them[2].fingerprint


def test_an_ensemble_that_votes(points: Tensor) -> None:
    specs = ["toys:moments", "toys:ChannelsFirst"]
    found = load_teacher(specs, classes=CLASSES, votes=4)
    each = [load_teacher(spec, classes=CLASSES, votes=4) for spec in specs]
    torch.testing.assert_close(found.logits(points), Ensemble(each).logits(points))
    assert found.spec == "toys:moments + toys:ChannelsFirst (4 votes)"
    assert (found.votes, found.parameters, found.nbytes, found.counted) == (4, 56, 224, True)
    assert Ensemble(each).votes == 4
    assert (found.points, found.classes) == (None, CLASSES)


@pytest.mark.parametrize(
    ("votes", "augment", "message"),
    [
        (0, "scale", "votes is 0: choose 1 or more"),
        (2, "none", "are all the same"),
        (2, "scale,jitter", "cannot use jitter"),
        (2, "warp", "unknown augmentation"),
    ],
)
def test_votes_that_make_no_sense(votes: int, augment: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        load_teacher("toys:moments", classes=CLASSES, votes=votes, vote_augment=augment)


@pytest.mark.parametrize("seed", [-1, 2**63])
def test_seeds_that_are_none(seed: int) -> None:
    with pytest.raises(UsageError, match=f"vote seed is {seed}: choose 0 to"):
        load_teacher("toys:moments", classes=CLASSES, votes=2, vote_seed=seed)
