"""The notebooks run from top to bottom, and are kept without what they print."""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

HERE = Path(__file__).parents[2] / "examples/notebooks"
NOTEBOOKS = sorted(HERE.glob("*.ipynb"))


def test_there_are_two():
    assert [path.name for path in NOTEBOOKS] == ["distil.ipynb", "first_cloud.ipynb"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_is_kept_without_outputs(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert (cell.outputs, cell.execution_count) == ([], None)


def shown(path: Path, folder: Path) -> list[str]:
    """What the cells of code give, as text, when they run in a folder."""
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(notebook, timeout=3_600, resources={"metadata": {"path": str(folder)}})
    client.execute()
    return [
        "".join(
            output.get("text", "") or output.get("data", {}).get("text/plain", "")
            for output in cell.outputs
            if output.get("name") != "stderr"
        )
        for cell in notebook.cells
        if cell.cell_type == "code"
    ]


def test_the_first_cloud(tmp_path):
    classes, shape, _, answer, moved, *_, about = shown(HERE / "first_cloud.ipynb", tmp_path)
    assert eval(shape)[1] == 3
    first, again = eval(answer), eval(moved)
    assert first[0][0] in eval(classes)
    assert [name for name, _ in again] == [name for name, _ in first]
    assert dict(again) == pytest.approx(dict(first), abs=0.05)
    assert "stillnet-n" in about


def test_distil(tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    *_, scores, last = shown(HERE / "distil.ipynb", tmp_path)
    assert scores.count("parameters") == 2
    size, answer = last.split("kB", 1)
    assert 100 < int(size) < 500
    assert len(eval(answer)) == 3
