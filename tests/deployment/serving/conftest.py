"""A student behind a server on this machine."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import Thread

import pytest

pytest.importorskip("fastapi", reason="the extra `serve` is not installed")

import httpx
import numpy as np
import uvicorn
from measured_balls import measured_ball

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
    """`serve(token=..., others=[...], upload=1, ...)`: a client of a server with such limits."""
    with ExitStack() as stack:

        def start(
            token: str | None = None, others: list[Student] | None = None, **limits: int
        ) -> httpx.Client:
            bounds, asked = Limits(**{"readers": 1} | limits), others or students
            files = with_kinds(page_files(asked, [each[1:] for each in ACCEPTED], "server"))
            app = application(asked, files, bounds, token=token)
            return stack.enter_context(running(app, bounds))

        yield start


@pytest.fixture(scope="session")
def measuring(once: Callable[..., Path]) -> Path:
    """A student of points with normals, doppler (v_r in its files) and time; it has a threshold."""
    from pointstill.data import open_dataset
    from pointstill.deployment.exporting import export
    from pointstill.recipe import TrainRecipe
    from pointstill.training.jobs import train

    def make(out: Path) -> None:
        for split, count in (("train", 60), ("test", 6)):
            for i in range(count):
                name = Path(split, ("away", "nearer")[i % 2], f"{i:02}.npy")
                (file := out.parent / "data" / name).parent.mkdir(parents=True, exist_ok=True)
                np.save(file, measured_ball(i % 2, i + len(split)))
        features = ("xyz", "normal", "doppler", "time")
        columns = {"doppler": "v_r"}
        data = open_dataset(out.parent / "data", features=features, columns=columns)
        recipe = TrainRecipe(epochs=4, points=48, batch_size=8, val=0.5, threads=1)
        run = train("stillnet-n", data, out=out.parent / "run", recipe=recipe, quiet=True)
        export(run, out)

    return once("measuring/measuring.onnx", make)


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
