import pickle
import warnings
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from pointstill.errors import TeacherError
from pointstill.models import MODELS, build_model
from pointstill.models.checkpoints import load_weights, read_weights, unwrap

STATE = {"fc.weight": torch.ones(2, 3), "fc.bias": torch.zeros(2)}


@pytest.mark.parametrize(
    "wrapper", ["net", "model", "model_state_dict", "state_dict", "base_model"]
)
def test_wrappers(wrapper: str) -> None:
    assert unwrap({"epoch": 7, wrapper: STATE}) == STATE
    assert unwrap({wrapper: {f"module.{key}": value for key, value in STATE.items()}}) == STATE


def test_bare_nested_and_prefixed() -> None:
    assert unwrap(STATE) == STATE
    assert unwrap({"model": {"state_dict": STATE}}) == STATE
    assert unwrap({"model": {"name": "dgcnn", "width": 3}, "state_dict": STATE}) == STATE
    assert unwrap({f"module.module.{key}": value for key, value in STATE.items()}) == STATE


def test_a_prefix_that_only_some_names_have_stays() -> None:
    mixed = {"module.a": torch.ones(1), "b": torch.ones(1)}
    assert unwrap(mixed) == mixed


@pytest.mark.parametrize("nothing", [{}, {"epoch": 3}, [torch.ones(1)], None, {"model": {}}])
def test_nothing_in_it(nothing: object) -> None:
    with pytest.raises(TeacherError, match="holds no tensors"):
        unwrap(nothing)


def test_reads_torch_and_safetensors(tmp_path: Path) -> None:
    torch.save({"net": STATE, "accuracy": np.float64(0.9), "seed": np.int64(3)}, tmp_path / "a.pth")
    save_file(STATE, tmp_path / "b.safetensors")
    for file in tmp_path.iterdir():
        state = read_weights(file)
        assert state.keys() == STATE.keys()
        assert all(torch.equal(state[key], STATE[key]) for key in STATE)


def test_nothing_is_said_of_a_sound_file(tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    """Torch guesses aloud: of other protocols of pickle, and of scripted modules."""
    torch.save(STATE, tmp_path / "a.pth", pickle_protocol=3)
    torch.save(STATE, tmp_path / "b.pth", _use_new_zipfile_serialization=False)
    for file in tmp_path.iterdir():
        assert read_weights(file).keys() == STATE.keys()
    torch.jit.script(nn.Linear(2, 2)).save(tmp_path / "c.pt")
    recwarn.clear()
    with pytest.raises(TeacherError):
        read_weights(tmp_path / "c.pt")
    assert not [str(each.message) for each in recwarn]


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(TeacherError, match=r"none\.t7 is no weights file"):
        read_weights(tmp_path / "none.t7")


def test_objects_are_not_unpickled(tmp_path: Path) -> None:
    for name, content in (("module.pt", nn.Linear(2, 2)), ("more.pt", [Fraction(1, 2), STATE])):
        torch.save(content, tmp_path / name)
        with pytest.raises(TeacherError, match=rf"{name} .*could run any code"):
            read_weights(tmp_path / name)
    (tmp_path / "plain.pkl").write_bytes(pickle.dumps(Fraction(1, 2), protocol=2))
    with pytest.raises(TeacherError, match="could run any code"):
        read_weights(tmp_path / "plain.pkl")


def test_a_torchscript_archive_is_refused_without_a_word_of_torch(tmp_path: Path, capfd) -> None:
    traced = torch.jit.trace(nn.Linear(3, 2), torch.ones(1, 3))
    traced.save(str(tmp_path / "net.pt"))
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        with pytest.raises(TeacherError, match=r"net\.pt cannot be read"):
            read_weights(tmp_path / "net.pt")
    assert not said
    assert capfd.readouterr().err == ""


def test_damaged_files(tmp_path: Path) -> None:
    torch.save(STATE, tmp_path / "whole.pt")
    whole = (tmp_path / "whole.pt").read_bytes()
    for name, content in (
        ("cut.pt", whole[: len(whole) // 2]),
        ("empty.pt", b""),
        ("page.pt", b"<html>not found</html>"),
        ("page.safetensors", b"<html>not found</html>"),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(TeacherError, match=name) as caught:
            read_weights(tmp_path / name)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["a.pth", "a.safetensors"])
def test_a_file_that_may_not_be_read(name, public_path, unprivileged) -> None:
    path = public_path / name
    state = {"weight": torch.ones(3)}
    if path.suffix == ".pth":
        torch.save(state, path)
    else:
        save_file(state, path)
    path.chmod(0)
    with unprivileged(), pytest.raises(TeacherError) as caught:
        read_weights(path)
    assert str(caught.value) == (
        f"{path} cannot be read (Permission denied): mend its permissions; nothing says that it is "
        "damaged"
    )


def test_no_tensors_names_the_file(tmp_path: Path) -> None:
    torch.save({"epoch": 3}, tmp_path / "log.pt")
    with pytest.raises(TeacherError, match=r"log\.pt holds no tensors"):
        read_weights(tmp_path / "log.pt")


@pytest.mark.parametrize("name", [name for name in MODELS if name != "pointmlp"])
def test_wrong_class_count_is_said_in_words(name: str) -> None:
    with pytest.raises(
        TeacherError, match=r"w\.pt holds weights of 10 classes, and the data has 40"
    ):
        load_weights(build_model(name, 40), build_model(name, 10).state_dict(), "w.pt")


def test_mismatches_are_listed_and_nothing_is_loaded() -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    before = {key: value.clone() for key, value in model.state_dict().items()}
    state = {
        "0.weight": torch.zeros(5, 3),
        "0.bias": torch.zeros(4),
        "1.bias": torch.zeros(2),
        **{f"extra{i}": torch.zeros(1) for i in range(9)},
    }
    with pytest.raises(TeacherError) as caught:
        load_weights(model, state, "w.pt")
    message = str(caught.value)
    assert "w.pt does not fit Sequential" in message
    assert "1 missing (1.weight)" in message
    assert "9 unexpected (extra0, extra1, extra2, extra3 and 5 more)" in message
    assert "1 of other shape (0.weight (5, 3) for (4, 3))" in message
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())
