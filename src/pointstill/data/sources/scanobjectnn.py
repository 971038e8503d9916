"""ScanObjectNN (Uy et al., ICCV 2019): objects cut from indoor scans, 15 classes."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, NamedTuple

from ...errors import DataError
from ..source import Shape, SplitName, refuse_fold
from .modelnet import h5_shapes

CLASSES = (
    *("bag", "bin", "box", "cabinet", "chair", "desk", "display", "door", "shelf", "table"),
    *("bed", "pillow", "sink", "sofa", "toilet"),
)


class Variant(NamedTuple):
    """Where the release keeps a variant."""

    folder: str
    suffix: str


VARIANTS = {
    "obj_bg": Variant("main_split", ""),
    "obj_only": Variant("main_split_nobg", ""),
    "pb_t25": Variant("main_split", "_augmented25_norot"),
    "pb_t25_r": Variant("main_split", "_augmented25rot"),
    "pb_t50_r": Variant("main_split", "_augmentedrot"),
    "pb_t50_rs": Variant("main_split", "_augmentedrot_scale75"),
}


@dataclass(frozen=True)
class ScanObjectNN:
    """One variant of the HDF5 release, named by the last part of the path when there are several.

    OBJ_BG (objects and background), OBJ_ONLY, and PB_T50_RS (moved, turned and scaled boxes, the
    hardest, which results are reported on); its milder forms as well.
    """

    root: Path
    variant: str

    kind: ClassVar[str] = "scanobjectnn"
    classes: ClassVar[tuple[str, ...]] = CLASSES
    up: ClassVar[str] = "y"
    variants: ClassVar[tuple[str, ...]] = tuple(VARIANTS)
    any_up: ClassVar[bool] = False
    looks_for: ClassVar[str] = (
        "main_split/ or main_split_nobg/ with training_objectdataset*.h5 (ScanObjectNN)"
    )

    @classmethod
    def find(cls, path: Path, fold: int) -> "ScanObjectNN | None":
        """Recognise the folder of split folders, a split folder, or either and a variant's name.

        Raises:
            DataError: several variants and none named, or the named one is not there.
            UsageError: a fold of it.
        """
        named = path.name.lower() if not path.exists() else ""
        root = path.parent if named in VARIANTS else path
        there = [name for name in VARIANTS if any(f.is_file() for f in cls(root, name)._both())]
        if not there:
            return None
        refuse_fold(path, fold)
        chosen = named or (there[0] if len(there) == 1 else "")
        if chosen not in there:
            fault = f"has no variant {named}" if named else "has several variants"
            raise DataError(
                f"{fault} of ScanObjectNN",
                where=root,
                fix=f"end the path with one of {', '.join(there)}",
            )
        return cls(root, chosen)

    @property
    def key(self) -> str:
        """The variant."""
        return f"2 {self.variant}"

    def files(self, split: SplitName) -> list[Path]:
        """One HDF5 file a split."""
        return [self._file("training" if split == "train" else "test")]

    def shapes(self, split: SplitName) -> list[Shape]:
        """All clouds, in the order of the file."""
        return h5_shapes(self.files(split), len(CLASSES))

    def _both(self) -> list[Path]:
        return [self._file("training"), self._file("test")]

    def _file(self, part: str) -> Path:
        folder, suffix = VARIANTS[self.variant]
        inside = self.root if self.root.name == folder else self.root / folder
        return inside / f"{part}_objectdataset{suffix}.h5"
