"""The application behind `pointstill serve`: what it answers to, by whom it is read and asked."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import PurePath
from typing import Annotated, Any, Literal

import anyio
from fastapi import FastAPI, Query, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException

from ..._version import __version__
from ...errors import DataError, PointstillError
from .answers import Classified, answer
from .gate import Gate, Refused
from .limits import Limits
from .metrics import Metrics
from .reader_process import ACCEPTED, JSON
from .reading import Readers
from .site import PageFile
from .students import Student, features_of

LOOPBACK = ("localhost", "127.0.0.1", "::1")


class Problem(BaseModel):
    """Why a request was refused."""

    what: str = Field(description="what is wrong")
    fix: str = Field(description="what to do, if that is known")


PROBLEMS: dict[int | str, dict[str, Any]] = {
    400: {"model": Problem, "description": "no upload, or one that was cut off"},
    401: {"model": Problem, "description": "no token, or a wrong one"},
    403: {"model": Problem, "description": "from a page of another site"},
    408: {"model": Problem, "description": "sent too slowly"},
    413: {"model": Problem, "description": "too large"},
    415: {"model": Problem, "description": "no kind of file that is read"},
    422: {"model": Problem, "description": "no cloud that can be classified"},
    503: {"model": Problem, "description": "busy"},
}
NUMBERS = {"type": "array", "items": {"type": "number"}}
BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {"file": {"type": "string", "format": "binary"}},
                }
            },
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["points"],
                    "properties": {
                        "points": {
                            "description": "rows of numbers; or columns by name, x, y and z among "
                            "them",
                            "anyOf": [
                                {"type": "array", "items": NUMBERS},
                                {"type": "object", "additionalProperties": NUMBERS},
                            ],
                        }
                    },
                },
                "example": {"points": [[0.1, 0.2, 0.3]]},
            },
        },
    }
}


def application(
    students: Sequence[Student],
    files: dict[str, PageFile],
    limits: Limits,
    *,
    hosts: Sequence[str] = LOOPBACK,
    token: str | None = None,
) -> Gate:
    """Make the whole application, the gate before it included.

    Args:
        students: who is asked about each upload, of one axis up.
        files: what is served beside, by its path without the first slash; `index.html` is the page.
        limits: of requests.
        hosts: names that a request may call this server.
        token: that requests have to bring, if any.
    """
    first = students[0].classifier
    readers = Readers(limits, first.up, features_of(students), first.columns)
    metrics = Metrics()

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await readers.start()
        yield
        await readers.stop()

    app = FastAPI(
        title="pointstill",
        version=__version__,
        description="Classifies point clouds with " + ", ".join(each.name for each in students),
        docs_url=None,  # these pages load from elsewhere
        redoc_url=None,
        lifespan=lifespan,
    )

    @app.post("/classify", responses=PROBLEMS, openapi_extra=BODY, response_model_exclude_none=True)
    async def classify(
        request: Request,
        top: Annotated[int, Query(ge=1, le=1000, description="how many classes to name")] = 5,
        details: Annotated[
            bool, Query(description="also which parts decided, and points to show them on")
        ] = False,
        up: Annotated[
            Literal["x", "y", "z"] | None,
            Query(description="the axis that points up, if it is not that of the students"),
        ] = None,
    ) -> Classified:
        """Classify one cloud: a file of any format that is read, or points as JSON."""
        suffix, content = await _uploaded(request)
        upload = await readers.read(suffix, content, up)
        ask = partial(answer, students, upload.table, upload.notes, top, details, up)
        return await anyio.to_thread.run_sync(ask)

    @app.get("/healthz")
    async def healthz() -> dict[str, str]:
        """Whether it answers."""
        return {"status": "ok"}

    @app.get("/metrics", response_class=Response)
    async def shown_metrics() -> Response:
        """Counters for Prometheus."""
        metrics.restarts.set(readers.restarts)
        return Response(metrics.text(), media_type="text/plain; version=0.0.4")

    @app.get("/{path:path}", include_in_schema=False)
    async def page(path: str) -> Response:
        """A file of the page, out of memory: no path leads to a disk."""
        file = files.get(path or "index.html")
        if file is None:
            raise HTTPException(404, "there is no such page")
        return Response(file.content, media_type=file.kind, headers={"cache-control": "no-cache"})

    @app.exception_handler(Refused)
    async def refused(_: Request, error: Refused) -> JSONResponse:
        return _problem(error.status, error.what, error.fix)

    @app.exception_handler(PointstillError)
    async def failed(_: Request, error: PointstillError) -> JSONResponse:
        what = error.what if error.where is None else f"{error.where} {error.what}"
        return _problem(422 if isinstance(error, DataError) else 500, what, error.fix or "")

    @app.exception_handler(HTTPException)
    async def http(_: Request, error: HTTPException) -> JSONResponse:
        return _problem(error.status_code, str(error.detail), "see /openapi.json")

    return Gate(app, limits, metrics, hosts, token)


def _problem(status: int, what: str, fix: str) -> JSONResponse:
    return JSONResponse({"what": what, "fix": fix}, status)


async def _uploaded(request: Request) -> tuple[str, bytes]:
    """The suffix and content of an upload.

    Raises:
        Refused: there is none, or of a format that is not read.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "application/json":
        return JSON, await request.body()
    if kind != "multipart/form-data":
        raise Refused(
            415, "the request is no form and no JSON", "send the file as the field `file` of a form"
        )
    async with request.form(max_files=1, max_fields=1, max_part_size=1024) as form:
        file = form.get("file")
        if not isinstance(file, UploadFile):
            raise Refused(400, "the form has no file", "send it as the field `file`")
        # Its name is looked at for what follows the last point, and is no path of anything.
        suffix = PurePath(file.filename or "").suffix.lower()
        if suffix not in ACCEPTED or suffix == JSON:
            formats = ", ".join(each[1:] for each in ACCEPTED if each != JSON)
            raise Refused(415, "the file is of no format that is read", f"send one of {formats}")
        return suffix, await file.read()
