"""The README's commands and Python run as they stand, with fewer shapes and epochs."""

import re
import shlex
import shutil
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import yaml

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
RECIPES = sorted((ROOT / "recipes").glob("*.yaml"))


def commands() -> list[list[str]]:
    blocks = re.findall(r"```console\n(.*?)```", README, re.DOTALL)
    lines = [line[2:] for block in blocks for line in block.splitlines() if line.startswith("$ ")]
    return [shlex.split(line) for line in lines]


def smaller(command: list[str]) -> list[str]:
    """The same command on few shapes: one epoch, two views, 64 points."""
    few = {"--epochs": "1", "--views": "2", "--points": "64"}
    command = [few.get(before, word) for before, word in zip(["", *command], command, strict=False)]
    limit = command[1] in ("train", "record", "distill", "evaluate")
    return command + ["--limit", "48"] * limit


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """With `scan.ply`."""
    points = np.random.default_rng(0).normal(size=(500, 3))
    lines = "\n".join(" ".join(f"{value:.4f}" for value in point) for point in points)
    header = "ply\nformat ascii 1.0\nelement vertex 500\n" + "".join(
        f"property float {axis}\n" for axis in "xyz"
    )
    (tmp_path / "scan.ply").write_text(f"{header}end_header\n{lines}\n")
    return tmp_path


def test_readme_commands_run_in_order(folder: Path, monkeypatch: pytest.MonkeyPatch, cli):
    assert [command[1] for command in commands()] == [
        "train", "record", "distill", "evaluate", "export", "predict",
    ]  # fmt: skip
    monkeypatch.chdir(folder)
    for command in commands():
        program, *tokens = smaller(command)
        code, out, err = cli(*tokens)
        assert (program, code) == ("pointstill", 0), f"{shlex.join(command)}\n{err}"
    assert (folder / "student.onnx").stat().st_size > 10_000
    assert "scan.ply" in out


def test_readme_python_runs(
    tmp_path: Path, student_onnx: Path, monkeypatch: pytest.MonkeyPatch, capsys
):
    main, robot = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert len([line for line in main.splitlines() if line.strip()]) <= 15
    monkeypatch.chdir(tmp_path)
    few = {"epochs": "1", "views": "2", "points": "64"}
    for name, value in few.items():
        main = re.sub(rf"\b{name}=\d+", f"{name}={value}", main)
    main = re.sub(r"epochs=1\b", "epochs=1, limit=48", main)
    main = main.replace("views=2", "views=2, limit=48").replace(
        "data).scores", "data, limit=48).scores"
    )
    exec(compile(main, "README.md", "exec"), {})
    shown = capsys.readouterr().out.strip().splitlines()
    assert len(shown) == 2
    assert all("ms a cloud" in line for line in shown)

    shutil.copy(student_onnx, "student.onnx")
    exec(
        compile(robot, "README.md", "exec"),
        {"points": np.random.default_rng(0).normal(size=(30, 3)) + 5},
    )
    assert len(eval(capsys.readouterr().out)) == 3


def test_readme_links_lead_somewhere():
    for target in re.findall(r"\]\(((?!http)[^)#]+)\)", README):
        assert (ROOT / target).exists(), target


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_recipes_are_read(recipe: Path):
    from pointstill.cli.shared_options import read_recipe
    from pointstill.recipe import DistillRecipe, TrainRecipe

    text = recipe.read_text()
    options = yaml.safe_load(text)
    (command,) = {*re.findall(r"pointstill (train|distill) --recipe", text)}
    kind = {"train": TrainRecipe, "distill": DistillRecipe}[command]
    read_recipe(recipe, command)
    known = {"model", "student", "data", "records", "out"}
    own = {name: value for name, value in options.items() if name not in known}
    assert asdict(kind(**own)).items() >= own.items()


def test_quick_recipe_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cli):
    line = next(
        line for line in (ROOT / "recipes/primitives-quick.yaml").read_text().splitlines()
        if "pointstill train" in line
    )  # fmt: skip
    command = [*shlex.split(line.lstrip("# ")), "--limit", "48", "--epochs", "1"]
    command[command.index("--out") + 1] = str(tmp_path / "run")
    monkeypatch.chdir(ROOT)
    code, _, err = cli(*command[1:])
    assert code == 0, err
    assert (tmp_path / "run" / "weights.safetensors").exists()
