"""python benchmarks/sections.py: writes what benchmarks found into the pages that show it.

Each part of a page between `<!-- written from results of NAME -->` and `<!-- end -->` is what the
function `text` of `benchmarks/NAME.py` makes of the newest `benchmarks/results/NAME-*.json`."""

import importlib
import json
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = ("predict.md", "on_the_robot.md", "onnx.md", "serve.md", "robustness.md")
PART = re.compile(r"(<!-- written from results of (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def filled(page: str) -> str:
    """A page with its parts as the newest results have them."""
    return PART.sub(lambda part: f"{part[1]}\n{_text(part[2])}\n\n{part[3]}", page)


def _text(name: str) -> str:
    newest = max((ROOT / "benchmarks/results").glob(f"{name}-*.json"))
    text: str = importlib.import_module(name).text(json.loads(newest.read_text("utf-8")))
    return text


if __name__ == "__main__":
    for name in PAGES:
        page = ROOT / "docs" / name
        page.write_text(filled(page.read_text("utf-8")), "utf-8")
