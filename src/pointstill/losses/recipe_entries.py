"""The entries that losses add to a recipe: one for each option, whichever loss uses it. No torch.

They are made from `LOSSES`, so that a loss is all there once it has its line there.
"""

import ast
import inspect
import sys
from dataclasses import Field, field, fields
from functools import cache
from itertools import pairwise
from typing import Any, Literal, get_type_hints

from . import LOSSES

Users = dict[str, Field[Any]]
"""The losses that use an option, and its field in the options of each."""


def users() -> dict[str, Users]:
    """Who uses each option, by its name."""
    found: dict[str, Users] = {}
    for loss, (options, _) in LOSSES.items():
        for each in fields(options):
            found.setdefault(each.name, {})[loss] = each
    return found


def defaults(loss: str) -> dict[str, Any]:
    """The default of each option of a loss; none of a loss that is not there."""
    options = fields(LOSSES[loss].options) if loss in LOSSES else ()
    return {each.name: each.default for each in options}


def loss_entries(default: str) -> list[tuple[str, Any, Any]]:
    """`loss` and every option of a loss, as `dataclasses.make_dataclass` takes them.

    An option is None where nothing is said. The help tells which losses use it, and their defaults.
    """
    about = [f"{name}: {_told(loss.options.__doc__).rstrip('.')}" for name, loss in LOSSES.items()]
    names: Any = Literal[tuple(LOSSES)]
    entries = [("loss", names, _entry(default, "; ".join(about)))]
    for name, each in users().items():
        options = LOSSES[next(iter(each))].options
        kind = get_type_hints(options)[name]
        told = _told(_docstrings(options).get(name))
        entries.append((name, kind | None, _entry(None, f"{told} ({_uses(each)})")))
    return entries


def _entry(default: Any, about: str) -> Any:
    return field(default=default, metadata={"help": about})


def _uses(users: Users) -> str:
    """The losses by their default, as `kd, nwsd; default: 1.0`."""
    by_default: dict[Any, list[str]] = {}
    for loss, each in users.items():
        by_default.setdefault(each.default, []).append(loss)
    return "; ".join(f"{', '.join(them)}; default: {it}" for it, them in by_default.items())


def _told(docstring: str | None) -> str:
    """The first line of a docstring."""
    return (docstring or "").partition("\n")[0]


def _docstrings(kind: type) -> dict[str, str]:
    """What is said under each field, also of the classes that it is made from."""
    found = {}
    for each in reversed(kind.__mro__[:-1]):
        for entry, text in pairwise(_classes(each.__module__).get(each.__name__, ())):
            match entry, text:
                case (
                    ast.AnnAssign(target=ast.Name(id=name)),
                    ast.Expr(value=ast.Constant(value=str(told))),
                ):
                    found[name] = told
    return found


@cache
def _classes(module: str) -> dict[str, list[ast.stmt]]:
    """The bodies of a module's classes; nothing where its source is not at hand."""
    try:
        tree = ast.parse(inspect.getsource(sys.modules[module]))
    except (OSError, TypeError):
        return {}
    return {each.name: each.body for each in tree.body if isinstance(each, ast.ClassDef)}
