"""What a model is trained on: clouds, and the views of them that each epoch sees."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..augment import Clouds, Pipeline
from ..augment.outliers import outliers
from ..augment.student_only import AS_IT_IS, StudentOnly
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
    labels: Tensor  # (S,) int64, of the whole split
    validation: Tensor  # (V,) int64, held-out shapes as indices in the split
    points: int
    student_only: StudentOnly = AS_IT_IS
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
        seed: int = 0,
    ) -> "Material":
        """Bring shapes (to train and to validate on) and labels to where the clouds are."""
        train, validation = (torch.from_numpy(each).to(clouds.device) for each in shapes)
        own = torch.from_numpy(np.asarray(labels, np.int64).copy()).to(clouds.device)
        return cls(clouds, pipeline, views, train, own, validation, points, student_only, seed)

    def replay(self, view: View, rows: Tensor) -> Tensor:
        """What the student sees of training shapes (B,) in a view: (B, N, 3 + F)."""
        shapes, parameters = self.shapes[rows], view.parameters[rows]
        if not self.student_only.operations:
            return self.pipeline.replay(self.clouds, view.number, shapes, parameters, self.points)
        features, up = self.clouds.features, self.clouds.up
        drawn = self.pipeline.indices(self.clouds, view.number, shapes, self.points)
        points = self.clouds.take(shapes, drawn)
        points = self.student_only.apply(points, view.epoch, shapes, features)
        return self.pipeline.apply(points, view.number, shapes, parameters, features, up)

    def outliers(self, view: View, rows: Tensor, points: Tensor, labels: Tensor) -> Tensor:
        """A view of nothing for every second of the views (B, N, 3 + F) of a batch."""
        some = self.shapes[rows[::2]]
        features = self.clouds.features
        return outliers(points[::2], labels[::2], self.seed, view.epoch, some, features)
