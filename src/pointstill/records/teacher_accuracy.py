"""What the records tell of the teacher: how often it is right, and which shapes are hard."""

from typing import NamedTuple

import numpy as np

from .store import Store


class Accuracy(NamedTuple):
    """A teacher on the augmented views of the labelled shapes it was recorded on."""

    views: np.ndarray  # (V,) overall accuracy on each view that is recorded whole, as a fraction
    shapes: np.ndarray  # (L,) over these views, the fraction in which each of them is told right
    classes: np.ndarray  # (C,) the same a class; NaN for a class without shapes


def accuracy(store: Store) -> Accuracy | None:
    """How often the teacher's largest logit is the label, where there is one.

    None before a view is whole, or where no shape has a label.
    """
    done = store.committed()
    views = [number for number in range(store.views) if done[number].all()]
    known = np.flatnonzero(store.labels >= 0)
    if not views or not len(known):
        return None
    labels = store.labels[known]
    right = np.stack([store.logits(view)[known].argmax(1) == labels for view in views])
    classes = range(len(store.attributes["classes"]))
    each = [right[:, labels == label] for label in classes]
    means = np.array([some.mean() if some.size else np.nan for some in each])
    return Accuracy(right.mean(axis=1), right.mean(axis=0), means)
