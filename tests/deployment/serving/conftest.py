"""A student behind a server on this machine."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import Thread

import pytest

pytest.importorskip("fastapi", reason="the extra `serve` is not installed")

import httpx
import uvicorn

from pointstill.deployment.serving.app import application
from pointstill.deployment.serving.gate import Gate
from pointstill.deployment.serving.limits import Limits
from pointstill.deployment.serving.reader_process import ACCEPTED
from pointstill.deployment.serving.server import configured, listening
from pointstill.deployment.serving.site import page_files, with_kinds
from pointstill.deployment.serving.students import Student, open_students

Serve = Callable[..., httpx.Client]


@pytest.fixture(scope="module")
def students(student_onnx: Path) -> list[Student]:
    return open_students([student_onnx])


@pytest.fixture(scope="module")
def serve(students: list[Student]) -> Iterator[Serve]:
    """`serve(token=..., upload=1, ...)`: a client of a server with such limits."""
    with ExitStack() as stack:

        def start(token: str | None = None, **limits: int) -> httpx.Client:
            bounds = Limits(**{"readers": 1} | limits)
            files = with_kinds(page_files(students, [each[1:] for each in ACCEPTED], "server"))
            app = application(students, files, bounds, token=token)
            return stack.enter_context(running(app, bounds))

        yield start


@contextmanager
def running(app: Gate, limits: Limits) -> Iterator[httpx.Client]:
    """A client of an application that listens in a thread."""
    with listening("127.0.0.1", 0) as listener:
        server = uvicorn.Server(configured(app, limits))
        thread = Thread(target=server.run, args=([listener],))
        thread.start()
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.01)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        with httpx.Client(base_url=url, timeout=60) as client:
            yield client
        server.should_exit = True
        thread.join()


@pytest.fixture(scope="module")
def client(serve: Serve) -> httpx.Client:
    return serve()
