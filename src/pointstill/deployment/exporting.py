"""Job 4: one self-contained ONNX file from a finished run, compared with torch on the spot."""

import logging
import os
import warnings
from collections.abc import Mapping
from contextlib import redirect_stdout
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime
import torch
from torch import Tensor, nn

from .._version import __version__
from ..augment import normalize, resample
from ..errors import TrainingError
from ..models.layers.nearest_neighbours import gather
from ..points.features import WIDTHS, XYZ, Features, Scale, columns, measured, width
from ..points.zorder import along_curve
from ..run import Run
from ..storage.digests import seal
from ..storage.files import check_writable, whole
from ..storage.paths import here
from ..storage.student_file import write_about
from .runtime import Classifier, CloudClassifier, SparseCloudWarning, near_origin, start

if TYPE_CHECKING:
    import onnx  # only to write: a run can be classified with without it

TOLERANCE = 1e-4
"""Largest difference of a logit between torch and ONNX Runtime, relative to the largest logit."""
LEAST = 16
"""Points of a cloud that a graph takes: as many as the neighbours of a centroid in a student."""
EXPORTABLE = "export a student such as stillnet-n"


class Deployed(nn.Module):
    """What a user's cloud goes through: normalise by all points, draw N of them, classify.

    Args:
        student: the network.
        points: N.
        features: what the student takes of each; height, if it is among them, is measured here.
        up: the axis along which it is.
        normalization: its version.
    """

    def __init__(
        self,
        student: nn.Module,
        points: int,
        features: Features = XYZ,
        up: str = "z",
        normalization: int = normalize.VERSION,
    ) -> None:
        super().__init__()
        self.student, self.points, self.features, self.up = student, points, features, up
        self.normalization = normalization

    @classmethod
    def of(cls, run: Run) -> "Deployed":
        """What a finished run was trained for."""
        points, up = run.recipe["points"], run.recipe["origin"]["up"]
        return cls(run.model(), points, run.features, up, run.normalization).eval()

    def forward(self, points: Tensor) -> Tensor:
        """(B, n, 3 + F) in any unit, any n -> (B, C) logits; without height."""
        others = points[..., 3:]
        points = points if self.features == XYZ else points[..., :3]
        if self.normalization == 1:
            points, kept = normalize.unit_sphere(points), None
            count = torch.scalar_tensor(points.shape[1], dtype=torch.int64)
            places = along_curve(points)[:, resample.stride(count[None], self.points)[0]]
        else:
            points, kept = normalize.without_strays(points)
            strides = resample.stride(kept.sum(dim=1), self.points)
            places = along_curve(points, kept).gather(1, strides)
        drawn = gather(self._joined(points, others, kept), places)
        # A student that sorts along the curve itself need not do it again.
        classify = getattr(self.student, "in_order", self.student)
        logits: Tensor = classify(drawn)
        return logits

    def _joined(self, points: Tensor, others: Tensor, kept: Tensor | None) -> Tensor:
        """Normalised points (B, n, 3) and what else is measured there, with height in its place.

        It begins at the lowest point that is no stray.
        """
        if self.features == XYZ:
            return points
        if "height" not in self.features:
            return torch.cat([points, others], 2)
        along = points[..., "xyz".index(self.up), None]
        body = along if kept is None else torch.where(kept[..., None], along, torch.inf)
        height = along - body.amin(dim=1, keepdim=True)
        place = columns(self.features)["height"].start - 3
        return torch.cat([points, others[..., :place], height, others[..., place:]], 2)


def export(run: Run | str | Path, out: str | Path) -> Path:
    """Write a finished student as ONNX, and check it against torch.

    Args:
        run: a finished run, or its folder.
        out: the .onnx file to write; replaced if it is there.

    Returns:
        The file.

    Raises:
        TrainingError: the run is not finished, its model cannot be written as ONNX, the disk
            refuses the file, or ONNX Runtime does not agree with torch.
        PointstillError: the file cannot be written there; said before the graph is made.
        UsageError: the run or the file is not on this machine.
    """
    import onnx

    path = here(out, "out")
    run = run if isinstance(run, Run) else Run(run)
    check_writable(path)
    points = run.recipe["points"]
    model = Deployed.of(run)
    proto = _onnx(model, points, run.model_name)
    about: dict[str, Any] = {
        "pointstill": __version__,
        "model": run.model_name,
        "classes": run.classes,
        "points": points,
        "fewest": run.fewest,
        "up": run.recipe["origin"]["up"],
        **_takes(run),
        "calibration": asdict(run.calibration),
        "origin": run.recipe["origin"],
        # For `evaluate` and `record`; where the data was is nobody else's business.
        "trained_on": asdict(replace(run.trained_on, who="", data=None)),
    }
    onnx.helper.set_model_props(proto, write_about(about))
    content = seal(proto.SerializeToString())
    try:
        with whole(path) as draft:
            draft.write_bytes(content)
            _compare(model, draft, points, run.scales or {})
    except OSError as error:
        raise TrainingError(
            f"cannot be written ({error.strerror})", where=path, fix="choose another --out"
        ) from error
    return path


def _takes(run: Run) -> dict[str, Any]:
    """What a run takes of each point, for the metadata: nothing where that is plain xyz."""
    about: dict[str, Any] = {"columns": run.called} if run.called else {}
    if run.features != XYZ:
        about |= {"features": list(run.features), "channels": width(measured(run.features))}
    return about


def onnx_session(model: Deployed, points: int) -> onnxruntime.InferenceSession:
    """A model in ONNX Runtime on one thread, written nowhere; see `export` for errors."""
    return start(_onnx(model, points, type(model.student).__name__).SerializeToString(), 1)


def _onnx(model: Deployed, points: int, name: str) -> "onnx.ModelProto":
    """The graph of a model, with any number of clouds and points."""
    example = torch.from_numpy(_cloud(points, 0, model.features))[None].repeat(2, 1, 1)
    dynamic = {"points": {0: torch.export.Dim("batch"), 1: torch.export.Dim("n", min=LEAST)}}
    with warnings.catch_warnings(), open(os.devnull, "w") as null, redirect_stdout(null):  # noqa: PTH123
        warnings.simplefilter("ignore")  # the exporter's talk about its own inside
        for talker in ("torch.onnx", "onnxscript"):
            logging.getLogger(talker).setLevel(logging.ERROR)
        try:
            program = torch.onnx.export(
                model,
                (example,),
                dynamo=True,
                input_names=["points"],
                output_names=["logits"],
                dynamic_shapes=dynamic,
                verbose=False,
            )
        except torch.onnx.OnnxExporterError as error:
            raise TrainingError(
                "cannot be written as ONNX (an operation that torch's exporter does not know)",
                where=name,
                fix=EXPORTABLE,
            ) from error
    assert program is not None
    proto = program.model_proto
    sizes = proto.graph.input[0].type.tensor_type.shape.dim
    if any(size.HasField("dim_value") for size in sizes[:2]):
        raise TrainingError(
            "cannot be written as ONNX (torch's exporter fixes the number of clouds or points "
            "that it takes)",
            where=name,
            fix=EXPORTABLE,
        )
    for node in proto.graph.node:  # what the exporter notes of itself: half of the file, and paths
        del node.metadata_props[:]
    return proto


@torch.inference_mode()
def _compare(model: Deployed, path: Path, points: int, scales: Mapping[str, Scale]) -> None:
    """Compare a file with torch on clouds of several sizes."""
    classifier = Classifier(path)
    features = classifier.features
    for seed, count in enumerate((LEAST, points // 2 + LEAST, points, points, 3 * points + 1)):
        cloud = _cloud(count, seed, features, scales)
        given = near_origin(cloud, False, features, model.up, normalization=model.normalization)
        given[:, :3] = cloud[:, :3] - cloud[0, :3]
        wanted = model(torch.from_numpy(given)[None])[0].numpy()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SparseCloudWarning)
            found = classifier.logits(cloud)
        worst = float(np.abs(found - wanted).max() / max(1.0, np.abs(wanted).max()))
        if not worst <= TOLERANCE:
            raise TrainingError(
                f"ONNX Runtime differs from torch by {worst:.1e} of the largest logit on a cloud "
                f"of {count} points (tolerance {TOLERANCE}), so nothing was written",
                fix="try another version of onnxruntime or torch",
            )


def _cloud(
    count: int, seed: int, features: Features = XYZ, scales: Mapping[str, Scale] | None = None
) -> np.ndarray:
    """A bumpy, lopsided shell of points in metres, away from the origin: (count, 3 + F) float32.

    Features have numbers from 0 to 1, channels such as are about their median.
    """
    draw = np.random.default_rng(seed)
    direction = draw.normal(size=(count, 3))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    radius = 1 + 0.3 * np.sin(3 * direction[:, :1] + seed) + 0.2 * direction[:, 1:2]
    parts = [direction * radius * (2, 1, 3) + (5, -3, 1)]
    for name in measured(features)[1:]:
        values = draw.uniform(size=(count, WIDTHS.get(name, 1)))
        if scale := (scales or {}).get(name):
            values = scale.median + scale.spread * (2 * values - 1)
        parts.append(values)
    return np.concatenate(parts, axis=1).astype(np.float32)


class RunClassifier(CloudClassifier):
    """A finished run, computed by torch.

    Raises:
        TrainingError: it is not finished.
        UsageError: it is not on this machine.
    """

    def __init__(self, folder: str | Path, drop_missing: bool = False, up: str | None = None):
        run = Run(folder)
        origin, points = run.recipe["origin"], run.recipe["points"]
        about = {"classes": run.classes, "up": origin["up"], "points": points, "origin": origin}
        about |= {"fewest": run.fewest, "calibration": asdict(run.calibration)} | _takes(run)
        super().__init__(about, drop_missing, up)
        self._model = Deployed.of(run)

    def _run(self, cloud: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            logits: np.ndarray = self._model(torch.from_numpy(cloud)[None])[0].numpy()
        return logits
