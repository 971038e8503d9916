"""`pointstill serve`: the application on an address."""

import asyncio
import ipaddress
import os
import secrets
import socket
from collections.abc import Sequence
from pathlib import Path

import uvicorn

from ...errors import PointstillError, UsageError
from .app import LOOPBACK, application
from .connections import PatientProtocol
from .gate import Gate
from .limits import Limits
from .reader_process import ACCEPTED, JSON
from .site import page_files, with_kinds
from .students import open_students

TOKEN = "POINTSTILL_TOKEN"
"""Where the token of a server is looked for; a command line is seen by all users of a machine."""
LEAST_TOKEN = 16
MOST_CONNECTIONS = 1024
BACKLOG = 1024
"""Connections that the system holds until the server takes them."""


def serve(paths: Sequence[Path], host: str, port: int, limits: Limits) -> None:
    """Serve students until a signal ends it.

    Args:
        paths: exported students.
        host: address or name to listen at.
        port: 0 for any that is free.
        limits: of requests.

    Raises:
        UsageError: a student or the address is none.
        PointstillError: nobody may listen there.
    """
    students = open_students(paths)
    token = _token(host)
    formats = [suffix[1:] for suffix in ACCEPTED if suffix != JSON]
    files = with_kinds(page_files(students, formats, "server"))
    app = application(students, files, limits, hosts=(*LOOPBACK, host), token=token)
    with listening(host, port) as listener:
        address = listener.getsockname()
        shown = f"[{address[0]}]" if ":" in address[0] else address[0]
        link = f"http://{shown}:{address[1]}/"
        print(f"serving {', '.join(each.name for each in students)} at {link}", flush=True)
        if token:
            print(f"the page with its token: {link}#token={token}", flush=True)
        if not any(name.startswith("vendor/three/") for name in files):
            print(
                "note: three.js is not installed, so the page shows no clouds: install the wheel "
                "pointstill-web, or run `make web` in a checkout",
                flush=True,
            )
        asyncio.run(uvicorn.Server(configured(app, limits)).serve(sockets=[listener]))


def configured(app: Gate, limits: Limits) -> uvicorn.Config:
    """How connections are kept, and given up."""
    return uvicorn.Config(
        app,
        http=PatientProtocol,
        ws="none",
        log_level="critical",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=5,
        timeout_graceful_shutdown=limits.seconds,
        limit_concurrency=MOST_CONNECTIONS,
        backlog=BACKLOG,
    )


def _token(host: str) -> str | None:
    """What requests have to bring: nothing on this machine alone, unless it is set.

    Raises:
        UsageError: one that is set is too short.
    """
    token = os.environ.get(TOKEN)
    if token is None:
        return None if is_loopback(host) else secrets.token_urlsafe(24)
    if len(token) < LEAST_TOKEN or not token.isascii() or not token.isprintable():
        raise UsageError(
            f"{TOKEN} is no token", fix=f"set {LEAST_TOKEN} or more printable ASCII characters"
        )
    return token


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address.

    >>> is_loopback("127.0.0.1"), is_loopback("0.0.0.0"), is_loopback("localhost")
    (True, False, True)
    """
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def listening(host: str, port: int) -> socket.socket:
    """A socket that listens.

    Raises:
        UsageError: no such address, or port.
        PointstillError: it is taken, or not this machine's.
    """
    if not 0 <= port <= 65535:
        raise UsageError(f"--port is {port}", fix="choose 1 to 65535, or 0 for any that is free")
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        raise UsageError(f"--host is {host!r}, which is no address", fix="give another") from error
    family, kind, protocol, _, address = found[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(BACKLOG)  # who comes before all is ready waits
    except OSError as error:
        listener.close()
        raise PointstillError(
            f"nobody may listen at {host}:{port} ({error.strerror})", fix="choose another --port"
        ) from error
    return listener
