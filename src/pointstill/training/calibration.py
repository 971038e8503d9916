"""After training: a temperature, and a threshold for what is unknown, from held-out shapes."""

import math
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize_scalar
from scipy.stats import beta
from torch import Tensor, nn
from torchmetrics.functional.classification import multiclass_calibration_error

from ..losses.cross_entropy import cross_entropy
from ..storage.calibration import RECALL, Calibration, Typical, energy
from .views import Material

BOUNDS = 0.05, 20.0
"""Of a temperature."""
FEWEST = math.ceil(RECALL / (1 - RECALL) - 1e-9)
"""Shapes that it takes: 19, as of fewer not one in twenty can be below the threshold."""
MOST_SEEN = 4096
"""Training shapes that are looked at again for what is typical."""
MOST_CLASSES = 100
"""Of which that is kept: 15,000 numbers, some 130 kB in a file."""
RIDGE = 1e-3
"""Part of the mean variance that each variance gets more."""


@torch.inference_mode()
def calibrated(model: nn.Module, material: Material, batch_size: int = 64) -> Calibration:
    """Calibrate a trained model on its validation shapes, seen without augmentation.

    What is typical of it is fitted on its training shapes, 4,096 of them at most.
    """
    if not len(material.validation):
        return Calibration()
    model.eval()

    def logits(shapes: Tensor) -> Tensor:
        found = [
            model(material.clouds.plain(some, material.points)).float()
            for some in torch.split(shapes, batch_size)
        ]
        return torch.cat(found).cpu()

    every = math.ceil(len(material.shapes) / MOST_SEEN)
    labels = material.labels[material.validation].cpu()
    return calibrate(logits(material.validation), labels, logits(material.shapes[::every]))


def calibrate(logits: Tensor, labels: Tensor, seen: Tensor) -> Calibration:
    """Fit all on logits (V, C) and labels (V,) of shapes that were not trained on.

    Shapes without a label are left out. The temperature is that of the least cross-entropy
    (Guo, Pleiss, Sun, Weinberger, ICML 2017), where a label counts as (n + 1) / (n + 2) sure, as in
    Platt (1999): of a student that errs on none of n shapes nobody knows that it never errs. The
    threshold is the k-th smallest score, k = floor((n + 1) / 20): then 95 % of further shapes are
    above it or more, on average over draws of the n (conformal prediction; Vovk et al. 2005).
    Fewer than 19 shapes have no such k; neither is fitted on so few.

    Args:
        logits: of the shapes that were held out.
        labels: of these; below 0 where there is none.
        seen: (S, C), of shapes that were trained on; see `typical_of`.
    """
    labelled = labels >= 0
    logits, labels = logits[labelled].double(), labels[labelled]
    count = len(labels)
    if count < FEWEST:
        return Calibration()
    smoothing = 1 / (count + 2)

    def loss(log_temperature: float) -> float:
        return float(cross_entropy(logits / math.exp(log_temperature), labels, smoothing).mean())

    low, high = map(math.log, BOUNDS)
    found = minimize_scalar(loss, bounds=(low, high), method="bounded")
    temperature = math.exp(float(found.x))
    held_out = logits.numpy()
    fitted = Calibration(
        temperature,
        shapes=count,
        error_before=calibration_error(logits, labels),
        error_after=calibration_error(logits / temperature, labels),
        typical=typical_of(seen.double().numpy(), held_out),
    )
    rank = math.floor((count + 1) * (1 - RECALL) + 1e-9)
    return replace(fitted, threshold=float(np.sort(fitted.score(held_out))[rank - 1]))


def typical_of(seen: NDArray[np.float64], held_out: NDArray[np.float64]) -> Typical | None:
    """What logits look like: (S, C) of shapes that were trained on, (V, C) of some that were not.

    A student may be as sure of a thing of no class as of any other. But the logits of the shapes
    that it takes for a class lie around their mean, and those of such a thing often far off. The
    distance is that of Lee et al. (NeurIPS 2018), of logits instead of features, to the mean of the
    class that is answered alone. The covariance, one for all classes, is that of the shapes that
    were trained on, with a thousandth of its mean diagonal added. `docs/robustness.md` has what it
    is worth beside the energy, which is better at classes that were never seen.

    Returns:
        None where it cannot be told: of more than 100 classes, of fewer than twice as many shapes
        as classes, or of logits that do not vary.
    """
    count, classes = seen.shape
    if classes > MOST_CLASSES or count < 2 * classes:
        return None
    taken = seen.argmax(axis=1)
    # No shape is taken for some class: whatever is later is far from the mean of all.
    means = np.tile(seen.mean(axis=0), (classes, 1))
    for each in np.unique(taken):
        means[each] = seen[taken == each].mean(axis=0)
    within = seen - means[taken]
    covariance = within.T @ within / count
    spread = covariance.trace() / classes
    if not spread > 0:
        return None
    factor = np.linalg.cholesky(covariance + RIDGE * spread * np.eye(classes))
    whitening = np.linalg.inv(factor)
    plain = Typical(
        tuple(map(_rounded, means)),
        tuple(_rounded(row[: place + 1]) for place, row in enumerate(whitening)),
        energy=(0.0, 1.0),
        distance=(0.0, 1.0),
    )
    tail = 1 - RECALL
    high = np.quantile(energy(held_out), (0.5, tail))
    far = np.quantile(plain.squared_distance(held_out), (0.5, RECALL))
    if not (high[0] > high[1] and far[1] > far[0]):
        return None
    return replace(
        plain,
        energy=_rounded([high[0], high[0] - high[1]]),
        distance=_rounded([far[0], far[1] - far[0]]),
    )


def _rounded(row: ArrayLike) -> tuple[float, ...]:
    """To six digits, so that files stay small."""
    return tuple(float(f"{each:.6g}") for each in np.asarray(row))


def calibration_error(logits: Tensor, labels: Tensor) -> float:
    """Expected calibration error of logits (R, C), a fraction: 15 bins of equal width."""
    shares = logits.double().softmax(1)
    return float(multiclass_calibration_error(shares, labels, logits.shape[1], n_bins=15))


def recall_range(shapes: int) -> tuple[float, float]:
    """The recall that a threshold from so many shapes has: 95 % of draws are within.

    The share above the k-th smallest of n scores has the distribution Beta(n + 1 - k, k).

    >>> [round(each, 2) for each in recall_range(1000)]
    [0.94, 0.96]
    """
    rank = math.floor((shapes + 1) * (1 - RECALL) + 1e-9)
    recall = beta(shapes + 1 - rank, rank)
    return float(recall.ppf(0.025)), float(recall.ppf(0.975))


def described(calibration: Calibration) -> str:
    """What was fitted, in a line or two."""
    if calibration.threshold is None:
        return (
            "not calibrated, and no threshold for what is unknown: fewer than "
            f"{FEWEST} labelled shapes are held out (--val)"
        )
    before, after = calibration.error_before or 0.0, calibration.error_after or 0.0
    line = (
        f"calibrated on {calibration.shapes:,} held-out shapes: temperature "
        f"{calibration.temperature:.2f}, calibration error {before:.1%} before, {after:.1%} after"
    )
    low, high = recall_range(calibration.shapes)
    return f"{line}; of known classes {low:.0%} to {high:.0%} pass as known (95 % interval)"
