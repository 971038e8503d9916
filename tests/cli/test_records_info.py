"""What the records tell: the teacher's accuracy, and the notes of each tile."""

import json

import numpy as np
import pytest

from pointstill.records.store import SIDECAR
from pointstill.records.teacher_accuracy import accuracy

pytestmark = pytest.mark.usefixtures("surroundings")


def test_accuracy_by_hand(plain):
    said = np.stack([plain.logits(view) for view in range(3)]).argmax(2)
    right = [[said[v][s] == plain.labels[s] for s in range(10)] for v in range(3)]
    found = accuracy(plain)
    assert found.views.tolist() == [sum(view) / 10 for view in right]
    assert found.shapes.tolist() == pytest.approx(
        [sum(view[s] for view in right) / 3 for s in range(10)]
    )
    for label in range(3):
        mine = [view[s] for view in right for s in range(10) if plain.labels[s] == label]
        assert found.classes[label] == pytest.approx(sum(mine) / len(mine))
    (plain.path / "probe/c.1.1.0").unlink()
    assert accuracy(plain).views.tolist() == [sum(right[v]) / 10 for v in (0, 2)]


def test_a_half_line_in_the_sidecar_is_passed_over(plain):
    sidecar = plain.path / SIDECAR
    whole = plain.notes()
    sidecar.write_text(sidecar.read_text() + '{"view": 1, "ti\n[]\n{}\n')
    assert plain.notes() == whole
    assert len(whole) == 9
    assert {"kl_t1", "kl_t4", "argmax_flips"} <= whole[0].keys()
    assert json.loads(sidecar.read_text().splitlines()[0]) == whole[0]
