"""Count what the plan of the house is made of: `python benchmarks/structure.py [PACKAGE]`.

A room is a folder at the top of the package, or a module there. An arrow leads from a room to one
that it imports, anywhere in a file; imports for types alone are left out.
"""

import ast
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path


def imports(tree: ast.AST, inside: bool = False) -> Iterator[tuple[ast.ImportFrom, bool]]:
    """Relative imports of a module, and whether each stands inside a function."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            continue
        if isinstance(node, ast.ImportFrom) and node.level:
            yield node, inside
        function = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        yield from imports(node, inside or function)


def targets(root: Path, file: Path, node: ast.ImportFrom) -> Iterator[str]:
    """The rooms that an import leads to."""
    folder = file.parents[node.level - 1]
    path = folder.joinpath(*(node.module or "").split(".")) if node.module else folder
    if path != root:
        yield path.relative_to(root).parts[0]
        return
    for name in node.names:  # from . import errors
        if (root / name.name).is_dir() or (root / f"{name.name}.py").is_file():
            yield name.name


def circles(arrows: set[tuple[str, str]]) -> list[list[str]]:
    """Circles that have to be cut, one arrow each, until none is left."""
    found, left = [], set(arrows)
    while True:
        graph: dict[str, set[str]] = {}
        for start, end in left:
            graph.setdefault(start, set()).add(end)
        try:
            TopologicalSorter(graph).prepare()
        except CycleError as error:
            circle: list[str] = error.args[1][::-1]  # graphlib's goes from what is needed
            found.append(circle)
            left.discard((circle[0], circle[1]))
            continue
        return found


def length(tree: ast.AST, name: str) -> int:
    """Lines of a function, its docstring left out."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and node.name == name:
            return (node.end_lineno or 0) - node.body[1].lineno + 1
    return 0


def main(root: Path) -> None:
    """Print the counts."""
    files = sorted(root.rglob("*.py"))
    arrows, inner = set(), 0
    for file in files:
        room = file.relative_to(root).parts[0].removesuffix(".py")
        for node, inside in imports(ast.parse(file.read_text("utf-8"))):
            inner += inside
            if room not in ("__init__", "__main__"):
                arrows |= {(room, end) for end in targets(root, file, node) if end != room}
    jobs = [root / "recording.py", root / "recording" / "job.py"]
    record = next(length(ast.parse(job.read_text()), "record") for job in jobs if job.is_file())
    rooms = {file.relative_to(root).parts[0] for file in files}
    cut = circles(arrows)
    print(f"modules at the top          {len([*root.glob('*.py')])}")
    print(f"rooms                       {len(rooms)}")
    print(f"arrows between rooms        {len(arrows)}")
    print(f"arrows that close a circle  {len(cut)}")
    for circle in cut:
        print("  " + " -> ".join(circle))
    print(f"imports inside functions    {inner}")
    print(
        f"lines of Python             {sum(len(each.read_text().splitlines()) for each in files)}"
    )
    print(f"lines of `record`           {record}, without its docstring")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "src/pointstill"))
