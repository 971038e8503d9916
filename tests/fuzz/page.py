"""The figures of `docs/reliability.md`, from the JSON of a campaign and nothing else.

python -m tests.fuzz.page [benchmarks/results/fuzz.json]
"""

import json
import re
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from .campaign import COLUMNS

ROOT = Path(__file__).parents[2]
FIGURES, PAGE = ROOT / "benchmarks" / "results" / "fuzz.json", ROOT / "docs" / "reliability.md"
BEGIN, END = "<!-- figures: written by tests/fuzz/page.py -->", "<!-- end of figures -->"


def text(figures: dict[str, Any]) -> str:
    """A sentence and a table."""
    rows = {name: Counter(row) for name, row in figures["rows"].items()}
    rows["**all**"] = sum(rows.values(), Counter())
    lines = [
        f"{figures['inputs']:,} inputs from generator seed {figures['seed']}, on {figures['date']} "
        f"({figures['machine']}, pointstill {figures['pointstill']}), "
        f"{figures['seconds'] / 60:.0f} minutes:",
        "",
        f"| what | {' | '.join(COLUMNS)} |",
        "|---" * (len(COLUMNS) + 1) + "|",
    ]
    for name, row in rows.items():
        lines.append(f"| {name} | " + " | ".join(f"{row[key]:,}" for key in COLUMNS) + " |")
    kinds = Counter[str]()
    for name, times in figures["faults"].items():
        kinds[name.split(": ")[1]] += times
    found = ", ".join(f"{times} {kind}" for kind, times in sorted(kinds.items())) or "none"
    return "\n".join([*lines, "", f"Faults: {found}."])


def filled(page: str, figures: dict[str, Any]) -> str:
    """A page with the figures between its two marks."""
    marks = re.compile(f"{re.escape(BEGIN)}.*?{re.escape(END)}", re.DOTALL)
    return marks.sub(lambda _: f"{BEGIN}\n{text(figures)}\n{END}", page)


if __name__ == "__main__":
    source = Path(sys.argv[1]) if sys.argv[1:] else FIGURES
    if not source.is_file():
        sys.exit(f"error: {source} is not there: make it by `make fuzz`")
    figures = json.loads(source.read_text())
    PAGE.write_text(filled(PAGE.read_text(), figures))
