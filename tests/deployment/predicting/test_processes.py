"""Processes share the work: in order, whatever becomes of one of them."""

import os
import signal
import time
from collections.abc import Iterator
from multiprocessing import active_children
from pathlib import Path

import pytest

from pointstill.deployment.predicting.answers import Answer
from pointstill.deployment.predicting.named_clouds import NamedCloud
from pointstill.deployment.predicting.processes import spread
from pointstill.errors import PointstillError


def ask(cloud: NamedCloud) -> Answer:
    """The process, and its end where that is asked for; odd ones take longer."""
    if cloud.name == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if cloud.name == "exit":
        os._exit(3)
    time.sleep(0.02 * (len(cloud.name) % 2))  # long enough for another process to start
    return Answer(cloud.name, [(str(os.getpid()), 1.0)])


class Unstartable:
    def __reduce__(self):
        return os._exit, (9,)


@pytest.fixture(autouse=True)
def nobody_is_left() -> Iterator[None]:
    yield
    assert not active_children()


def named(names: list[str]) -> list[NamedCloud]:
    return [NamedCloud(name, Path(name)) for name in names]


def test_answers_come_in_the_order_of_the_clouds():
    names = ["x" * (i % 7 + 1) + str(i) for i in range(300)]
    found = list(spread(ask, named(names), 2))
    assert [each.path for each in found] == names
    busy = {each.classes[0][0] for each in found}
    assert len(busy) == 2
    assert str(os.getpid()) not in busy
    alone = list(spread(ask, named(names[:3]), 1))
    assert {each.classes[0][0] for each in alone} == {str(os.getpid())}


def test_a_process_that_dies_costs_one_answer():
    names = [f"a{i}" for i in range(100)]
    names[0] = names[50] = "kill"
    names[99] = "exit"
    found = list(spread(ask, named(names), 2))
    assert [each.path for each in found] == names
    errors = {i: each.error for i, each in enumerate(found) if each.error}
    assert list(errors) == [0, 50, 99]
    assert errors[50].startswith("broke the process that read it, which was killed by signal 9")
    assert "which ended with exit code 3" in errors[99]


def test_a_process_that_cannot_start_is_said_and_not_tried_for_ever():
    with pytest.raises(PointstillError, match="a worker ended with exit code 9 as it started"):
        list(spread(Unstartable(), named(["a", "b"]), 2))


def test_who_wants_no_more_answers_leaves_no_process():
    answers = spread(ask, named([f"a{i}" for i in range(1000)]), 2)
    assert next(answers).path == "a0"
    answers.close()
