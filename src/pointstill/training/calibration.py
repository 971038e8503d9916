"""After training: a temperature, and a threshold for what is unknown, from held-out shapes."""

import math

import numpy as np
import torch
from scipy.optimize import minimize_scalar
from scipy.stats import beta
from torch import Tensor, nn
from torchmetrics.functional.classification import multiclass_calibration_error

from ..losses.cross_entropy import cross_entropy
from ..storage.calibration import RECALL, Calibration, score
from .views import Material

BOUNDS = 0.05, 20.0
"""Of a temperature."""
FEWEST = math.ceil(RECALL / (1 - RECALL) - 1e-9)
"""Shapes that it takes: 19, as of fewer not one in twenty can be below the threshold."""


@torch.inference_mode()
def calibrated(model: nn.Module, material: Material, batch_size: int = 64) -> Calibration:
    """Calibrate a trained model on its validation shapes, seen without augmentation."""
    if not len(material.validation):
        return Calibration()
    model.eval()
    logits = [
        model(material.clouds.plain(some, material.points)).float()
        for some in torch.split(material.validation, batch_size)
    ]
    return calibrate(torch.cat(logits).cpu(), material.labels[material.validation].cpu())


def calibrate(logits: Tensor, labels: Tensor) -> Calibration:
    """Fit both on the logits (V, C) and labels (V,) of shapes that were not trained on.

    Shapes without a label are left out. The temperature is that of the least cross-entropy
    (Guo, Pleiss, Sun, Weinberger, ICML 2017), where a label counts as (n + 1) / (n + 2) sure, as in
    Platt (1999): of a student that errs on none of n shapes nobody knows that it never errs. The
    threshold is the k-th smallest score, k = floor((n + 1) / 20): then 95 % of further shapes are
    above it or more, on average over draws of the n (conformal prediction; Vovk et al. 2005).
    Fewer than 19 shapes have no such k; neither is fitted on so few.
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
    rank = math.floor((count + 1) * (1 - RECALL) + 1e-9)
    threshold = float(np.sort(score(logits.numpy()))[rank - 1])
    return Calibration(
        temperature,
        threshold,
        count,
        error_before=calibration_error(logits, labels),
        error_after=calibration_error(logits / temperature, labels),
    )


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
