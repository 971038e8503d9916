"""Plans name what they need, each job once, and every command is one that pointstill takes."""

import json
from pathlib import Path

import numpy as np
import pytest
from studies.__main__ import STUDIES, wanted
from studies.outcome import packed
from studies.page import WORDS, write_page

from pointstill.cli.commands import app


@pytest.mark.parametrize("name", STUDIES)
def test_jobs_are_named_once_and_find_what_they_need(name: str) -> None:
    _, jobs = STUDIES[name]
    names = [job.name for job in jobs()]
    assert len(set(names)) == len(names)
    for place, job in enumerate(jobs()):
        assert set(job.needs) <= set(names[:place])


@pytest.mark.parametrize("name", STUDIES)
def test_commands_are_understood(name: str) -> None:
    place, jobs = STUDIES[name]
    seen = set()
    for job in jobs():
        command = job.command(place, Path("runs").joinpath)
        kind = tuple(each for each in command if each.startswith("--"))
        if kind in seen:
            continue
        seen.add(kind)
        called, _, _ = app.parse_args(command, exit_on_error=False, print_error=False)
        assert called.__name__ == job.verb
    assert seen


def test_a_part_of_a_plan_comes_behind_what_it_needs() -> None:
    _, jobs = STUDIES["radar"]
    names = [job.name for job in wanted(jobs(), "shares/100-0-kd")]
    assert names[-2:] == ["teacher", "shares/100-0-kd"]
    assert len(names) == 3  # one network before


def test_a_page_without_results_says_so(tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    (tmp_path / "studies").mkdir()
    (tmp_path / "docs").mkdir()
    text = (root / "studies/introduction.md").read_text()
    (tmp_path / "studies/introduction.md").write_text(text)
    assert "No table" in write_page(tmp_path).read_text()


def test_a_page_of_all_results_has_every_table(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    for folder in ("studies", "docs"):
        (tmp_path / folder).mkdir()
    (tmp_path / "studies/introduction.md").write_text("# Results")
    part = "<!-- written by make results -->\n{}<!-- end -->"
    (tmp_path / "README.md").write_text("before\n" + part.format("old\n") + "\nafter\n")
    for study, (place, jobs) in STUDIES.items():
        groups = [(name, 5) for name in "abcdefgh"] if study == "radar" else None
        for job in jobs():
            if job.verb == "record":
                continue
            target = tmp_path / "results" / study / f"{job.name}.json"
            target.parent.mkdir(parents=True, exist_ok=True)
            splits = {
                name: {"right": packed(list(draw.random(40) < 0.7)), "shapes": 40, "groups": groups}
                for name in place.splits
            }
            target.write_text(json.dumps({"splits": splits, "seconds": 1}))
    whole = tmp_path / "results/radar/teachers/m-0"  # a run that is kept beside its results
    whole.mkdir()
    for name in ("recipe.yaml", "calibration.json"):
        (whole / name).write_text("{}")
    page = write_page(tmp_path).read_text()
    assert "No table" not in page
    wanted = ("sees less", "10 % of the labels", "The sign of the weight", "### Students")
    assert all(heading in page for heading in wanted)
    readme = (tmp_path / "README.md").read_text()
    assert readme.startswith("before\n<!-- written by make results -->\n\n![")
    assert readme.endswith("<!-- end -->\nafter\n")
    assert "old" not in readme
    for share in ("1 % of the labels, of anybody", "10 % of the labels, of a few whole people"):
        assert f"\n- {share}: " in readme
    assert page.count("### Few labels, many clouds") == 2
    for words in WORDS.values():
        assert f"| {words} |" in page, words
