"""What a model is trained on: clouds, and the views of them that each epoch sees."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..augment import Clouds, Pipeline
from ..augment.outliers import outliers
from ..augment.student_only import AS_IT_IS, StudentOnly
from ..losses.targets import Targets
from ..records import Store
from .shuffling import Order, Windowed, Windows


@dataclass(frozen=True)
class View:
    """What is known of one view of all training shapes, on the device that trains."""

    number: int
    epoch: int
    order: Order  # of the R training shapes in this epoch
    parameters: Tensor | Windowed  # (R, columns) float32
    teacher: Tensor | Windowed | None  # (R, C) logits


class FreshViews:
    """Views drawn afresh: epoch e is view e."""

    def __init__(self, pipeline: Pipeline, shapes: Tensor, windows: Windows, device: torch.device):
        self.pipeline, self.shapes, self.windows, self.device = pipeline, shapes, windows, device

    def view(self, epoch: int) -> View:
        """The view of an epoch."""

        def parameters(rows: np.ndarray) -> Tensor:
            return self.pipeline.sample(epoch, self.shapes[rows]).to(self.device)

        order = self.windows.epoch(epoch)
        return View(epoch, epoch, order, order.table(parameters), None)


class RecordedViews:
    """Views as they were recorded: epoch e is view e mod V."""

    def __init__(
        self,
        store: Store,
        rows: np.ndarray,
        windows: Windows,
        device: torch.device,
        teacher: bool,
    ):
        """Take views from a store.

        Args:
            store: the records.
            rows: (R,) rows of the store that are trained on.
            windows: of these rows.
            device: where they are wanted.
            teacher: whether the teacher's logits are.
        """
        self.store, self.rows, self.windows = store, rows, windows
        self.device, self.teacher = device, teacher

    def view(self, epoch: int) -> View:
        """The view of an epoch."""
        number = epoch % self.store.views

        def parameters(rows: np.ndarray) -> Tensor:
            return torch.from_numpy(self.store.parameters(number, self.rows[rows])).to(self.device)

        def logits(rows: np.ndarray) -> Tensor:
            return torch.from_numpy(self.store.logits(number, self.rows[rows])).to(self.device)

        order = self.windows.epoch(epoch)
        teacher = order.table(logits) if self.teacher else None
        return View(number, epoch, order, order.table(parameters), teacher)


@dataclass(frozen=True)
class Material:
    """What a model is trained on; all tensors on the device that trains."""

    clouds: Clouds
    pipeline: Pipeline
    views: FreshViews | RecordedViews
    shapes: Tensor  # (R,) int64, training shapes as indices in the split
    labels: Tensor  # (S,) int64, of the whole split; `UNLABELLED` where there is none
    validation: Tensor  # (V,) int64, held-out shapes as indices in the split
    points: int
    student_only: StudentOnly = AS_IT_IS
    class_weights: Tensor | None = None
    """(C,) of the label's term of each class, where they are weighed."""
    seed: int = 0
    """Of views of nothing; see `augment.outliers`."""

    @classmethod
    def of(
        cls,
        clouds: Clouds,
        pipeline: Pipeline,
        views: FreshViews | RecordedViews,
        shapes: tuple[np.ndarray, np.ndarray],
        labels: Sequence[int] | np.ndarray,
        points: int,
        student_only: StudentOnly = AS_IT_IS,
        class_weights: np.ndarray | None = None,
        seed: int = 0,
    ) -> "Material":
        """Bring shapes (to train and to validate on) and labels to where the clouds are."""
        train, validation = (torch.from_numpy(each).to(clouds.device) for each in shapes)
        own = torch.from_numpy(np.asarray(labels, np.int64).copy()).to(clouds.device)
        weights = None if class_weights is None else torch.from_numpy(class_weights)
        weights = None if weights is None else weights.to(clouds.device)
        return cls(
            clouds, pipeline, views, train, own, validation, points, student_only, weights, seed
        )

    def targets(
        self,
        view: View,
        rows: Tensor,
        past: Tensor | None,
        progress: float,
        members: Tensor | None = None,
    ) -> Targets:
        """What the student's answers to training shapes (B,) in a view are compared with."""
        second, share = self.second(view, rows)
        return Targets(
            labels=self.labels[self.shapes[rows]],
            teacher=None if view.teacher is None else view.teacher[rows],
            past=past,
            progress=progress,
            members=members,
            second=second,
            share=share,
            weights=self.class_weights,
        )

    def rows(self, view: View) -> np.ndarray:
        """The training shapes of an epoch in their order, by their places (r,).

        A mix with a shape that is not trained on, such as one held out, is left out.
        """
        order = view.order.rows
        shapes = self.shapes[torch.from_numpy(order).to(self.shapes.device)]
        partners = self.pipeline.partners(view.number, shapes, len(self.clouds))
        if partners is None:
            return order
        kept: np.ndarray = order[torch.isin(partners.shapes, self.shapes).cpu().numpy()]
        return kept

    def second(self, view: View, rows: Tensor) -> tuple[Tensor, Tensor] | tuple[None, None]:
        """What training shapes (B,) are mixed with in a view: labels (B,) and shares (B,)."""
        partners = self.pipeline.partners(view.number, self.shapes[rows], len(self.clouds))
        return (self.labels[partners.shapes], partners.share) if partners else (None, None)

    def replay(self, view: View, rows: Tensor) -> Tensor:
        """What the student sees of training shapes (B,) in a view: (B, N, 3 + F)."""
        shapes, parameters = self.shapes[rows], view.parameters[rows]
        if not self.student_only.operations:
            return self.pipeline.replay(self.clouds, view.number, shapes, parameters, self.points)
        features, up = self.clouds.features, self.clouds.up
        points = self.pipeline.draw(self.clouds, view.number, shapes, self.points)
        points = self.student_only.apply(points, view.epoch, shapes, features)
        return self.pipeline.apply(points, view.number, shapes, parameters, features, up)

    def outliers(self, view: View, rows: Tensor, points: Tensor) -> Tensor:
        """A view of nothing for every second of the views (B, N, 3 + F) of a batch."""
        some, features = self.shapes[rows[::2]], self.clouds.features
        return outliers(points[::2], self.labels[some], self.seed, view.epoch, some, features)
