"""From clouds to views: normalise, draw points, augment; sampling is apart from applying."""

import ast
import hashlib
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, ClassVar, Protocol

import numpy as np
import torch
from torch import Tensor

from ..errors import RecordsError, UsageError
from ..points.features import XYZ, Features
from . import normalize, resample
from .clouds import Clouds
from .dropout import Dropout
from .jitter import Jitter
from .key import Key
from .mirror import Mirror
from .mix import Mix, Partners
from .point_features import PointFeatures, join_features, split_features
from .rotate import Rotate
from .scale import Scale
from .shift import Shift


class Operation(Protocol):
    """One augmentation. With `columns` it is shape-level and recorded; without, point-level."""

    name: ClassVar[str]
    version: ClassVar[int]
    columns: ClassVar[tuple[str, ...]]

    def lanes(self, points: int) -> int:
        """Random words a shape needs."""

    def sample(self, bits: Tensor) -> Tensor:
        """Words (B, lanes) -> parameters, (B, columns) if shape-level."""

    def apply(self, points: Tensor, parameters: Tensor) -> Tensor:
        """Points (B, N, 3) and parameters -> points (B, N, 3). Draws nothing."""

    def alter_features(self, features: PointFeatures, parameters: Tensor, up: int) -> PointFeatures:
        """What becomes of normals (B, N, 3) and the like; `up` is the axis of height, 0 to 2."""


OPERATIONS: dict[str, type[Any]] = {
    "scale": Scale,
    "shift": Shift,
    "rotate": Rotate,
    "mirror": Mirror,
    "jitter": Jitter,
    "dropout": Dropout,
    "mix": Mix,
}


def parse(text: str, up: str, known: dict[str, type[Any]] = OPERATIONS) -> tuple[Any, ...]:
    """Operations from a string such as `scale,rotate(axis=any),jitter(sigma=0.02)`.

    Args:
        text: names, comma separated, with options in brackets; empty or `none` for none.
        up: the data's up axis, x, y or z, in place of an option that says up.
        known: the operations by name.

    Raises:
        UsageError: an unknown operation or option, or one out of its range.
    """
    if text.strip() in ("", "none"):
        return ()
    try:
        tree = ast.parse(f"[{text}]", mode="eval").body
        assert isinstance(tree, ast.List)
        return tuple(_operation(node, up, known) for node in tree.elts)
    except (SyntaxError, AssertionError, ValueError) as error:
        raise UsageError(
            f"augment {text!r} cannot be read",
            fix="write names with options in brackets, such as scale,rotate(axis=any)",
        ) from error


def _operation(node: ast.expr, up: str, known: dict[str, type[Any]]) -> Any:
    call = node if isinstance(node, ast.Call) else ast.Call(node, [], [])
    name = call.func.id if isinstance(call.func, ast.Name) else ast.unparse(call.func)
    if name not in known:
        raise UsageError(f"unknown augmentation {name!r}", fix=f"choose from {', '.join(known)}")
    operation = known[name](**_options(name, call, known[name]))
    # Which axis is up is for the data to say.
    of_data = {option: up for option, value in _values(operation).items() if value == "up"}
    return replace(operation, **of_data)


def _options(name: str, call: ast.Call, operation: type[Any]) -> dict[str, Any]:
    """The options in the brackets of an operation, each of the kind of its field."""
    known = {field.name: field.type for field in fields(operation)}
    if call.args or any(keyword.arg is None for keyword in call.keywords):
        example = f", such as {name}({next(iter(known))}=...)" if known else ""
        raise UsageError("has options without a name", where=name, fix=f"write them out{example}")
    options: dict[str, Any] = {}
    for keyword in call.keywords:
        option, value = str(keyword.arg), keyword.value
        if option not in known:
            raise UsageError(
                f"has no option {option!r}",
                where=name,
                fix=f"choose from {', '.join(known)}" if known else "leave it out",
            )
        options[option] = value.id if isinstance(value, ast.Name) else ast.literal_eval(value)
        if not _is_of_kind(options[option], known[option]):
            raise UsageError(
                f"has {option}={options[option]}, which is of the wrong kind",
                where=name,
                fix=f"give {'a word' if known[option] is str else 'a finite number'}",
            )
    return options


def _values(operation: Any) -> dict[str, Any]:
    """The options of an operation, all of them."""
    values: dict[str, Any] = asdict(operation)
    return values


def _is_of_kind(value: Any, kind: Any) -> bool:
    if kind is str:
        return isinstance(value, str)
    # True is an int to Python, and 1e999 is infinite.
    return type(value) in (int, float) and abs(value) < math.inf


@dataclass(frozen=True)
class Pipeline:
    """A seed and a row of operations: view v of shape s is the same wherever it is made."""

    operations: tuple[Operation, ...]
    seed: int
    split: str = "train"
    normalization: int = normalize.VERSION
    """Version of the normalisation that its clouds have."""

    def __post_init__(self) -> None:
        if any(isinstance(operation, Mix) for operation in self.operations[1:]):
            raise UsageError(
                "stands behind another operation, and shapes are mixed before any moves them",
                where=Mix.name,
                fix="write it first, and once",
            )

    @classmethod
    def restore(cls, description: dict[str, Any]) -> "Pipeline":
        """The pipeline of a description, as this version of the code makes it.

        Raises:
            RecordsError: a normalisation, an operation or an option that this version does not
                have, or refuses.
        """
        normalization = description["normalize"]["version"]
        if normalization not in normalize.VERSIONS:
            raise RecordsError(
                "is not in this pointstill",
                where=f"normalize@{normalization}",
                fix="install the one that recorded it, or record again",
            )
        operations = []
        for each in description["operations"]:
            options = {name: each[name] for name in each.keys() - {"name", "version"}}
            try:
                operations.append(OPERATIONS[each["name"]](**options))
            except UsageError as error:
                raise RecordsError(
                    error.what, where=f"augmentation {error.where}", fix="record again"
                ) from error
            except (KeyError, TypeError) as error:
                raise RecordsError(
                    "is not in this pointstill",
                    where=f"augmentation {each['name']}@{each['version']}",
                    fix="install the one that recorded it, or record again",
                ) from error
        seed, split = description["seed"], description["split"]
        try:
            return cls(tuple(operations), seed, split, normalization)
        except UsageError as error:
            raise RecordsError(
                error.what, where=f"augmentation {error.where}", fix="record again"
            ) from error

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the recorded parameters; a repeated operation's carry its number."""
        return tuple(
            column if tag.endswith("#0") else f"{column}{tag[tag.index('#') :]}"
            for tag, operation in self._tagged()
            for column in operation.columns
        )

    @property
    def mix(self) -> Mix | None:
        """The mix that the views begin with, if they do."""
        first: Any = self.operations[0] if self.operations else None
        return first if isinstance(first, Mix) else None

    def partners(self, view: int, shapes: Tensor, total: int) -> Partners | None:
        """Whom shapes (B,) are mixed with in a view, in a split of `total`; None without a mix."""
        if self.mix is None:
            return None
        return self.mix.partners(self._key("mix#0", view, shapes), total)

    def describe(self) -> dict[str, Any]:
        """Everything that decides a view, as plain data: what the records must agree on."""
        return {
            "seed": self.seed,
            "split": self.split,
            "normalize": {"version": self.normalization},
            "resample": {"version": resample.VERSION},
            "operations": [
                {"name": operation.name, "version": operation.version, **_values(operation)}
                for operation in self.operations
            ],
        }

    def sample(self, view: int, shapes: Tensor) -> Tensor:
        """The shape-level parameters of one view: (B, columns) float32, drawn on the CPU."""
        drawn = [torch.empty(len(shapes), 0)]
        for tag, operation in self._tagged():
            if operation.columns:
                bits = self._key(tag, view, shapes.cpu()).bits(operation.lanes(0))
                drawn.append(operation.sample(bits))
        return torch.cat(drawn, dim=1)

    def replay(
        self,
        clouds: Clouds,
        view: int,
        shapes: Tensor,
        parameters: Tensor,
        count: int,
        indices: Tensor | None = None,
    ) -> Tensor:
        """Make the points of a view again: (B, count, 3 + F) on the device of the clouds.

        Args:
            clouds: the split's clouds.
            view: number of the view.
            shapes: (B,) indices in the whole split, on the clouds' device.
            parameters: (B, columns), from `sample` or from records.
            count: points per view.
            indices: (B, count), from `indices`, if they are drawn already.
        """
        points = self.draw(clouds, view, shapes, count, indices)
        return self.apply(points, view, shapes, parameters, clouds.features, clouds.up)

    def draw(
        self,
        clouds: Clouds,
        view: int,
        shapes: Tensor,
        count: int,
        indices: Tensor | None = None,
    ) -> Tensor:
        """The points of a view before its operations: normalised, and mixed where it is a mix.

        Args:
            clouds: the split's clouds.
            view: number of the view.
            shapes: (B,) indices in the whole split, on the clouds' device.
            count: points per view.
            indices: (B, count), from `indices`, if they are drawn already.

        Returns:
            (B, count, 3 + F).
        """
        if indices is None:
            indices = self.indices(clouds, view, shapes, count)
        points = clouds.take(shapes, indices)
        mix, partners = self.mix, self.partners(view, shapes, len(clouds))
        if mix is None or partners is None:
            return points
        rows = partners.share.nonzero()[:, 0]
        if not len(rows):
            return points
        others = partners.shapes[rows]
        points[rows] = mix.apply(
            points[rows],
            clouds.take(others, self.indices(clouds, view, others, count)),
            partners.share[rows],
            self._key("mix#0", view, shapes[rows]).bits(mix.lanes(count)),
        )
        return points

    def apply(
        self,
        points: Tensor,
        view: int,
        shapes: Tensor,
        parameters: Tensor,
        features: Features = XYZ,
        up: str = "z",
    ) -> Tensor:
        """The operations of a view, but a mix, on points that are drawn and normalised already.

        Args:
            points: (B, N, 3 + F), from `draw`.
            view: number of the view.
            shapes: (B,) indices in the whole split.
            parameters: (B, columns).
            features: what the numbers of a point are; xyz does not depend on the others.
            up: the axis along which height is measured.
        """
        count = points.shape[1]
        points, others = split_features(points, features)
        for tag, operation in self._tagged():
            if isinstance(operation, Mix):
                continue
            if width := len(operation.columns):
                mine, parameters = parameters[:, :width], parameters[:, width:]
            else:
                mine = operation.sample(self._key(tag, view, shapes).bits(operation.lanes(count)))
            points = operation.apply(points, mine)
            if others:
                others = operation.alter_features(others, mine, "xyz".index(up))
        return join_features(points, others)

    def indices(self, clouds: Clouds, view: int, shapes: Tensor, count: int) -> Tensor:
        """Which points of each cloud the view shows: (B, count).

        Raises:
            UsageError: the clouds are normalised by another version than the views.
        """
        if clouds.version != self.normalization:
            raise UsageError(
                f"clouds of normalization {clouds.version} have not the views of normalization "
                f"{self.normalization}",
                fix="make them with Clouds.of(split, version=pipeline.normalization)",
            )
        key = self._key("resample#0", view, shapes)
        return resample.sample(key, clouds.sizes[shapes], count)

    def proof(self, indices: Tensor, view: int, shapes: Tensor, parameters: Tensor) -> bytes:
        """SHA-256 of what a replay must hit exactly on every machine.

        Point indices (B, N), from `indices`; the bits of the shape-level parameters; and the
        integer draws of the point-level operations.
        """
        count = indices.shape[1]
        digest = hashlib.sha256(_bytes(indices.int()))
        digest.update(_bytes(parameters))
        for tag, operation in self._tagged():
            if not operation.columns:
                bits = self._key(tag, view, shapes).bits(operation.lanes(count))
                digest.update(_bytes(bits))
        return digest.digest()

    def _key(self, tag: str, view: int, shapes: Tensor) -> Key:
        return Key(self.seed, self.split, view, shapes, tag)

    def _tagged(self) -> Sequence[tuple[str, Operation]]:
        seen: Counter[str] = Counter()
        tagged = []
        for operation in self.operations:
            tagged.append((f"{operation.name}#{seen[operation.name]}", operation))
            seen[operation.name] += 1
        return tagged


def moments(points: Tensor) -> Tensor:
    """Mean point, mean distance from the origin and mean features of points (B, N, 3 + F).

    Returns:
        (B, 4 + F) float32.
    """
    xyz = points[..., :3].contiguous()
    norms = torch.linalg.vector_norm(xyz, dim=2)
    means = (xyz.mean(dim=1), norms.mean(dim=1, keepdim=True), points[..., 3:].mean(dim=1))
    return torch.cat(means, dim=1)


def _bytes(values: Tensor) -> bytes:
    data: bytes = np.ascontiguousarray(values.cpu().numpy()).tobytes()
    return data
