"""The verbs that show a student to people: a server, and a page that needs none."""

from pathlib import Path
from shlex import quote
from typing import Annotated

from ..deployment.serving.limits import Limits
from ..errors import UsageError
from .shared_options import Flat

LIMITS = Limits()


def serve(
    students: list[Path],
    /,
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    limits: Annotated[Limits, Flat] = LIMITS,
) -> None:
    """Serve exported students: a page to drop clouds on, and POST /classify for programs.

    Needs the extra `serve`. On another address than this machine's own a token is asked for: it is
    printed, or taken from POINTSTILL_TOKEN.

    **Examples**

        pointstill serve student.onnx
        pointstill serve nano.onnx small.onnx --port 9000
        pointstill serve student.onnx --host 0.0.0.0 --upload 64 --readers 4

    Parameters
    ----------
    students:
        Exported .onnx files, which answer side by side.
    host:
        Address to listen at; by default nobody else can reach it.
    port:
        Port to listen at; 0 for any that is free.
    """
    _needs_server()
    from ..deployment.serving.server import serve as job

    job(students, host, port, limits)


def page(students: list[Path], /, *, out: Path) -> None:
    """Write a page on which the browser itself classifies: a folder for any web server.

    **Examples**

        pointstill page student.onnx --out site
        python -m http.server --directory site --bind 127.0.0.1

    Parameters
    ----------
    students:
        Exported .onnx files, which answer side by side.
    out:
        Folder to write.
    """
    from ..deployment.serving.site import write_site
    from ..deployment.serving.students import open_students
    from ..progress import size

    written = write_site(open_students(students), out)
    total = sum(path.stat().st_size for path in written)
    print(f"wrote {out} ({len(written)} files, {size(total)})")
    print(f"next: python -m http.server --bind 127.0.0.1 --directory {quote(str(out))}")


def _needs_server() -> None:
    """Say how to get what the server is made of, where it is not installed.

    Raises:
        UsageError: it is not.
    """
    from importlib.util import find_spec

    if not all(map(find_spec, ("fastapi", "uvicorn", "python_multipart", "prometheus_client"))):
        raise UsageError("this command needs a server", fix="pip install 'pointstill[serve]'")
