"""Students that were damaged after their export: each is found, and nothing else is said of it."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest

from pointstill.deployment.runtime import Classifier
from pointstill.errors import PointstillError, TeacherError
from pointstill.teachers.onnx_file import OnnxNetwork

Damage = Callable[[bytes, np.random.Generator], bytes]


def flip(content: bytes, draw: np.random.Generator) -> bytes:
    changed = np.frombuffer(content, np.uint8).copy()
    changed[draw.integers(len(changed))] ^= 1 << draw.integers(8)
    return changed.tobytes()


def flip_at_the_end(content: bytes, draw: np.random.Generator) -> bytes:
    """Where metadata and digest are."""
    return content[:-2000] + flip(content[-2000:], draw)


def overwrite(content: bytes, draw: np.random.Generator) -> bytes:
    start, length = draw.integers(len(content) - 64), draw.integers(1, 64)
    return content[:start] + draw.bytes(length) + content[start + length :]


def zero(content: bytes, draw: np.random.Generator) -> bytes:
    start = 512 * draw.integers(len(content) // 512)
    return content[:start] + bytes(512) + content[start + 512 :]


def truncate(content: bytes, draw: np.random.Generator) -> bytes:
    return content[: draw.integers(len(content))]


def truncate_the_end(content: bytes, draw: np.random.Generator) -> bytes:
    return content[: -draw.integers(1, 2000)]


def append(content: bytes, draw: np.random.Generator) -> bytes:
    """Bytes, or whole entries, which any reader of ONNX would take."""
    more = draw.bytes(draw.integers(1, 99)), content[-90:], b"\x72\x06\x0a\x01a\x12\x01b"
    return content + more[draw.integers(3)]


def cut_out(content: bytes, draw: np.random.Generator) -> bytes:
    start = draw.integers(len(content) - 100)
    return content[:start] + content[start + draw.integers(1, 100) :]


def edit(content: bytes, draw: np.random.Generator) -> bytes:
    """Other metadata, by the tool for it."""
    model = onnx.load_from_string(content)
    stored = {each.key: each.value for each in model.metadata_props}
    about = json.loads(stored["pointstill"])
    number = draw.integers(7)
    if number == 0:
        about["classes"] = about["origin"]["classes"] = about["classes"][::-1]
    elif number == 1:
        about["points"] += int(draw.integers(1, 100))
    elif number == 2:
        about["up"] = about["origin"]["up"] = "y"
    elif number == 3:
        about["format"] = 1
    elif number == 4:
        about["trained_on"]["fingerprint"] = "f" * 64
    elif number == 5:
        del stored["pointstill.sha256"]
    else:
        stored["note"] = "mine"
    stored["pointstill"] = json.dumps(about)
    onnx.helper.set_model_props(model, stored)
    return model.SerializeToString()


DAMAGES: list[Damage] = [
    *(flip, flip_at_the_end, overwrite, zero, truncate, truncate_the_end, append, cut_out, edit)
]


def refused(path: Path) -> str:
    """Why a file is refused; nothing for one that is taken."""
    try:
        Classifier(path)
    except PointstillError as error:
        return str(error)
    return ""


def check(student: Path, folder: Path, count: int) -> None:
    content, draw = student.read_bytes(), np.random.default_rng(0)
    path, unseen, harmless = folder / "damaged.onnx", [], 0
    for number in range(count):
        damage = DAMAGES[number % len(DAMAGES)]
        changed = damage(content, draw)
        if changed == content:
            harmless += 1  # zeros over zeros
            continue
        path.write_bytes(changed)
        said = refused(path)
        if not said:
            unseen.append((number, damage.__name__))
            continue
        assert said.startswith(str(path))
        assert "\n" not in said
    print(f"{count} damages: {count - harmless - len(unseen)} found, {harmless} changed nothing")
    assert unseen == []
    assert harmless < count / 20
    Classifier(student)


def test_a_hundred_damages_are_found(student_onnx, tmp_path):
    check(student_onnx, tmp_path, 100)


@pytest.mark.slow
def test_a_thousand_damages_are_found(student_onnx, tmp_path):
    check(student_onnx, tmp_path, 1000)


@pytest.mark.parametrize("damage", [flip, append, edit, truncate_the_end])
def test_evaluate_and_record_find_them_too(student_onnx, tmp_path, damage):
    path = tmp_path / "damaged.onnx"
    for seed in range(3):
        path.write_bytes(damage(student_onnx.read_bytes(), np.random.default_rng(seed)))
        with pytest.raises(TeacherError) as caught:
            OnnxNetwork(path)
        assert "\n" not in str(caught.value)
    assert OnnxNetwork(student_onnx).about["classes"] == ["ball", "box", "rod"]


def test_a_damaged_one_is_said_by_every_command(student_onnx, solids, tmp_path, cli):
    path = tmp_path / "damaged.onnx"
    path.write_bytes(flip(student_onnx.read_bytes(), np.random.default_rng(1)))
    cloud = solids / "rod" / "00.npy"
    for command in (["predict", path, cloud], ["evaluate", path, "--data", solids]):
        code, out, err = cli(*command)
        assert (code, out) == (1, ""), command
        assert err == (
            f"error: {path} is no student of pointstill, or is damaged: it differs from the SHA-256"
            " that it carries: export it again with `pointstill export`\n"
        )
