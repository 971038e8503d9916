"""What the operations share: whether a view is touched at all, ranges, features that stay."""

from torch import Tensor

from ...errors import UsageError
from ..key import uniform
from ..point_features import PointFeatures


class KeepsFeatures:
    """An operation that only moves points, or chooses among them."""

    def alter_features(self, features: PointFeatures, bits: Tensor) -> PointFeatures:
        """They stay."""
        return features


def touched(bits: Tensor, chance: float) -> Tensor:
    """Words (B,) -> bool (B,), true with a probability, as clean clouds are to stay clean."""
    return uniform(bits) < chance


def check_range(name: str, option: str, value: float, most: float) -> None:
    """Refuse an option outside 0 to `most`.

    Raises:
        UsageError: it is.
    """
    if not 0 <= value <= most:
        raise UsageError(f"has {option}={value}", where=name, fix=f"choose 0 to {most:g}")
