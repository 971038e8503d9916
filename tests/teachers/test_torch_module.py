import sys
from pathlib import Path

import pytest
from torch import nn

from pointstill.errors import TeacherError, UsageError
from pointstill.teachers.torch_module import load_callable


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (
            "no_such_package.nets:f",
            "cannot be imported from no_such_package.nets .*ModuleNotFoundError",
        ),
        ("toys:moment", "toys has no 'moment': did you mean moments"),
        ("toys:", "toys has no ''"),
        (":f", "cannot be imported"),
        ("./nets/big.py:build", "name the module as Python does, nets.big:build"),
        (
            "needy:f",
            "cannot be imported from needy .*No module named 'pytorch3d'.*install what it needs",
        ),
        ("greedy:f", "cannot be imported, as greedy ends the program .*__main__"),
        ("toys:exits", "calling it failed .SystemExit: 3"),
        ("toys:number", "number is not callable"),
        ("toys:two_arguments", "requires 2 arguments"),
        ("toys:fails", "calling it failed .OSError: no configuration"),
        ("toys:no_module", "it returned str: return an nn.Module"),
    ],
)
def test_bad_specs(
    spec: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "needy.py").write_text("import pytorch3d")
    (tmp_path / "greedy.py").write_text("raise SystemExit(2)")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises((TeacherError, UsageError), match=message) as caught:
        load_callable(spec, 4)
    assert "\n" not in str(caught.value)
    nowhere = isinstance(caught.value, UsageError)
    assert nowhere == spec.startswith(("no_such", "./"))


def test_the_class_count_is_given_only_where_it_is_required() -> None:
    sized, fixed = load_callable("toys:sized", 9), load_callable("toys:Moments", 9)
    assert isinstance(sized.linear, nn.Linear)
    assert sized.linear.out_features == 9
    assert isinstance(fixed.linear, nn.Linear)
    assert fixed.linear.out_features == 4


def test_imports_from_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_nets").mkdir()
    (tmp_path / "my_nets" / "big.py").write_text(
        "import torch\nbuild = lambda: torch.nn.Linear(3, 2)"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    assert isinstance(load_callable("my_nets.big:build", 2), nn.Linear)
