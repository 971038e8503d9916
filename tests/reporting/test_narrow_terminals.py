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


def test_paths_and_numbers_are_whole(wide, capsys):
    columns = ["model", "OA %", "mAcc %", "ECE %", "params", "MFLOPs", "ms", "agree %"]
    print_tables(draw_table(columns, [[LONG, *NUMBERS], ["runs/a", *NUMBERS]]))
    out = capsys.readouterr().out
    for cell in (LONG, "runs/a", *NUMBERS):
        assert cell in out


def test_a_profile_on_a_narrow_terminal(wide, capsys):
    rows = [Profile("pointmlp-elite", 716_000, 780_000_000, 1234.5, 1.25)]
    print_tables(profile_table(rows, 1024))
    out = capsys.readouterr().out
    for cell in ("716.0 k", "780.0", "1234.50", "1.25", "1.0 x"):
        assert cell in out
