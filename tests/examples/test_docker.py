"""What of the Dockerfile can be told without a daemon: its user, its wheels and its command."""

import json
import re
import shlex
from pathlib import Path

from pointstill.cli.commands import app

ROOT = Path(__file__).parents[2]
LINES = re.sub(r"\\\n\s*", "", (ROOT / "examples/docker/Dockerfile").read_text()).splitlines()


def said(word: str) -> list[str]:
    return [line.removeprefix(f"{word} ") for line in LINES if line.startswith(f"{word} ")]


def test_it_takes_the_wheels_that_make_dist_builds_and_nothing_of_torch():
    assert said("FROM") == ["python:3.11-slim"]
    (copied,) = said("COPY")
    assert copied.split()[:-1] == ["dist/pointstill-*.whl", "dist/pointstill_web-*.whl"]
    makefile = (ROOT / "Makefile").read_text()
    assert "-m build --outdir dist .\n" in makefile
    assert "-m build --wheel --outdir dist web\n" in makefile
    (install,) = said("RUN")
    words = shlex.split(install)
    assert words[:3] == ["pip", "install", "--no-cache-dir"]
    assert words[3].endswith(")[serve]")
    assert not re.search(r"torch|\[train|--index-url|--extra-index", install)


def test_it_runs_without_rights():
    (user,) = said("USER")
    assert f"useradd --system --user-group --no-create-home --uid 10001 {user}" in said("RUN")[0]
    after = LINES[LINES.index(f"USER {user}") :]
    assert not any(line.startswith(("RUN", "COPY", "ADD")) for line in after)


def test_its_command_is_one():
    command = json.loads(said("CMD")[-1])
    assert command[:2] == ["pointstill", "serve"]
    called, bound, _ = app.parse_args(command[1:], exit_on_error=False, print_error=False)
    assert called.__name__ == "serve"
    assert bound.arguments["host"] == "0.0.0.0"
    assert said("EXPOSE") == ["8000"]
    assert "http://127.0.0.1:8000/healthz" in "\n".join(LINES)
