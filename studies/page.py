"""docs/results.md, its pictures and the README's part, from results: nobody types a figure."""

import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from . import modelnet40 as ground
from .figures import forest, shares_picture
from .job import outcomes
from .outcome import Difference, Outcome, difference, mean_and_spread
from .radar import BETAS, METHODS, SEEDS, SEEN_BEFORE, SHARES, SMOOTHINGS, WHOLE, sign_name
from .radar import jobs as radar_jobs

Found = dict[str, Outcome]
"""Outcomes by the name of their job."""
RADAR_SPLITS = ("test", "shift")
PLANS = {"radar": radar_jobs, "modelnet40": ground.jobs}
WORDS = {
    "ce": "labels alone",
    "kd": "KD, T = 4",
    "kd-1": "KD, T = 1",
    "kd-alone": "KD without labels",
    "mse": "logits, squared error",
    "dkd": "DKD",
    "dist": "DIST",
    "nkd": "NKD",
    "nwsd-floor": "NWSD, beta = 0.1",
    "kd-0.9": "control: KD, alpha = 0.9",
    "nwsd-towards": "control: beta = -0.1",
    "contrast": "NWSD contrast, weak past",
    "contrast-none": "control: contrast, no past",
    "contrast-late": "control: contrast, past of 5 epochs ago",
    "contrast-towards": "control: contrast, w = -0.25",
}


def seeds(found: Found, pattern: str, count: Sequence[int] = SEEDS) -> list[Outcome] | None:
    """The outcomes of all seeds of `name-{}`, or None while one is missing."""
    there = [found.get(pattern.format(seed)) for seed in count]
    return [each for each in there if each] if all(there) else None


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """In Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def by_share(found: Found) -> Iterator[tuple[int, list[Outcome], list[Outcome]]]:
    """Each share of the labels, with the students by labels and by the teacher of all of them."""
    for share in SHARES:
        ce, kd = (seeds(found, f"shares/{share}-{{}}-{kind}") for kind in ("ce", "kd"))
        if ce and kd:
            yield share, ce, kd


def radar_shares(found: Found, docs: Path) -> str:
    """Accuracy against the share of labels."""
    rows, curves = [], {"ce": [], "kd": [], "own": []}  # type: ignore[var-annotated]
    for share, ce, kd in by_share(found):
        own = seeds(found, f"shares/{share}-{{}}-own")
        for kind, each in (("ce", ce), ("kd", kd), ("own", own)):
            if each:
                curves[kind].append((share, [run.accuracy() for run in each]))
        rows.append(
            [
                f"{share} %",
                mean_and_spread(ce),
                mean_and_spread(kd),
                difference(kd, ce).text,
                mean_and_spread(own) if own else "",
                difference(own, ce).text if own else "",
                *(mean_and_spread(each, "shift") for each in (ce, kd)),
            ]
        )
    if len(rows) < 2:
        return ""
    others = [
        f"{share} % {difference(kd, ce, without=SEEN_BEFORE).text}"
        for share, ce, kd in by_share(found)
    ]
    shares_picture(curves, docs / "results-shares.svg")
    head = [
        "labels",
        "by labels",
        "teacher of all labels",
        "gain",
        "teacher of these labels",
        "gain",
    ]
    return "\n\n".join(
        [
            "### Few labels, many clouds",
            "![Accuracy on people never seen, against the share of labels](results-shares.svg)",
            table([*head, "by labels, shift", "KD, shift"], rows),
            "1 % of the labels are of anybody, being less than one person's; larger shares are of "
            "whole people, and none of the others. Another part in each seed.",
            "Of four people of the test split 252 samples are in the training split too, under "
            "other numbers. On the nine others the gain of the teacher of all labels is "
            f"{', '.join(others)}.",
        ]
    )


def radar_channels(found: Found, docs: Path) -> str:
    """What the teacher sees, and students that see less of it."""
    rows: list[list[str]] = []
    if teacher := found.get("teachers/m-0"):
        said = ["`stillnet-m`, the teacher", "x, y, z, doppler, time, strength", "labels alone"]
        rows.append([*said, *(f"{teacher.accuracy(split):.1f}" for split in RADAR_SPLITS), ""])
    for seen, ce, kd in (
        ("x, y, z, time", "shares/100-{}-ce", "shares/100-{}-kd"),
        ("x, y, z", "xyz/{}-ce", "xyz/{}-kd"),
    ):
        for pattern, words in ((ce, "labels alone"), (kd, "labels and teacher")):
            if runs := seeds(found, pattern):
                means = (mean_and_spread(runs, split) for split in RADAR_SPLITS)
                base = seeds(found, ce) if pattern == kd else None
                gain = difference(runs, base).text if base else ""
                rows.append(["`stillnet-n`", seen, words, *means, gain])
    if len(rows) < 2:
        return ""
    head = ["network", "sees", "taught by", "people never seen", "beside reflectors", "gain"]
    return "### A student sees less than its teacher\n\n" + table(head, rows)


def radar_methods(found: Found, docs: Path, share: int = 10) -> str:
    """Every loss against KD, at one share of the labels."""
    base = seeds(found, f"shares/{share}-{{}}-kd")
    if not base:
        return ""
    rows: list[list[str]] = []
    gaps: list[tuple[str, Difference]] = []
    for name in ("ce", "kd", *METHODS):
        runs = base if name == "kd" else seeds(found, f"methods/{share}-{{}}-{name}")
        if not runs:
            continue
        gap = difference(runs, base)
        if name != "kd":
            gaps.append((WORDS[name], gap))
        rows.append(
            [
                WORDS[name],
                mean_and_spread(runs),
                gap.text if name != "kd" else "",
                mean_and_spread(runs, "shift"),
            ]
        )
    if not gaps:
        return ""
    forest(
        gaps, f"against KD, T = 4, {share} % of the labels", docs / f"results-methods-{share}.svg"
    )
    return "\n\n".join(
        [
            f"### Methods, {share} % of the labels",
            f"![Differences from KD](results-methods-{share}.svg)",
            table(["loss", "accuracy", "against KD", "shift"], rows),
        ]
    )


def radar_sign(found: Found, docs: Path) -> str:
    """Smoothing against the weight of the past."""
    rows = []
    for smoothing in SMOOTHINGS:
        runs = {b: seeds(found, sign_name(smoothing, b)) for b in BETAS}
        plain = runs[0.0]
        if plain and all(runs.values()):
            gains = [difference(runs[b], plain).text for b in BETAS if b]  # type: ignore[arg-type]
            rows.append([f"{smoothing:g}", mean_and_spread(plain), *gains])
    if not rows:
        return ""
    head = ["smoothing", "beta = 0", *(f"beta = {b:+g} against it" for b in BETAS if b)]
    return "### The sign of the weight\n\n" + table(head, rows)


def modelnet40(found: Found, docs: Path) -> str:
    """Students of each size, by labels and from the ensemble's records."""
    rows = []
    for size in "nsm":
        count = (0,) if size == "m" else SEEDS
        bases = [seeds(found, f"{name}-{size}-{{}}", count) for name in ("ce", "kd")]
        for name, words in (
            ("ce", "labels alone"),
            ("kd", "KD"),
            ("nwsd", "NWSD contrast, weak past"),
            ("control", "control: no past"),
        ):
            if runs := seeds(found, f"{name}-{size}-{{}}", count):
                rows.append([f"`stillnet-{size}`", words, mean_and_spread(runs)])
                for base, mine in zip(bases, (("ce",), ("ce", "kd")), strict=True):
                    compared = base if name not in mine else None
                    rows[-1].append(difference(runs, compared).text if compared else "")
    if not rows:
        return ""
    head = ["student", "taught by", "accuracy, last epoch, no voting", "against labels"]
    return "### Students\n\n" + table([*head, "against KD"], rows)


def modelnet40_shares(found: Found, docs: Path) -> str:
    """Students by a share of the labels; the teachers had all of them."""
    rows = []
    for share in ground.SHARES:
        by_labels, kd = (seeds(found, f"{kind}-n-{share}-{{}}") for kind in ("ce", "kd"))
        if by_labels and kd:
            gain = difference(kd, by_labels).text
            rows.append([f"{share} %", mean_and_spread(by_labels), mean_and_spread(kd), gain])
    if not rows:
        return ""
    head = ["labels of `stillnet-n`", "by labels", "teacher of all labels", "gain"]
    return "### Few labels, many clouds\n\n" + table(head, rows)


SECTIONS: dict[str, tuple[str, tuple[Callable[[Found, Path], str], ...]]] = {
    "radar": (
        "Radar gestures of people never seen",
        (
            radar_channels,
            radar_shares,
            radar_methods,
            radar_sign,
        ),
    ),
    "modelnet40": ("ModelNet40", (modelnet40, modelnet40_shares)),
}


README_PART = re.compile(r"(<!-- written by make results -->\n).*?(<!-- end -->)", re.DOTALL)


def in_short(found: Found) -> str:
    """What was found on radar, in a few lines for the README."""
    lines = []
    for share, ce, kd in by_share(found):
        whose = "anybody" if share < WHOLE else "a few whole people"
        labels = "all labels" if share == 100 else f"{share} % of the labels, of {whose}"
        gain = difference(kd, ce)
        clear = "" if gain.clear else ", no difference shown"
        lines.append(
            f"- {labels}: {mean_and_spread(ce)} % right by labels alone, "
            f"{mean_and_spread(kd)} % with the teacher: {gain.text} points{clear}"
        )
    if len(lines) < 2:
        return ""
    first = (
        "Gestures seen by radar, of 13 people kept out of training (252 of their 14,240 samples "
        "are in it all the same, under other numbers; the page has the nine others alone). The "
        "student has 54,000 parameters and sees less of each point than its teacher. Means of "
        "three seeds, 95 % intervals over people and seeds:"
    )
    picture = "![Accuracy against the share of labels](docs/results-shares.svg)"
    return "\n\n".join([picture, first, "\n".join(lines)])


def write_page(root: Path) -> Path:
    """Write the page of what is there so far, and the README's part of it."""
    text = [(root / "studies/introduction.md").read_text().rstrip()]
    for name, (title, parts) in SECTIONS.items():
        found = outcomes(root / "results" / name)
        written = [part for each in parts if (part := each(found, root / "docs"))]
        text.append(f"## {title}")
        text += written or ["No table of it is complete yet."]
        text.append(opened(name, found))
        if name == "radar" and (short := in_short(found)):
            write_readme(root / "README.md", short)
    page = root / "docs/results.md"
    page.write_text("\n\n".join(each for each in text if each) + "\n")
    return page


def write_readme(readme: Path, short: str) -> None:
    """Put a text in the part of the README that is written here."""
    said = README_PART.sub(lambda part: f"{part[1]}\n{short}\n\n{part[2]}", readme.read_text())
    readme.write_text(said)


def opened(study: str, found: Found) -> str:
    """What the test splits were opened for, and what all of it took."""
    measured = [each for each in found.values() if each.found["splits"]]
    if not measured:
        return ""
    hours = sum(each.found["seconds"] for each in found.values()) / 3600
    planned = sum(job.verb != "record" for job in PLANS[study]())
    rest = planned - len(found)
    return (
        f"The test splits of this section were opened for {len(measured)} finished runs, each "
        f"once, after all of the plan was fixed (`studies/{study}.py`); {len(found)} runs took "
        f"{hours:.1f} core-hours."
        + (f" {rest} more runs are planned; the other tables come with them." if rest else "")
    )
