"""A student that sees less than its teacher: the records stay, its own view changes."""

import pytest
import torch

from pointstill.augment.student_only import StudentOnly
from pointstill.errors import UsageError
from pointstill.training.views import Material

pytestmark = pytest.mark.usefixtures("toy")
SEEN = "strays(chance=1),sparse"


def test_it_is_drawn_for_each_epoch_and_taught_by_the_same_records(go, monkeypatch):
    seen = []
    apply = StudentOnly.apply

    def spy(self, points, epoch, shapes, features):
        result = apply(self, points, epoch, shapes, features)
        seen.append((epoch, points, result))
        return result

    monkeypatch.setattr(StudentOnly, "apply", spy)
    run = go(loss="kd", epochs=5, student_augment=SEEN)
    assert run.recipe["student_augment"] == SEEN
    assert sorted({epoch for epoch, *_ in seen}) == [0, 1, 2, 3, 4]  # the views are 0 1 2 0 1
    assert not any(torch.equal(points, result) for _, points, result in seen)


def test_none_is_the_replay_itself(go, monkeypatch):
    monkeypatch.setattr(StudentOnly, "apply", lambda *_: pytest.fail("nothing was asked for"))
    go(loss="kd", epochs=1)


def test_the_views_own_operations_come_after(go, monkeypatch):
    """Replayed by hand: drawn, seen, and then scaled and shifted as recorded."""
    batches = []
    replay = Material.replay

    def spy(self, view, rows):
        batches.append((self, view, rows, replay(self, view, rows)))
        return batches[-1][-1]

    monkeypatch.setattr(Material, "replay", spy)
    go(loss="kd", epochs=1, student_augment=SEEN)
    for material, view, rows, points in batches:
        shapes, parameters = material.shapes[rows], view.parameters[rows]
        drawn = material.pipeline.indices(material.clouds, view.number, shapes, material.points)
        clean = material.clouds.take(shapes, drawn)
        seen = StudentOnly.of(SEEN, 0).apply(clean, view.epoch, shapes)
        expected = seen * parameters[:, None, :3] + parameters[:, None, 3:]
        torch.testing.assert_close(points, expected)


def test_what_is_unknown_is_refused_before_anything_is_made(go, tmp_path):
    with pytest.raises(UsageError, match="unknown augmentation 'rain'"):
        go(loss="kd", epochs=1, student_augment="rain")
    assert not any(tmp_path.iterdir())


def test_a_student_of_sparse_clouds_is_warned_of_sparser_ones_alone(go):
    """Below half of `fewest` a cloud is warned of: here below the sparsest that it learned from."""
    clean = go(loss="kd", epochs=1)
    assert go(out="sparse", loss="kd", epochs=1, student_augment="sparse(least=12)").fewest == 24
    assert clean.fewest > 24
