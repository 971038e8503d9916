"""Students that come with the package: `students/NAME.onnx`, and NAME.md, the card of each."""

from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parents[1] / "students"


@dataclass(frozen=True)
class PackagedStudent:
    """An exported student of the package."""

    name: str

    @property
    def path(self) -> Path:
        """Its .onnx file."""
        return FOLDER / f"{self.name}.onnx"

    @property
    def card(self) -> Path:
        """What it was made of and how, and how good it is."""
        return FOLDER / f"{self.name}.md"

    @property
    def summary(self) -> str:
        """The first sentence of its card."""
        lines = self.card.read_text("utf-8").splitlines()
        return next(line for line in lines if line and not line.startswith("#"))


def packaged_students() -> list[PackagedStudent]:
    """All of them, by name."""
    return [PackagedStudent(path.stem) for path in sorted(FOLDER.glob("*.onnx"))]


def student_path(named: Path) -> Path:
    """The file that is meant by a path or the name of a packaged student; a path wins."""
    try:
        there = named.exists()
    except (OSError, ValueError):  # a name that is too long, or none
        there = True
    if there or str(named) not in {each.name for each in packaged_students()}:
        return named
    return PackagedStudent(str(named)).path
