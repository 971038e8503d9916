"""Whether a view is touched at all, as clean clouds are to stay what they are."""

from torch import Tensor

from ...errors import UsageError
from ..key import uniform


def touched(bits: Tensor, chance: float) -> Tensor:
    """Words (B,) -> bool (B,), true with a probability."""
    return uniform(bits) < chance


def check_range(name: str, option: str, value: float, most: float) -> None:
    """Refuse an option outside 0 to `most`.

    Raises:
        UsageError: it is.
    """
    if not 0 <= value <= most:
        raise UsageError(f"has {option}={value}", where=name, fix=f"choose 0 to {most:g}")
