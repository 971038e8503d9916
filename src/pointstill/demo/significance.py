"""What the scores of all seeds say, in numbers and in words. Pure functions."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean, stdev

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t

from ..evaluation.scoring import Pair, Score, mcnemar
from .experiment import METHODS, Method

SURE = 0.95
"""Coverage of the intervals."""


@dataclass(frozen=True)
class Result:
    """A method over its seeds."""

    method: Method
    scores: list[Score]

    @property
    def accuracies(self) -> list[float]:
        """Overall accuracy of each seed, in percent."""
        return [100 * score.overall_accuracy for score in self.scores]

    @property
    def mean(self) -> float:
        """Mean overall accuracy, in percent."""
        return mean(self.accuracies)

    @property
    def spread(self) -> float:
        """Standard deviation over the seeds (n - 1), in points of percent."""
        return stdev(self.accuracies)

    @property
    def class_mean(self) -> float:
        """Mean class accuracy, in percent."""
        return 100 * mean(score.mean_class_accuracy for score in self.scores)

    @property
    def agreement(self) -> float:
        """How often the student names the teacher's class on recorded views, in percent."""
        return 100 * mean((score.agreement or {"argmax": 0.0})["argmax"] for score in self.scores)

    @property
    def divergence(self) -> float:
        """KL(teacher || student) on recorded views, in nats."""
        return mean((score.agreement or {"kl": 0.0})["kl"] for score in self.scores)


@dataclass(frozen=True)
class Comparison:
    """Two methods, seed by seed."""

    first: Result
    second: Result
    pairs: list[Pair]
    """The exact McNemar test of each seed."""

    @property
    def gap(self) -> float:
        """Mean accuracy of the first less that of the second, in points."""
        return self.first.mean - self.second.mean

    @property
    def spread(self) -> float:
        """Standard deviation (n - 1) of the difference within a seed, in points.

        Methods share a seed's start, order and shapes, so they are compared seed by seed.
        """
        seeds = zip(self.first.accuracies, self.second.accuracies, strict=True)
        return stdev(one - other for one, other in seeds)

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval of the gap, in points, by Student's t over the seeds' differences.

        It is about other seeds of the same student, from the same records on the same test shapes.
        """
        seeds = len(self.first.scores)
        reach = t.ppf((1 + SURE) / 2, seeds - 1) * self.spread / math.sqrt(seeds)
        return self.gap - float(reach), self.gap + float(reach)

    @property
    def clear(self) -> bool:
        """Whether the interval leaves out 0: p < 0.05 in the paired t-test."""
        low, high = self.interval
        return low > 0 or high < 0

    @property
    def wins(self) -> bool:
        """Whether the first is clearly ahead."""
        return self.clear and self.gap > 0

    @property
    def words(self) -> str:
        """The comparison as a sentence."""
        one, other = self.first.method.title, self.second.method.title
        seeds = len(self.pairs)
        below = sum(pair.p_value < 0.05 for pair in self.pairs)
        low, high = self.interval
        test = (
            f"95 % interval {low:+.1f} to {high:+.1f}, of {seeds} seeds; McNemar p < 0.05 in "
            f"{below} of them"
        )
        if not self.clear:
            return f"{one} and {other} do not clearly differ: {self.gap:+.1f} points ({test})."
        verb = "beats" if self.gap > 0 else "falls behind"
        return f"{one} {verb} {other} by {abs(self.gap):.1f} points ({test})."


@dataclass(frozen=True)
class Findings:
    """Everything the demo found out."""

    teacher: Score
    results: dict[str, Result]
    """By the methods' keys."""
    labels: NDArray[np.int64]
    """Of the test shapes."""

    @classmethod
    def of(
        cls, teacher: Score, scores: dict[str, list[Score]], labels: Sequence[int]
    ) -> "Findings":
        """From the scores of each method, in order of seeds."""
        results = {method.key: Result(method, scores[method.key]) for method in METHODS}
        return cls(teacher, results, np.array(labels))

    @property
    def baseline(self) -> Result:
        """The stronger of the two trained on labels alone: the one to beat."""
        baselines = [each for each in self.results.values() if each.method.role == "baseline"]
        return max(baselines, key=lambda each: each.mean)

    @property
    def best(self) -> Score:
        """The student to look at: the best method's seed nearest to its mean."""
        result = max(self.results.values(), key=lambda each: each.mean)
        return min(result.scores, key=lambda each: abs(100 * each.overall_accuracy - result.mean))

    @property
    def headline(self) -> str:
        """What distillation was worth, in a sentence."""
        gain = self.comparison("kd", self.baseline.method.key)
        kd = gain.first
        if gain.wins:
            return (
                f"The same small network gets {kd.mean:.1f} % of the test shapes right when it "
                "also learns from a recorded teacher what clouds without a label are, and "
                f"{gain.second.mean:.1f} % from the few labels alone."
            )
        what = "did harm here" if gain.clear else "made no clear difference here"
        return (
            f"Learning from a recorded teacher {what}: {kd.mean:.1f} % of the test shapes right, "
            f"against {gain.second.mean:.1f} % from the few labels alone."
        )

    @property
    def verdict(self) -> list[str]:
        """Who beats whom, in sentences computed from the numbers."""
        gain = self.comparison("kd", self.baseline.method.key)
        negative = self.comparison("nwsd", "kd")
        controls = [self.comparison("nwsd", each.key) for each in METHODS if each.role == "control"]
        if negative.wins and all(each.wins for each in controls):
            closing = "The negative weight paid here: NWSD is ahead of KD and of both controls."
        elif negative.wins:
            rivals = " and ".join(each.second.method.title for each in controls if not each.wins)
            closing = f"But it is not clearly ahead of its control, {rivals}: "
            closing += "the gain need not be the negative weight's own."
        elif negative.clear:
            closing = "The negative weight did harm here."
        else:
            closing = "The negative weight brings nothing clear here that plain KD does not."
        return [gain.words, negative.words, closing]

    @property
    def comparisons(self) -> list[Comparison]:
        """All that are told."""
        base = self.baseline.method.key
        rivals = (base, "kd", "kd-weaker", "towards-past")
        return [self.comparison("kd", base), *(self.comparison("nwsd", each) for each in rivals)]

    def comparison(self, first: str, second: str) -> Comparison:
        """The comparison of two methods, by their keys."""
        one, other = self.results[first], self.results[second]
        seeds = zip(one.scores, other.scores, strict=True)
        return Comparison(one, other, [mcnemar(left, right, self.labels) for left, right in seeds])
