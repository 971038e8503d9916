"""The sixteen classes, by name."""

from .devices import GUITAR, LAMP, LAPTOP, MONITOR
from .furniture import BED, BOOKCASE, CHAIR, SOFA, TABLE
from .grammar import Grammar
from .vehicles import AEROPLANE, BICYCLE, CAR
from .vessels import BOTTLE, BOWL, MUG, PLANT

CLASSES: dict[str, Grammar] = {
    "aeroplane": AEROPLANE,
    "bed": BED,
    "bicycle": BICYCLE,
    "bookcase": BOOKCASE,
    "bottle": BOTTLE,
    "bowl": BOWL,
    "car": CAR,
    "chair": CHAIR,
    "guitar": GUITAR,
    "lamp": LAMP,
    "laptop": LAPTOP,
    "monitor": MONITOR,
    "mug": MUG,
    "plant": PLANT,
    "sofa": SOFA,
    "table": TABLE,
}
