"""HTTP connections that end where their client only pretends to ask."""

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

PATIENCE = 5.0
"""Seconds from the first byte of a request, or the connection, to the end of its headers."""


class PatientProtocol(H11Protocol):
    """Uvicorn's, with a limit of time for headers, which it has none of."""

    _headers: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the clock."""
        super().connection_made(transport)
        self._await_headers()

    def data_received(self, data: bytes) -> None:
        """Stop the clock where headers are complete, and start it for those that begin."""
        super().data_received(data)
        self._await_headers()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clock."""
        self._stop()
        super().connection_lost(exc)

    def _await_headers(self) -> None:
        between = self.cycle is None or self.cycle.response_complete
        if not between:
            self._stop()
        elif self._headers is None:
            self._headers = self.loop.call_later(PATIENCE, self._give_up)

    def _stop(self) -> None:
        if self._headers is not None:
            self._headers.cancel()
            self._headers = None

    def _give_up(self, *_: Any) -> None:
        self._headers = None
        if self.cycle is None or self.cycle.response_complete:
            self.transport.close()
