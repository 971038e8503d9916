"""An S3 server of the tests' own (moto), with faults on request, and a client that is not ours."""

import logging
import os
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from itertools import count
from typing import Any

import boto3
import pytest
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

from pointstill.storage import object_store

Fault = str | int | None
"""A status to answer with, or `reset` the connection, or `cut` the answer in half, or neither."""
CODES = {503: "SlowDown", 403: "AccessDenied", 429: "TooManyRequests", 301: "PermanentRedirect"}
NUMBERS = count()
"""Of buckets, which all servers of a process share."""


class Server:
    """The server. `fault` is asked about every request, by its method and path."""

    def __init__(self) -> None:
        logging.getLogger("werkzeug").setLevel(logging.CRITICAL)
        self.moto = DomainDispatcherApplication(create_backend_app)
        self.fault: Callable[[str, str], Fault] = none
        self.log: list[tuple[str, str]] = []
        self.last = ""
        self.http = make_server("127.0.0.1", 0, self, threaded=True)
        self.url = f"http://127.0.0.1:{self.http.server_port}"
        self.environment = {
            "AWS_ACCESS_KEY_ID": "me",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": self.url,
        }
        threading.Thread(target=self.http.serve_forever, daemon=True).start()
        self.client = boto3.client(
            "s3",
            endpoint_url=self.url,
            region_name="us-east-1",
            aws_access_key_id="other",
            aws_secret_access_key="other",
        )

    def __call__(self, environ: dict[str, Any], start: Callable[..., Any]) -> Any:
        ours = "Boto3" not in environ.get("HTTP_USER_AGENT", "")
        request = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        fault = self.fault(*request) if ours else None
        if ours:
            self.log.append(request)
        if fault == "reset":
            broken = environ["werkzeug.socket"]
            broken.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            broken.shutdown(socket.SHUT_RDWR)
            raise ConnectionError
        if fault == "cut":
            head: list[Any] = []
            body = b"".join(self.moto(environ, lambda *said: head.extend(said)))
            start(*head[:2])
            return [body[: len(body) // 2]]
        if fault:
            code = CODES.get(int(fault), "InternalError")
            answer = f"<Error><Code>{code}</Code><Message>no</Message></Error>".encode()
            start(f"{fault} No", [("Content-Length", str(len(answer)))])
            return [answer]
        return self.moto(environ, start)

    def bucket(self) -> str:
        """The URL of a new bucket."""
        self.last = f"bucket-{next(NUMBERS)}"
        self.client.create_bucket(Bucket=self.last)
        return f"s3://{self.last}"

    def objects(self, url: str) -> dict[str, bytes]:
        """Everything below a URL, as another client sees it."""
        bucket, _, prefix = url.removeprefix("s3://").partition("/")
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        keys = [each["Key"] for page in pages for each in page.get("Contents", [])]
        return {
            key.removeprefix(prefix).strip("/"): self.client.get_object(Bucket=bucket, Key=key)[
                "Body"
            ].read()
            for key in sorted(keys)
        }

    def put(self, url: str, content: bytes | None) -> None:
        """Put an object, or (None) remove it."""
        bucket, _, key = url.removeprefix("s3://").partition("/")
        if content is None:
            self.client.delete_object(Bucket=bucket, Key=key)
        else:
            self.client.put_object(Bucket=bucket, Key=key, Body=content)


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """The one server of all tests."""
    server = Server()
    yield server
    server.http.shutdown()


@pytest.fixture
def s3(server: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """The server, without faults, its credentials in the environment, and little patience."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    wait = {"init_backoff": timedelta(milliseconds=1), "max_backoff": timedelta(milliseconds=5)}
    monkeypatch.setitem(object_store.RETRY, "backoff", {**wait, "base": 2})
    server.log.clear()
    yield server
    server.fault = none


def none(method: str, path: str) -> Fault:
    """No fault."""
    return None


def first(times: int, fault: Fault, method: str = "", path: str = "") -> Callable[..., Fault]:
    """A fault of the first so many requests of a kind: method and a part of the path."""
    left = times

    def ask(asked: str, where: str) -> Fault:
        nonlocal left
        if method not in asked or path not in where or left <= 0:
            return None
        left -= 1
        return fault

    return ask


def always(fault: Fault, method: str = "", path: str = "") -> Callable[..., Fault]:
    """A fault that stays."""
    return first(10**9, fault, method, path)
