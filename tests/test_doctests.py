"""The examples in docstrings hold, in every module."""

import doctest
import importlib
import pkgutil
from pathlib import Path

import pytest

import pointstill

MODULES = [
    module.name
    for module in pkgutil.walk_packages(pointstill.__path__, "pointstill.")
    if ">>> " in Path(module.module_finder.find_spec(module.name).origin).read_text()
]


@pytest.mark.parametrize("name", MODULES)
def test_examples(name):
    found = doctest.testmod(importlib.import_module(name))
    assert not found.failed
