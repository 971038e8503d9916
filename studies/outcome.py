"""What came of a run, and what several of them say together: means, differences, intervals."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t

DRAWS = 10_000
"""Of the bootstrap over groups and seeds."""


def packed(right: Sequence[bool]) -> str:
    """Which shapes were classified rightly, one bit each, in hexadecimal."""
    return np.packbits(np.asarray(right, bool)).tobytes().hex()


def unpacked(text: str, count: int) -> NDArray[np.bool_]:
    """The same again, (count,).

    >>> unpacked(packed([True, False, True]), 3)
    array([ True, False,  True])
    """
    return np.unpackbits(np.frombuffer(bytes.fromhex(text), np.uint8))[:count].astype(bool)


def run_lengths(groups: Sequence[str] | None) -> list[tuple[str, int]] | None:
    """Groups of shapes, each with how many in a row are of it.

    >>> run_lengths(["a", "a", "b", "a"])
    [('a', 2), ('b', 1), ('a', 1)]
    """
    if groups is None:
        return None
    return [(name, len(list(same))) for name, same in groupby(groups)]


class Outcome:
    """A file of results."""

    def __init__(self, found: dict[str, Any]):
        self.found = found

    def right(self, split: str = "test") -> NDArray[np.bool_]:
        """Which shapes of a split it classifies rightly."""
        each = self.found["splits"][split]
        return unpacked(each["right"], each["shapes"])

    def groups(self, split: str = "test") -> NDArray[np.str_] | None:
        """The group of each shape, if there are any."""
        named = self.found["splits"][split].get("groups")
        return None if named is None else np.repeat([n for n, _ in named], [c for _, c in named])

    def accuracy(self, split: str = "test") -> float:
        """In percent."""
        return 100 * float(self.right(split).mean())


@dataclass(frozen=True)
class Difference:
    """How much more of the shapes one method gets right than another, in points of percent."""

    mean: float
    low: float
    high: float
    """A 95 % interval."""
    by_seed: tuple[float, ...]

    @property
    def text(self) -> str:
        """As a table has it."""
        return f"{self.mean:+.1f} ({self.low:+.1f} to {self.high:+.1f})"

    @property
    def clear(self) -> bool:
        """Whether the interval leaves out 0."""
        return self.low > 0 or self.high < 0


def difference(
    one: Sequence[Outcome],
    other: Sequence[Outcome],
    split: str = "test",
    without: Sequence[str] = (),
) -> Difference:
    """Compare two methods seed by seed.

    Over groups, such as people, where the data has them: these and the seeds are drawn again, each
    group with all of its shapes (percentile bootstrap of both, Owen 2007; keyed). Otherwise over
    seeds, by Student's t. Some groups may be left out: `without`.

    Raises:
        ValueError: other numbers of seeds.
    """
    pairs = [a.right(split).astype(float) - b.right(split) for a, b in zip(one, other, strict=True)]
    groups = one[0].groups(split)
    if groups is not None:
        kept = ~np.isin(groups, without)
        groups, pairs = groups[kept], [each[kept] for each in pairs]
    by_seed = tuple(100 * float(each.mean()) for each in pairs)
    mean = float(np.mean(by_seed))
    if groups is not None:
        names, place = np.unique(groups, return_inverse=True)
        sizes = np.bincount(place)
        gains = np.array([np.bincount(place, weights=each) for each in pairs])  # (seeds, groups)
        draw = np.random.Generator(np.random.Philox(0))
        people, seeds = (  # how often each is drawn, (DRAWS, groups) and (DRAWS, seeds)
            draw.multinomial(count, np.full(count, 1 / count), size=DRAWS)
            for count in (len(names), len(pairs))
        )
        means = 100 * (people * (seeds @ gains)).sum(1) / len(pairs) / (people @ sizes)
        low, high = np.quantile(means, (0.025, 0.975))
    elif len(by_seed) > 1:
        half = t.ppf(0.975, len(by_seed) - 1) * np.std(by_seed, ddof=1) / len(by_seed) ** 0.5
        low, high = mean - half, mean + half
    else:
        low, high = -np.inf, np.inf
    return Difference(mean, float(low), float(high), by_seed)


def mean_and_spread(runs: Sequence[Outcome], split: str = "test") -> str:
    """Of the seeds, in percent, as a table has it."""
    each = [run.accuracy(split) for run in runs]
    spread = f" ± {np.std(each, ddof=1):.1f}" if len(each) > 1 else ""
    return f"{np.mean(each):.1f}{spread}"
