"""The page of benchmarks and its picture, made from a file of results and nothing else.

python benchmarks/page.py [benchmarks/results/DATE.json]    the newest, if none is named
"""

import json
import statistics
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("svg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
PAGE, PICTURE = ROOT / "docs" / "benchmarks.md", ROOT / "docs" / "benchmarks.svg"
VIEWS, EXAMPLE = 20, "pointnet"
"""Recorded views in the example of the break-even, the default of `record`; and its teacher."""
OFFLINE, ONLINE = "#0072b2", "#d55e00"

TEXT = """\
# Benchmarks

Made by `make bench` on {date}: {processor}, {threads} threads, torch {torch}, commit `{commit}`.
This page and its picture come from `benchmarks/results/{date}.json`; nothing here is written by
hand. Both parts of a ratio are measured in turns in the same run.

## Ratios

{ratios}

The student is `{student}` with batches of {batch} views of 1,024 points, drawn from clouds of the
built-in data (128 to 1,329 points), or from clouds of 2,048. A step is forward, loss, backward and
AdamW; a CE step on ready points takes {steps}.
The same CE step measured once more among the others was {again} times as long, so a ratio of steps
is no surer than that.
An epoch is one of `distill`: reading of records, clipping, metrics and saving are in it. A snapshot
runs the past student forward as well, so its goal is 1.05 and that forward, which was measured
beside a step. Recording draws views, asks the teacher, proves the replay and waits until all is
safe on the disk; the bare forward is the teacher's module on batches of the same size.

## From records, or with the teacher in the loop

![Time and memory of distillation from records and with the teacher in the loop](benchmarks.svg)

{ways}

Same student, views, loss and batches; each row in a process of its own. With the teacher in the
loop a step is as plain as it can be written: replay, teacher in inference mode, student, loss,
backward, clipping, step. From records it is an epoch of `distill`, with all that it does besides.
`stub-4` is a row of matrix products of about 4 ms a shape. Weights are random, which costs the same
time. Memory is the largest resident set of the process, libraries and data included.

## When records pay

Recording V views costs V R once, R a record. From then on every epoch of every student costs `off`
a shape instead of `on`. Records are cheaper from

    E = V R / (on - off)

epochs on, counted over all students: one of E epochs, or ten of E / 10. With V = {views}:

{even}
"""


def ratios(results: dict[str, Any]) -> list[tuple[str, float, float]]:
    """What was measured, as ratios, and the goal of each."""
    step, epoch, record = results["step"], results["epoch"], results["record"]
    forward = step["stillnet-s, primitives"]["forward_over_ce"]
    rows = [
        (f"step, {case.partition(', ')[2]}: {what}", step[case][key], goal)
        for case in step
        if case.startswith("stillnet-s")  # the goal is one for this student
        for what, key, goal in (
            ("replay and KD over CE on ready points", "replay_and_kd_over_ce", 1.03),
            ("of which replay", "replay_over_ready", 1.03),
        )
    ]
    goals = {"kd": 1.03, "nwsd table": 1.05, "nwsd records": 1.05, "nwsd snapshot": 1.05 + forward}
    rows += [
        (
            f"epoch from records: {name.replace('nwsd', 'NWSD').replace('kd', 'KD')} over CE",
            epoch[f"{name} over ce"],
            goal,
        )
        for name, goal in goals.items()
    ]
    rows += [
        (
            f"recording `{name}` ({each['forward_ms']:.2f} ms a view) over its bare forward",
            each["record_over_forward"],
            1.05,
        )
        for name, each in record.items()
    ]
    return rows


def verdict(measured: float, goal: float) -> str:
    """Whether a ratio meets its goal, as both are printed."""
    by = round(measured, 3) - round(goal, 3)
    return "met" if by <= 0 else f"missed by {by:.3f}"


def from_records(results: dict[str, Any]) -> tuple[float, float]:
    """Milliseconds a shape of a step from records, and MiB: means of before and after."""
    both = results["online"]["from_records"]
    return statistics.mean(both["step_ms"]), statistics.mean(both["peak_mib"])


def break_even(results: dict[str, Any], teacher: str, views: int = VIEWS) -> float:
    """Epochs after which records are cheaper: V R / (on - off); infinite if they never are."""
    saved = results["online"]["in_the_loop"][teacher]["step_ms"] - from_records(results)[0]
    cost = views * results["record"][teacher]["record_ms"]
    return float(cost / saved) if saved > 0 else float("inf")


def table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """A Markdown table, numbers to the right."""
    rule = ["---", *["---:"] * (len(head) - 1)]
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, tuple(rule), *rows))


def both(results: dict[str, Any]) -> list[str]:
    """Teachers that were recorded and run in the loop, cheapest first."""
    online = results["online"]["in_the_loop"]
    return sorted(
        results["record"].keys() & online.keys(), key=lambda name: online[name]["step_ms"]
    )


def markdown(results: dict[str, Any]) -> str:
    """The page."""
    step_ms, peak = from_records(results)
    online = results["online"]["in_the_loop"]
    ways = [("from records", f"{step_ms:.2f}", "", f"{peak:,.0f}", "")]
    for name, each in sorted(online.items(), key=lambda item: item[1]["step_ms"]):
        times, more = each["step_ms"] / step_ms, each["peak_mib"] - peak
        ways.append(
            (
                f"`{name}` in the loop",
                f"{each['step_ms']:.2f}",
                f"{times:.2f} x",
                f"{each['peak_mib']:,.0f}",
                f"{more:+,.0f}",
            )
        )
    even = [
        (
            f"`{name}`",
            f"{results['record'][name]['record_ms']:.2f}",
            f"{online[name]['step_ms'] - step_ms:.2f}",
            f"{break_even(results, name):.1f}",
        )
        for name in both(results)
    ]
    measured = [
        (what, f"{value:.3f}", f"{goal:.3f}", verdict(value, goal))
        for what, value, goal in ratios(results)
    ]
    about = {key: results[key] for key in ("date", "processor", "threads", "torch", "commit")}
    return TEXT.format(
        **about,
        student=results["online"]["student"],
        batch=results["online"]["batch"],
        views=VIEWS,
        steps=", ".join(
            f"{each['ce_ms']:.2f} ms a shape ({case})" for case, each in results["step"].items()
        ),
        again=", ".join(f"{each['again_over_ce']:.3f}" for each in results["step"].values()),
        ratios=table(("", "measured", "goal", ""), measured),
        ways=table(("", "ms a shape", "to records", "MiB", "to records"), ways),
        even=table(("teacher", "R, ms", "on - off, ms", "E, epochs"), even),
    )


def draw(results: dict[str, Any], path: Path) -> None:
    """The picture: time of a step, time in all, memory."""
    style = {
        "font.size": 9,
        "axes.titlesize": 10,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "svg.hashsalt": "pointstill",  # the same picture from the same numbers
    }
    with plt.rc_context(style):
        figure, axes = plt.subplots(1, 3, figsize=(11, 3.6), layout="constrained")
        draw_steps(results, axes[0])
        draw_total(results, axes[1])
        draw_memory(results, axes[2])
        figure.savefig(path, metadata={"Date": None})
        plt.close(figure)


def draw_steps(results: dict[str, Any], axes: Axes) -> None:
    """Time of a step over the cost of the teacher: stubs as a line, networks as points."""
    online = results["online"]["in_the_loop"].items()
    stubs = sorted((v["teacher_ms"], v["step_ms"]) for k, v in online if k.startswith("stub"))
    axes.plot(*zip(*stubs, strict=True), "o-", color=ONLINE, label="stub in the loop")
    for name, each in online:
        if not name.startswith("stub"):
            axes.plot(each["teacher_ms"], each["step_ms"], "s", color=ONLINE)
            offset = {"xytext": (-7, 3), "textcoords": "offset points", "ha": "right"}
            axes.annotate(name, (each["teacher_ms"], each["step_ms"]), **offset)
    axes.axhline(from_records(results)[0], color=OFFLINE, label="from records")
    axes.set(xscale="log", yscale="log", title="Time of a step")
    axes.set(xlabel="teacher's forward, ms a shape", ylabel="step, ms a shape")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter("{x:g}")
    axes.margins(0.1, 0.2)
    axes.legend(frameon=False, loc="upper left", fontsize=8)


def draw_total(results: dict[str, Any], axes: Axes) -> None:
    """Time in all over the epochs of all students, up to three times the break-even."""
    even, step_ms = break_even(results, EXAMPLE), from_records(results)[0]
    end = 3 * even if even < 10 * VIEWS else 3 * VIEWS
    once = VIEWS * results["record"][EXAMPLE]["record_ms"]
    online = results["online"]["in_the_loop"][EXAMPLE]["step_ms"]
    axes.plot([0, end], [0, end * online / 1e3], color=ONLINE, label=f"{EXAMPLE} in the loop")
    axes.plot(
        [0, end],
        [once / 1e3, (once + end * step_ms) / 1e3],
        color=OFFLINE,
        label=f"{VIEWS} views recorded, then from records",
    )
    axes.plot([even, even], [0, even * online / 1e3], ":", color="0.5")
    offset = {"xytext": (5, 5), "textcoords": "offset points"}
    axes.annotate(f"{even:.0f} epochs", (even, 0), **offset)
    axes.set(xlim=(0, end), ylim=(0, 1.25 * end * online / 1e3), title=f"Time in all, {EXAMPLE}")
    axes.set(xlabel="epochs, over all students", ylabel="s a shape")
    axes.legend(frameon=False, loc="upper left", fontsize=8)


def draw_memory(results: dict[str, Any], axes: Axes) -> None:
    """Peak memory of a process that trains."""
    online = results["online"]["in_the_loop"]
    values = {name: each["peak_mib"] for name, each in online.items()}
    order = sorted(values, key=lambda name: values[name])
    lengths = [from_records(results)[1], *(values[name] for name in order)]
    colours = [OFFLINE, *[ONLINE] * len(order)]
    bars = axes.barh(range(len(lengths)), lengths, color=colours, height=0.65)
    axes.bar_label(bars, [f"{value:,.0f}" for value in lengths], padding=3)
    axes.set_yticks(range(len(lengths)), ["from records", *order])
    axes.invert_yaxis()
    axes.margins(x=0.18)
    axes.set(xlabel="MiB", title="Peak memory of training")


def write(file: Path) -> None:
    """Make the page and the picture."""
    results = json.loads(file.read_text("utf-8"))
    PAGE.write_text(markdown(results), "utf-8")
    draw(results, PICTURE)


if __name__ == "__main__":
    write(Path(sys.argv[1]) if sys.argv[1:] else max(RESULTS.glob("[0-9]*.json")))
