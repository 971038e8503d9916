"""The layout of a store: its examples."""

import doctest

from pointstill.records import layout


def test_the_examples_hold(monkeypatch):
    monkeypatch.setattr(layout, "TILE", 256)
    found = doctest.testmod(layout)
    assert found.failed == 0
    assert found.attempted > 0
