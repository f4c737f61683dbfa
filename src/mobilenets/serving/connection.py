"""One connection, which may neither stay silent for ever nor send headers without an end."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from mobilenets.serving.refusals import Reason, Refusal
from mobilenets.serving.requests import CONNECTION, Answer, refusal_answer
from mobilenets.serving.service import Service

LINGER_SECONDS = 0.3
"""How long an idle connection of a server that is stopping is left open."""


class Connection(HttpToolsProtocol):
    """A connection of uvicorn's with bounds on what comes before a request is whole.

    uvicorn bounds the time between requests only. Here a request's headers are bounded in bytes and time, a body that
    nobody reads any more in time, and connections in number.
    """

    service: Service
    """Whose limits hold; set in a subclass for each server."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for a request, or refuse the connection where there are too many."""
        super().connection_made(transport)
        self._header_bytes = 0
        self._in_headers = True
        self._headers_too_large = False
        self._waits_since = time.monotonic()
        self.service.connections = len(self.connections)
        if len(self.connections) > self.service.limits.connections:
            self._refuse(Refusal(Reason.TOO_MANY_CONNECTIONS, "as many connections are open as may"))

    def connection_lost(self, exc: Exception | None) -> None:
        """Count it out."""
        super().connection_lost(exc)
        self.service.connections = len(self.connections)

    def is_gone(self) -> bool:
        """Whether the client has closed it. May be called from any thread."""
        return self.parser is None or self.transport.is_closing()

    def data_received(self, data: bytes) -> None:
        """Take bytes, as long as headers keep within their bound."""
        if self._in_headers:
            if not self._header_bytes:
                self._waits_since = time.monotonic()
            self._header_bytes += len(data)
        super().data_received(data)
        if self._in_headers and self._header_bytes > self._most_header_bytes:
            self._refuse_headers()

    def on_message_begin(self) -> None:
        """The first byte of a request."""
        super().on_message_begin()
        scope: dict[str, Any] = self.scope  # type: ignore[assignment]
        scope[CONNECTION] = self

    def on_headers_complete(self) -> None:
        """The last byte of its headers."""
        self._in_headers = False
        self._waits_since = time.monotonic()
        if len(self.url) + sum(len(name) + len(value) for name, value in self.headers) > self._most_header_bytes:
            self._headers_too_large = True
            raise httptools.HttpParserError("headers are too large")
        super().on_headers_complete()
        if self.service.stopping:
            self.cycle.keep_alive = False

    def on_message_complete(self) -> None:
        """The last byte of its body."""
        super().on_message_complete()
        self._in_headers = True
        self._header_bytes = 0
        self._waits_since = time.monotonic()

    def is_overdue(self, now: float) -> bool:
        """Whether a request has been arriving, or has not begun to, for longer than it may."""
        limits = self.service.limits
        busy = self.cycle is not None and not self.cycle.response_complete
        if busy and (self._in_headers or self.cycle.more_body):
            return False  # it waits for us, or its endpoint minds the time of its body
        begun = not self._in_headers or self._header_bytes > 0
        return now - self._waits_since > (limits.seconds if begun else limits.idle_seconds)

    def shutdown(self) -> None:
        """Finish what was begun. A request that is on its way has a moment to arrive."""
        if self.cycle is None or self.cycle.response_complete:
            self.loop.call_later(LINGER_SECONDS, self._close_idle)
        else:
            super().shutdown()

    def _close_idle(self) -> None:
        if self._header_bytes == 0 and (self.cycle is None or self.cycle.response_complete):
            self.transport.close()

    def abandon(self) -> None:
        """Close it at once."""
        self.transport.abort()

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP, as JSON."""
        if self._headers_too_large:
            self._refuse_headers()
            return
        self._refuse(Refusal(Reason.BAD_REQUEST, "this is not a request of HTTP/1.1"))

    @property
    def _most_header_bytes(self) -> int:
        return self.service.limits.header_bytes

    def _refuse_headers(self) -> None:
        message = f"a request's line and headers have at most {self._most_header_bytes:,} bytes"
        self._refuse(Refusal(Reason.HEADERS_TOO_LARGE, message))

    def _refuse(self, refused: Refusal) -> None:
        if self.transport.is_closing():
            return
        self.service.metrics.refused(refused.reason)
        self.transport.write(_raw(refusal_answer(refused, {"error": refused.to_json()})))
        self.transport.close()


def _raw(answer: Answer) -> bytes:
    """An answer as bytes of HTTP, after which the connection is closed."""
    headers = [(b"content-type", answer.content_type.encode()), (b"content-length", str(len(answer.body)).encode())]
    lines = [b"HTTP/1.1 %d Refused" % answer.status]
    lines += [name + b": " + value for name, value in (*headers, *answer.headers, (b"connection", b"close"))]
    return b"\r\n".join(lines) + b"\r\n\r\n" + answer.body


def connection_of(service: Service) -> type[Connection]:
    """The class of a server's connections."""
    return type("ServiceConnection", (Connection,), {"service": service})


async def close_overdue(connections: set[Any], seconds: float = 1.0) -> None:
    """Close connections that hold a place and send nothing; runs until it is cancelled."""
    while True:
        await asyncio.sleep(seconds)
        now = time.monotonic()
        for connection in list(connections):
            if isinstance(connection, Connection) and connection.is_overdue(now):
                connection.abandon()
