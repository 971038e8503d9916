"""What is published of the models in `MODELS`: plain facts, nothing of it measured here."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Published:
    """A paper, and an accuracy on ModelNet40."""

    arxiv: str
    """Number of the paper on arxiv.org."""
    accuracy: float
    """Overall accuracy on the ModelNet40 test split at 1,024 points without voting, in percent.
    Mostly of the epoch that was best on that same split, which adds 0.4 to 1.5 points."""
    source: str
    """Who says so."""


PUBLISHED: dict[str, Published] = {
    "pointnet": Published("1612.00593", 89.2, "paper"),
    "pointnet2-ssg": Published("1706.02413", 92.2, "README of the code"),
    "dgcnn": Published("1801.07829", 92.9, "paper"),
    "gdanet": Published("2012.10921", 93.4, "released weights"),
    "pointmlp": Published("2202.07123", 94.1, "paper"),
    "pointmlp-elite": Published("2202.07123", 93.6, "paper"),
    "point-mae": Published("2203.06604", 93.2, "paper"),
    "pointnext-s": Published("2206.04670", 94.0, "released weights"),
    "pointnext-s-c32": Published("2206.04670", 93.2, "paper"),
}
"""The architectures of others. The StillNets are ours, and their figures are in our own pages."""
