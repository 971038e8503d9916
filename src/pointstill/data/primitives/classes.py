"""The sixteen classes, by name."""

from .devices import guitar, lamp, laptop, monitor
from .furniture import bed, bookcase, chair, sofa, table
from .grammar import Grammar
from .vehicles import aeroplane, bicycle, car
from .vessels import bottle, bowl, mug, plant

CLASSES: dict[str, Grammar] = {
    "aeroplane": Grammar(aeroplane),
    "bed": Grammar(bed),
    "bicycle": Grammar(bicycle),
    "bookcase": Grammar(bookcase),
    "bottle": Grammar(bottle),
    "bowl": Grammar(bowl),
    "car": Grammar(car),
    "chair": Grammar(chair),
    "guitar": Grammar(guitar),
    "lamp": Grammar(lamp),
    "laptop": Grammar(laptop),
    "monitor": Grammar(monitor),
    "mug": Grammar(mug),
    "plant": Grammar(plant),
    "sofa": Grammar(sofa),
    "table": Grammar(table),
}
