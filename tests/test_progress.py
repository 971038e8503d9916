"""Progress: figures that people read, plain lines where there is no terminal."""

import io

import pytest
from rich.console import Console

from pointstill.progress import Reading, Track, clock, size


class Clock:
    """Time that passes when it is told to."""

    now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def time(monkeypatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("pointstill.progress.time", clock)
    return clock


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (59.4, "59 s"),
        (59.6, "1 min 00 s"),
        (3599, "59 min 59 s"),
        (3600, "1 h 00 min"),
        (90061, "25 h 01 min"),
    ],
)
def test_clock(seconds, text):
    assert clock(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 bytes"), (999, "999 bytes"), (1000, "1.0 kB"), (1.25e9, "1.2 GB"), (5e15, "5.0 PB")],
)
def test_size(count, text):
    assert size(count) == text


def test_plain_lines_have_rate_and_time_left(time, capsys):
    with Track("record", 100, "records") as track:
        time.now += 9
        track.advance(10, "not yet")
        time.now += 1
        track.advance(10, "view 3")  # 20 in 10 s: 80 left at 2/s
        time.now += 40
        track.advance(80)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines() == [
        "record: 20 of 100 records, 2/s, 40 s left, view 3",
        "record: 100 of 100 records, 2/s in 50 s",
    ]


def test_what_was_done_before_is_not_in_the_rate(time, capsys):
    with Track("nwsd", 1000, "shapes", done=900) as track:
        time.now += 10
        track.advance(20)
    assert capsys.readouterr().err == "nwsd: 920 of 1,000 shapes, 2/s, 40 s left\n"


@pytest.mark.parametrize("quiet", [True, False])
def test_nothing_to_say(time, capsys, quiet):
    with Track("train", 10, "shapes", done=10, quiet=quiet):
        time.now += 99
    if quiet:
        with Track("train", 10, "shapes", quiet=True) as track:
            time.now += 99
            track.advance(10)
    assert capsys.readouterr().err == ""


def test_an_error_is_not_followed_by_a_figure(time, capsys):
    def fail() -> None:
        with Track("train", 10, "shapes") as track:
            time.now += 1
            track.advance(5)
            raise ValueError

    with pytest.raises(ValueError):  # noqa: PT011
        fail()
    assert capsys.readouterr().err == ""


def test_a_terminal_gets_a_bar_with_rate_and_note(monkeypatch):
    screen = Console(file=io.StringIO(), force_terminal=True, width=120)
    monkeypatch.setattr("pointstill.progress.console", screen)
    with Track("record", 40, "records", done=10) as track:
        assert track.bar
        for _ in range(3):
            track.advance(10, "view 1")
            track.bar.refresh()
    text = screen.file.getvalue()
    assert "40/40" in text
    assert "records/s" in text
    assert "view 1" in text


def test_reading_speaks_every_three_seconds(time, capsys):
    reading = Reading("scans/")
    time.now += 1
    reading(5, 100)
    time.now += 3
    reading(20, 100)  # 3 s for 15: 16 s for the other 80
    reading(21, 100)
    time.now += 3
    reading(2000, 0)
    assert capsys.readouterr().err.splitlines() == [
        "reading scans/: 20 of 100 clouds, 16 s left",
        "reading scans/: 2,000 clouds",
    ]
