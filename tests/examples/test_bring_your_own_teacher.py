"""The commands of the example run as they stand, on fewer shapes."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import yaml

HERE = Path(__file__).parents[2] / "examples/bring_your_own_teacher"
FEW = {"--limit": "48", "--epochs": "1", "--views": "2", "--points": "128"}


def test_the_commands_run_in_order(tmp_path: Path) -> None:
    for file in HERE.iterdir():
        if file.is_file():
            shutil.copy(file, tmp_path)
    block = re.findall(r"```console\n(.*?)```", (HERE / "README.md").read_text(), re.DOTALL)[0]
    shown = {}
    for line in block.splitlines():
        words = shlex.split(line.removeprefix("$ "))
        words = [FEW.get(before, word) for before, word in zip(["", *words], words, strict=False)]
        if words[0] == "pointstill":
            words = ["-m", *words, *{"describe": ["--shapes", "16"]}.get(words[2], [])]
            if words[2] in ("record", "distill", "evaluate"):
                words += ["--limit", "48"]
        else:
            words = words[1:]
        done = subprocess.run(
            [sys.executable, *words], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{shlex.join(words)}\n{done.stderr}"
        shown[" ".join(words[1:4])] = done.stdout
    names = (tmp_path / "names.txt").read_text().split()
    for file, layout in (("shape_net.pt", "b3n"), ("wide.onnx", "b3n")):
        written = yaml.safe_load((tmp_path / f"{file}.yaml").read_text())
        assert (written["classes"], written["layout"]) == (names, layout)
    assert names == sorted(names, reverse=True)
    table = shown["pointstill evaluate shape_net.pt.yaml"]
    assert "wide.onnx" in table
    assert "(mean of" in " ".join(table.split())
    assert (tmp_path / "student/weights.safetensors").is_file()
