"""python -m tests.fuzz [--count 20000] [--seed 0] [--processes 2] [--json FILE]
python -m tests.fuzz --replay fuzz-found/abort-laz-old-17    an input that was kept, again

From the root of the checkout. A fault makes the exit code 1."""

import argparse
import json
import platform
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from pointstill import __version__

from .campaign import COLUMNS, FOUND, Campaign, Prepared, kept_input


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--count", type=int, default=20_000, help="how many inputs")
    parser.add_argument("--seed", type=int, default=0, help="of the generator")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--json", type=Path, help="where to write the figures")
    parser.add_argument("--student", type=Path, help="an exported student; else one is made")
    parser.add_argument("--replay", type=Path, nargs="+", help="folders of inputs that were kept")
    parser.add_argument("--found", type=Path, default=FOUND, help="where faults are kept")
    parser.add_argument("--only", nargs="+", default=(), help="rows of the table, such as ply")
    parser.add_argument("--shrink", action="store_true", help="make kept inputs smaller")
    options = parser.parse_args()
    started = time.monotonic()
    found = Path(tempfile.mkdtemp()) if options.replay else options.found
    processes = 1 if options.replay else options.processes
    prepared = Prepared(processes, found, options.student, options.only)
    try:
        seeds = prepared.campaign.seeds
        if options.replay:
            outcomes = [prepared.used(kept_input(folder, seeds)) for folder in options.replay]
            for folder, outcome in zip(options.replay, outcomes, strict=True):
                print(f"{folder}: {outcome.kind} {outcome.detail}")
                if outcome.disagreement:
                    print(f"{folder}: {outcome.disagreement}")
            return int(any(outcome.kind not in ("read", "refused") for outcome in outcomes))
        print(f"{len(seeds)} seeds, {time.monotonic() - started:.0f} s")
        campaign = prepared.run(options.seed, options.count, progress(options.count))
        for _, first in campaign.faults.values() if options.shrink else ():
            prepared.shrink(first)
    finally:
        prepared.end()
    seconds = time.monotonic() - started
    print(report(campaign))
    print(f"{options.count:,} inputs in {seconds:.0f} s: {campaign.fault_count:,} faults")
    if options.json:
        figures = {
            "date": time.strftime("%Y-%m-%d"),
            "pointstill": __version__,
            "machine": f"{platform.system()} {platform.machine()}",
            "seed": options.seed,
            "inputs": options.count,
            "seconds": round(seconds),
            "rows": {name: dict(row) for name, row in sorted(campaign.counts.items())},
            "faults": {key: times for key, (times, _) in sorted(campaign.faults.items())},
        }
        options.json.write_text(json.dumps(figures, indent=1) + "\n")
    return int(campaign.fault_count > 0)


def progress(count: int) -> Callable[[int, Campaign], None]:
    """A line every 5 % of so many inputs."""
    started, step = time.monotonic(), max(1, count // 20)

    def tell(done: int, campaign: Campaign) -> None:
        if done % step == 0:
            rate = done / (time.monotonic() - started)
            print(
                f"{done:,} of {count:,}, {rate:.0f}/s, {campaign.fault_count:,} faults", flush=True
            )

    return tell


def report(campaign: Campaign) -> str:
    """The table, and a line for each fault."""
    total: Counter[str] = sum(campaign.counts.values(), Counter())
    lines = [f"{'':<14}" + "".join(f"{name:>11}" for name in COLUMNS)]
    for name, row in [*sorted(campaign.counts.items()), ("all", total)]:
        lines.append(f"{name:<14}" + "".join(f"{row[column]:>11,}" for column in COLUMNS))
    for title, found in (("fault", campaign.faults), ("disagreement", campaign.disagreements)):
        for key, (times, first) in sorted(found.items(), key=lambda item: -item[1][0]):
            text = key if title == "fault" else key.replace(": disagreement", "", 1)
            lines.append(f"{title} x {times}: {text} ({first})")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
