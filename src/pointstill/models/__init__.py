"""Architectures, one whole file each. Every model maps points (B, N, 3) to logits (B, classes).

Those in `FEATURED` take features after xyz as well, (B, N, channels).
"""

from collections.abc import Callable
from difflib import get_close_matches

from torch import nn

from ..errors import UsageError
from .dgcnn import DGCNN
from .gdanet import GDANet
from .point_mae import PointMAE
from .pointmlp import pointmlp_elite, pointmlp_full
from .pointnet import PointNet
from .pointnet2 import PointNet2
from .pointnext import pointnext_s, pointnext_s_c32
from .stillnet import stillnet_m, stillnet_n, stillnet_s

MODELS: dict[str, Callable[..., nn.Module]] = {
    "pointnet": PointNet,
    "pointnet2-ssg": PointNet2,
    "dgcnn": DGCNN,
    "gdanet": GDANet,
    "pointmlp": pointmlp_full,
    "pointmlp-elite": pointmlp_elite,
    "point-mae": PointMAE,
    "pointnext-s": pointnext_s,
    "pointnext-s-c32": pointnext_s_c32,
    "stillnet-n": stillnet_n,
    "stillnet-s": stillnet_s,
    "stillnet-m": stillnet_m,
}
FEATURED = ("pointnet", "pointnet2-ssg", "stillnet-n", "stillnet-s", "stillnet-m")
"""Those that take more numbers a point than x, y and z."""


def build_model(name: str, classes: int, channels: int = 3) -> nn.Module:
    """A freshly initialised model from `MODELS` for so many classes and numbers a point.

    Raises:
        UsageError: there is no model of that name, and the message has the nearest names; or it
            takes xyz alone.
    """
    if name not in MODELS:
        near = get_close_matches(name.lower(), MODELS, n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(MODELS)}"
        raise UsageError(f"no model is called {name!r}", fix=hint)
    if channels == 3:
        return MODELS[name](classes)
    if name not in FEATURED:
        raise UsageError(
            "takes xyz alone",
            where=f"model {name}",
            fix=f"leave out --features, or choose {' or '.join(FEATURED)}",
        )
    return MODELS[name](classes, channels)
