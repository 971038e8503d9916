"""Before the application: who may ask, how large, how slowly, and how many at once.

Plain ASGI. The content of a request is received here, whole and bounded, so that nothing behind it
waits for a sender.
"""

import asyncio
import hmac
import json
import time
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

from .limits import Limits
from .metrics import Metrics

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Content security policy of everything that is sent: the server's own files, nothing inline."""
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}
GUARDED = ("/classify", "/site.json", "/metrics", "/openapi.json")
"""What needs the token, where there is one. The page itself holds no secret."""
DRAINED = 4
"""How many times the largest upload is received of one that is too large, and thrown away, so
that its sender gets to read why."""
TIMES = 6
"""A request may take so many times `Limits.seconds` in all, waiting and sending included."""


class Refused(Exception):
    """A request that is not answered, and why."""

    def __init__(self, status: int, what: str, fix: str):
        super().__init__(what)
        self.status, self.what, self.fix = status, what, fix


BUSY = Refused(503, "the server is busy", "send it again in a second")


class Gate:
    """An ASGI application around another.

    Args:
        app: the other.
        limits: of requests.
        metrics: where each is counted.
        hosts: names that a request may call this server; any where there is a token, as that is
            what keeps strangers out then.
        token: that requests have to bring, if any.
    """

    def __init__(
        self,
        app: App,
        limits: Limits,
        metrics: Metrics,
        hosts: Iterable[str],
        token: str | None,
    ):
        self.app, self.limits, self.metrics = app, limits, metrics
        self.hosts, self.token = frozenset(hosts), token
        self.inside = 0
        self.slots = asyncio.Semaphore(limits.readers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or say why not."""
        if scope["type"] == "lifespan":
            return await self.app(scope, receive, send)
        if scope["type"] != "http":
            return await send({"type": "websocket.close"})
        started = time.perf_counter()
        status = 0

        async def told(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                names = {name for name, _ in message["headers"]}
                added = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
                message["headers"] = [
                    *message["headers"],
                    *(each for each in added if each[0] not in names),
                ]
            await send(message)

        try:
            async with asyncio.timeout(TIMES * self.limits.seconds):
                try:
                    await self._admitted(scope, receive, told)
                except Refused as refused:
                    await _refuse(refused, told)
        except TimeoutError:
            if not status:  # else it was told, but does not read what is sent
                await _refuse(BUSY, told)
        finally:
            self.metrics.request(scope["path"], status or 500, time.perf_counter() - started)

    async def _admitted(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = dict(scope["headers"])
        self._check_sender(scope, headers)
        if scope["method"] != "POST":
            return await self.app(scope, receive, send)
        if self.inside >= self.limits.waiting + self.limits.readers:
            raise BUSY
        self.inside += 1
        self.metrics.waiting.set(self.inside)
        try:
            content = await self._received(headers, receive)
            async with self.slots:
                await self.app(scope, _whole(content, receive), send)
        finally:
            self.inside -= 1
            self.metrics.waiting.set(self.inside)

    def _check_sender(self, scope: Scope, headers: dict[bytes, bytes]) -> None:
        """Refuse pages of other sites, and whoever lacks the token.

        Raises:
            Refused: why.
        """
        host = headers.get(b"host", b"").decode("latin-1")
        if self.token is None and _name(host) not in self.hosts:
            raise Refused(403, "the request is for another host", "use the address as printed")
        origin = headers.get(b"origin")
        if origin is not None and origin.decode("latin-1").partition("://")[2] != host:
            raise Refused(403, "the request is of a page of another site", "open the server's own")
        if self.token is not None and scope["path"] in GUARDED:
            wanted = f"Bearer {self.token}".encode()
            if not hmac.compare_digest(headers.get(b"authorization", b""), wanted):
                raise Refused(
                    401, "the token is missing or wrong", "send Authorization: Bearer TOKEN"
                )

    async def _received(self, headers: dict[bytes, bytes], receive: Receive) -> bytes:
        """The whole content of a request.

        Raises:
            Refused: it is too large, or comes too slowly.
        """
        most = self.limits.upload_bytes
        large = Refused(
            413,
            f"the request has more than {self.limits.upload} MiB",
            "send a smaller file, such as every tenth point",
        )
        announced = headers.get(b"content-length", b"0")
        size = int(announced) if announced.isdigit() else 0
        # Who asks before sending need not send; who announces too much is not listened to.
        if size > DRAINED * most or (size > most and b"expect" in headers):
            raise large
        parts: list[bytes] = []
        size = 0
        try:
            async with asyncio.timeout(self.limits.seconds):
                more = True
                while more and size <= DRAINED * most:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise Refused(400, "the request was cut off", "send it again")
                    part = message.get("body", b"")
                    size += len(part)
                    if size <= most:
                        parts.append(part)
                    else:
                        parts.clear()
                    more = message.get("more_body", False)
        except TimeoutError:
            raise Refused(
                408,
                f"the request did not arrive within {self.limits.seconds} s",
                "send a smaller file",
            ) from None
        if size > most:
            raise large
        return b"".join(parts)


def _name(host: str) -> str:
    """A host without its port: localhost:80 -> localhost, [::1]:80 -> ::1."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0].lower()


def _whole(content: bytes, receive: Receive) -> Receive:
    """What gives a content that was received already, and then whatever comes."""
    given = False

    async def give() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": content, "more_body": False}

    return give


async def _refuse(refused: Refused, send: Send) -> None:
    """Send an error in the form of `app.Problem`."""
    content = json.dumps({"what": refused.what, "fix": refused.fix}).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(content)).encode()),
    ]
    if refused.status == 503:
        headers.append((b"retry-after", b"1"))
    if refused.status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    if refused.status in (408, 413):
        headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": refused.status, "headers": headers})
    await send({"type": "http.response.body", "body": content})
