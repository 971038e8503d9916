"""Tables on terminals of all widths."""

import pytest

from pointstill.evaluation.profiling import Profile
from pointstill.evaluation.tables import profile_table
from pointstill.reporting.tables import draw_table, print_tables

LONG = "/home/somebody/projects/point clouds/runs/2024-09-05/stillnet-s-nwsd-seed-1"
NUMBERS = ["89.55 ± 0.58", "85.25", "4.2", "1,355.8 k", "20.7", "0.64", "95.3"]


@pytest.fixture(params=[40, 60, 80, 200])
def wide(request, monkeypatch) -> int:
    monkeypatch.setenv("COLUMNS", str(request.param))
    return request.param


def test_numbers_are_whole_and_paths_lose_their_middle(wide, capsys):
    columns = ["model", "OA %", "mAcc %", "ECE %", "params", "MFLOPs", "ms", "agree %"]
    print_tables(draw_table(columns, [[LONG, *NUMBERS], ["runs/a", *NUMBERS]]))
    lines = capsys.readouterr().out.replace("┃", "│").splitlines()
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in lines if "│" in line]
    assert rows[0] == columns
    assert [row[1:] for row in rows[1:]] == [NUMBERS] * 2
    assert rows[2][0] == "runs/a"
    head, _, tail = rows[1][0].partition("…")
    assert LONG.startswith(head)
    assert LONG.endswith(tail)
    assert (rows[1][0] == LONG) == (wide == 200)
    assert len(head + tail) >= 15


def test_a_path_of_wide_letters(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    print_tables(draw_table(["model", "n"], [["运行/" * 30, "7"]]))
    lines = capsys.readouterr().out.splitlines()
    assert sum("…" in line for line in lines) == 1
    assert all(line.count("运") + len(line) <= 60 for line in lines)


def test_names_that_are_no_paths_are_folded(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    print_tables(draw_table(["class", "n"], [["night stand " * 6, "7"]]))
    assert capsys.readouterr().out.split().count("stand") == 6


def test_a_profile_on_a_narrow_terminal(wide, capsys):
    rows = [Profile("pointmlp-elite", 716_000, 780_000_000, 1234.5, 1.25)]
    print_tables(profile_table(rows, 1024))
    out = capsys.readouterr().out
    for cell in ("716.0 k", "780.0", "1234.50", "1.25", "1.0 x"):
        assert cell in out
