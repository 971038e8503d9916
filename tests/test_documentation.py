"""The documents say what the program does: commands, messages, extras; and they become pages."""

import ast
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from cyclopts import CycloptsError

from pointstill.cli.commands import app

ROOT = Path(__file__).parents[1]
PAGES = [
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "examples").glob("*/README.md")),
    ROOT / "README.md",
]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def code(page: Path) -> str:
    """What is shown as code to be typed: fenced without a language or for a shell, or indented."""
    text = page.read_text()
    fenced = re.findall(r"^```(?:console|bash|sh)?\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    without = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    indented = re.findall(r"^(?: {4}|\t)(.*)$", without, re.MULTILINE)
    return re.sub(r"(?: \\)?\n\s+(?=--)", " ", "\n".join([*fenced, *indented]))


def commands(page: Path) -> list[list[str]]:
    """The command lines of pointstill on a page, but for those that leave something out."""
    found = []
    for line in code(page).splitlines():
        match = re.match(r"(?:\$ )?(?:\w+=\S+ )*(?:torchrun .*?-m )?pointstill (.*)", line.strip())
        usage = re.search(r"\[OPTIONS\]|COMMAND$", line)  # of the page of commands
        if match and "..." not in line and not usage:
            found.append(shlex.split(match[1], comments=True))
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_are_understood(page):
    for tokens in commands(page):
        if {"--help", "--version", "--recipe"} & {*tokens}:  # a recipe says the rest
            continue
        try:
            called, _, _ = app.parse_args(tokens, exit_on_error=False, print_error=False)
        except CycloptsError as error:
            pytest.fail(f"pointstill {shlex.join(tokens)}: {error}")
        assert called.__module__.startswith("pointstill.cli.") or "--install-completion" in tokens


def test_many_commands_were_looked_at():
    assert sum(len(commands(page)) for page in PAGES) > 45


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_nothing_is_said_to_be_in_a_package_index(page):
    text = page.read_text()
    assert "pypi.org" not in text
    for line in re.findall(r"pip install [^`\n]*", text):
        named = re.search(r"(?<![\w./-])pointstill(?![\w.-]*\.whl|-\*\.whl)[^\s]*", line)
        # An extra of what is installed is a fix that messages name, on the pages that say so.
        allowed = (
            page.name in ("install.md", "commands.md")
            and named
            and named[0].startswith("pointstill[")
        )
        assert not named or allowed, line


def test_every_extra_is_on_the_page():
    text = (ROOT / "docs/install.md").read_text()
    listed = re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE)
    assert listed == list(dict.fromkeys(listed))
    assert {*listed} == {*PROJECT["optional-dependencies"]}


def templates() -> set[str]:
    """Every text in the code, with what is filled in as an ellipsis."""
    found = set()
    for path in (ROOT / "src/pointstill").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.JoinedStr):
                parts = (
                    each.value if isinstance(each, ast.Constant) else "…" for each in node.values
                )
                found.add("".join(map(str, parts)))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.add(node.value)
    return found


def test_messages_of_the_page_are_in_the_code():
    text = (ROOT / "docs/troubleshooting.md").read_text()
    messages = re.findall(r"^### `(.*)`$", text, re.MULTILINE)
    assert len(messages) > 40
    assert len(messages) == len(set(messages)) == text.count("\n### ")
    known = templates()
    missing = [each for each in messages if not any(each in template for template in known)]
    assert not missing


def test_the_page_of_commands_is_that_of_the_program(tmp_path):
    """In a process of its own: Cyclopts writes `-m pytest` into its lines of usage here."""
    shutil.copy(ROOT / "docs/commands.py", tmp_path)
    subprocess.run([sys.executable, tmp_path / "commands.py"], check=True, capture_output=True)
    text = (ROOT / "docs/commands.md").read_text()
    assert text == (tmp_path / "commands.md").read_text(), "run `python docs/commands.py`"
    for words in ("## pointstill distill", "### pointstill records verify", "--snapshot-age"):
        assert words in text
    assert "--no-" not in text  # options are never negated, and not said to be


@pytest.mark.slow
def test_the_documents_become_pages(tmp_path):
    """Without a warning: every link leads somewhere, every page is in a table of contents."""
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "-b", "html", ROOT / "docs", tmp_path]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    shown = {path.stem for path in tmp_path.glob("*.html")} - {"genindex", "search"}
    assert {path.stem for path in (ROOT / "docs").glob("*.md")} <= shown
