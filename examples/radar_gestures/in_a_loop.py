"""Gesture after gesture, as a radar delivers them, on one core: how often right, how many a second.

    python in_a_loop.py student.onnx mtranssee_256.npz

Needs NumPy and ONNX Runtime alone. What a gesture has is given by name: the student takes of it
what it learned from.
"""

import sys
import time

import numpy as np

from pointstill.deployment.runtime import Classifier

COLUMNS = ("x", "y", "z", "doppler", "time", "strength")


def main() -> None:
    """Classify the test split once."""
    student, data = sys.argv[1:]
    classifier = Classifier(student)
    with np.load(data) as file:
        there = file["split"] == "test"
        points, counts, labels = (file[name][there] for name in ("x", "n", "label"))
        names = file["classes"]
    right, seconds = 0, 0.0
    for cloud, count, label in zip(points, counts, labels, strict=True):
        columns = dict(zip(COLUMNS, cloud[:count].astype(np.float32).T, strict=True))
        began = time.perf_counter()
        name, _ = classifier.predict(columns)[0]
        seconds += time.perf_counter() - began
        right += name == names[label]
    total = len(labels)
    print(f"{right / total:.1%} of {total:,} gestures, {total / seconds:,.0f} a second")


if __name__ == "__main__":
    main()
