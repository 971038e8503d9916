"""A teacher is tried as it will be used, on clouds of the data, before anything is recorded.

On unlike clouds: two that are nearly equal hide what a network takes from the rest of its batch.
"""

import math
import warnings
from collections.abc import Sequence
from dataclasses import fields, replace

import numpy as np
import torch
from torch import Tensor

from ..augment import Clouds, Operation, Pipeline
from ..errors import TeacherError
from ..progress import console
from .teacher import Teacher

CLOUDS = 16
"""Most clouds that are asked about together, in another order, and alone."""
TOLERANCE = 1e-3
"""Of the spread of all logits: by more than this the answers for half of the clouds may not differ.

Published networks in float32 stay below 1e-6 on a CPU. PointMLP-elite with one spread for a batch
of 16 training shapes of ModelNet40 is at 4e-2 in the median, and at 1e-2 in the least of them.
"""
FLIP = 2e-2
"""The same for any one cloud: where two neighbours are equally near, rounding chooses."""
COMPARED = 256
"""Most shapes of which views are compared with the shapes as they are."""
LOST = 0.05
"""The part of the shapes that augmentation may cost a teacher without a word."""


def check_independence(teacher: Teacher, views: Tensor, batch_size: int) -> None:
    """Refuse a teacher whose answer for a cloud depends on chance, or on the rest of its batch.

    A logit that all classes share says nothing, and may differ. With batches of one, what a network
    takes from its batch it takes from the cloud, so that chance alone is looked for. It costs
    4 times `CLOUDS` answers at most.

    Args:
        teacher: that is about to be recorded.
        views: unlike clouds (B, N, 3 + F) as it will see them; the first `CLOUDS` are used.
        batch_size: with which it is recorded.

    Raises:
        TeacherError: it depends on either; or fails.
    """
    views, size = views[:CLOUDS], min(batch_size, CLOUDS)
    together = _centred(teacher, views, size)
    spread = float(together.max() - together.min())

    def differ(other: Tensor) -> bool:
        each = (together - other).abs().amax(1)
        return float(each.median()) > TOLERANCE * spread or float(each.max()) > FLIP * spread

    if differ(again := _centred(teacher, views, size)):
        raise TeacherError(
            f"answers by chance: asked twice about the same clouds, a logit differs by "
            f"{_largest(together, again)}",
            where=f"teacher {teacher.spec}",
            fix="turn its dropout off, start its farthest point sampling at a fixed point, or seed "
            "its draws in its forward",
        )
    if size == 1:
        return
    turned = _centred(teacher, views.flip(0), size).flip(0)
    alone = _centred(teacher, views, 1)
    for other, how in ((turned, "in another order"), (alone, "alone")):
        if differ(other):
            raise TeacherError(
                f"answers for a cloud by what else is in its batch: asked {how} and in a batch of "
                f"{min(size, len(views))}, a logit differs by {_largest(together, other)}",
                where=f"teacher {teacher.spec}",
                fix="give --batch-size 1, so that it sees each cloud alone, or change it to take "
                "its statistics from each cloud",
            )


def _centred(teacher: Teacher, views: Tensor, size: int) -> Tensor:
    """Its logits for views, so many at once, less their mean over the classes: (B, C)."""
    logits = torch.cat([teacher.logits(some).float().cpu() for some in torch.split(views, size)])
    return logits - logits.mean(1, keepdim=True)


def _largest(one: Tensor, other: Tensor) -> str:
    spread = float(one.max() - one.min())
    return f"{float((one - other).abs().max()):.2g} (they spread over {spread:.2g})"


def check_views(
    teacher: Teacher,
    pipeline: Pipeline,
    clouds: Clouds,
    shapes: np.ndarray,
    labels: np.ndarray,
    logits: np.ndarray,
    *,
    points: int,
    batch_size: int,
    quiet: bool = False,
) -> None:
    """Warn of augmentation that a teacher does not bear, and name the operations.

    Its views of some shapes are compared with the same shapes as they are, by whether it is right:
    a pair a shape. What is warned of is beyond chance (2.5 standard errors of the paired
    difference) and beyond `LOST`. That costs `COMPARED` answers, and where there is something to
    warn of, as many for each operation.

    Args:
        teacher: whose views were recorded.
        pipeline: that made them.
        clouds: of the split, on the teacher's device.
        shapes: (S,) indices in the split.
        labels: (S,) of these shapes; below 0 where there is none.
        logits: (S, C), of view 0 of these shapes.
        points: of a view.
        batch_size: views at once.
        quiet: report nothing; what is wrong is warned of all the same.

    Warns:
        UserWarning: see above.
    """
    moving = pipeline.operations[1 if pipeline.mix else 0 :]
    if not moving:
        return
    usable = labels >= 0
    if partners := pipeline.partners(0, torch.from_numpy(shapes), len(clouds)):
        usable &= (partners.share == 0).numpy()  # a mix has no one right answer
    known = np.flatnonzero(usable)
    if not len(known):
        if not quiet:
            console.print(
                "no shape has a label of its own: what augmentation costs the teacher is not known"
            )
        return
    chosen = known[np.arange(min(COMPARED, len(known))) * len(known) // min(COMPARED, len(known))]
    rows, wanted = torch.from_numpy(shapes[chosen]), torch.from_numpy(labels[chosen])

    def right(operations: Sequence[Operation]) -> Tensor:
        some = replace(pipeline, operations=tuple(operations))
        answers = []
        for batch in torch.split(rows, batch_size):
            drawn, on = some.sample(0, batch).to(clouds.device), batch.to(clouds.device)
            answers.append(teacher.logits(some.replay(clouds, 0, on, drawn, points)).cpu())
        return torch.cat(answers).argmax(1) == wanted

    plain = right(())
    views = torch.from_numpy(logits[chosen]).argmax(1) == wanted
    if not _worse(views, plain):
        return
    each = {operation: right((operation,)) for operation in dict.fromkeys(moving)}
    bad = {one: found for one, found in each.items() if _worse(found, plain)} or each
    good = [_typed(one) for one in pipeline.operations if one not in bad]
    ruin = ", ".join(f"{one.name} alone {_share(found)}" for one, found in bad.items())
    warnings.warn(
        f"teacher {teacher.spec} is right on {_share(plain)} of {len(chosen)} training shapes as "
        f"they are, and on {_share(views)} of the views that are recorded ({ruin}): students would "
        f"learn its mistakes; give --augment {','.join(good) or 'none'}, or those operations with "
        "a narrower range",
        stacklevel=4,
    )


def _worse(one: Tensor, other: Tensor) -> bool:
    """Whether one is right less often than another, beyond chance and beyond `LOST`."""
    lost, won = int((other & ~one).sum()), int((one & ~other).sum())
    beyond_chance = lost - won > 2.5 * math.sqrt(lost + won)
    return beyond_chance and lost - won > LOST * len(one)


def _share(right: Tensor) -> str:
    return f"{float(right.double().mean()):.0%}"


def _typed(operation: Operation) -> str:
    """An operation as `augment.parse` reads it, with the options that are not the usual ones.

    >>> from ..augment import parse
    >>> [_typed(each) for each in parse("jitter(sigma=0.02),scale", "z")]
    ['jitter(sigma=0.02)', 'scale']
    """
    options = ",".join(
        f"{field.name}={getattr(operation, field.name)}"
        for field in fields(operation)  # type: ignore[arg-type]
        if getattr(operation, field.name) != field.default
    )
    return f"{operation.name}({options})" if options else operation.name
