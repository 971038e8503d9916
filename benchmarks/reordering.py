"""How often an exported student changes its mind when the points of a cloud are reordered.

    python benchmarks/reordering.py student.onnx DATA [--orders 10] [--limit 500] [--points N]
        [--stray RADII]

Prints the part of (shape, order) pairs of the test split whose class is that of the order in which
the points came. --points takes a part of each cloud, drawn once, to see other sizes; --stray moves
one point of each so many radii from its middle.
"""

import argparse

import numpy as np

from pointstill import Classifier, open_dataset
from pointstill.data.selection import limited


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("student")
    parser.add_argument("data")
    parser.add_argument("--orders", type=int, default=10)
    parser.add_argument("--limit", type=int, default=500)
    parser.add_argument("--points", type=int, default=None)
    parser.add_argument("--stray", type=float, default=None)
    options = parser.parse_args()
    classifier = Classifier(options.student)
    split = open_dataset(options.data).test
    draw = np.random.default_rng(0)
    same = right = worst = 0
    shapes = limited(split, options.limit)
    for shape in shapes:
        cloud = draw.permutation(split.cloud(int(shape)))[: options.points]
        if options.stray:
            away = cloud - cloud.mean(0)
            farthest = away[np.linalg.norm(away, axis=1).argmax()]
            cloud[0] = cloud.mean(0) + options.stray * farthest
        wanted = classifier.logits(cloud)
        right += int(wanted.argmax() == split.labels[shape])
        for _ in range(options.orders):
            found = classifier.logits(draw.permutation(cloud))
            same += int(found.argmax() == wanted.argmax())
            worst = max(worst, float(np.abs(found - wanted).max()))
    total = len(shapes) * options.orders
    print(
        f"{same:,} of {total:,} answers are the same ({100 * same / total:.3f} %); "
        f"largest difference of a logit {worst:.2g}; {100 * right / len(shapes):.1f} % are right"
    )


if __name__ == "__main__":
    main()
