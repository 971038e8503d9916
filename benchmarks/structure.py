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


def targets(file: Path, node: ast.ImportFrom) -> Iterator[Path]:
    """The files that an import leads to; a folder stands for its `__init__`."""
    folder = file.parents[node.level - 1]
    path = folder.joinpath(*(node.module or "").split(".")) if node.module else folder
    if path.with_suffix(".py").is_file():
        yield path.with_suffix(".py")
        return
    for name in node.names:
        inside = path / f"{name.name}.py"
        yield inside if inside.is_file() else path / "__init__.py"


def room(root: Path, file: Path) -> str:
    """The folder or module at the top that a file is in."""
    return file.relative_to(root).parts[0].removesuffix(".py")


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
    between: set[tuple[str, str]] = set()
    inner = 0
    for file in files:
        for node, inside in imports(ast.parse(file.read_text("utf-8"))):
            inner += inside
            between |= {(str(file), str(end)) for end in targets(file, node) if end != file}
    pairs = {(room(root, Path(start)), room(root, Path(end))) for start, end in between}
    top = ("__init__", "__main__")
    arrows = {(start, end) for start, end in pairs if start != end and not {start, end} & {*top}}
    jobs = [root / "recording.py", root / "recording" / "job.py"]
    record = next(length(ast.parse(job.read_text()), "record") for job in jobs if job.is_file())
    cut, within = circles(arrows), circles(between)
    print(f"modules at the top          {len([*root.glob('*.py')])}")
    print(f"rooms                       {len({room(root, file) for file in files})}")
    print(f"arrows between rooms        {len(arrows)}")
    print(f"arrows that close a circle  {len(cut)}")
    for circle in cut:
        print("  " + " -> ".join(circle))
    print(f"circles between files       {len(within)}")
    for circle in within:
        print("  " + " -> ".join(str(Path(each).relative_to(root)) for each in circle))
    print(f"imports inside functions    {inner}")
    print(
        f"lines of Python             {sum(len(each.read_text().splitlines()) for each in files)}"
    )
    print(f"lines of `record`           {record}, without its docstring")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "src/pointstill"))
