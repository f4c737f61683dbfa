"""A request as endpoints see it, its answer, and what happens around both: limits, counts, errors as JSON."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from starlette.requests import ClientDisconnect, Request
from starlette.types import Message, Receive, Scope, Send

from mobilenets.serving.refusals import RETRY_AFTER_SECONDS, Reason, Refusal
from mobilenets.serving.service import Service

log = logging.getLogger("mobilenets.serving")

JSON, HTML = "application/json", "text/html; charset=utf-8"
CONNECTION = "mobilenets.connection"
"""Key of the scope under which a connection tells whether it is closed."""


SAFE_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
)
"""What every answer tells browsers."""


@dataclass(frozen=True)
class Answer:
    """What is sent back.

    Attributes:
        body: Its bytes.
        content_type: Their media type.
        status: HTTP status.
        headers: More of them.
    """

    body: bytes
    content_type: str = JSON
    status: int = 200
    headers: tuple[tuple[bytes, bytes], ...] = ()


def json_answer(value: object, status: int = 200, headers: tuple[tuple[bytes, bytes], ...] = ()) -> Answer:
    """An answer of JSON values."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return Answer(text.encode(errors="backslashreplace"), status=status, headers=headers)


@dataclass(frozen=True, eq=False)
class Incoming:
    """A request.

    Attributes:
        http: Its line, headers and path.
        read: Gives the body.
        deadline: By :func:`time.monotonic`, when nobody waits for the answer any more.
    """

    http: Request
    read: Callable[[], Awaitable[bytes]]
    deadline: float

    def left(self) -> bool:
        """Whether the client has gone. May be called from any thread."""
        connection = self.http.scope.get(CONNECTION)
        return bool(connection is not None and connection.is_gone())


Handler = Callable[[Service, Incoming], Awaitable[Answer]]


class Endpoint:
    """A handler as an ASGI application: what it raises becomes an answer, and everything is counted.

    Args:
        service: What the handler works with.
        name: What counts call it.
        handler: Makes the answer.
        refusal: Makes an answer of a refusal; protocols differ in that.
        public: Whether no API key is needed.
    """

    def __init__(
        self,
        service: Service,
        name: str,
        handler: Handler,
        *,
        refusal: Callable[[Refusal], Any] = lambda refused: {"error": refused.to_json()},
        public: bool = False,
    ) -> None:
        self._service = service
        self._name = name
        self._handler = handler
        self._refusal = refusal
        self._public = public

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        begin = time.monotonic()
        request = Request(scope, receive)
        with self._service.body.read_within(request) as read:
            try:
                self._service.access.check(request, public=self._public)
                answer = await self._handler(
                    self._service, Incoming(request, read, begin + self._service.limits.seconds)
                )
            except ClientDisconnect:
                return
            except Refusal as refused:
                answer = self._refused(refused)
            except Exception as error:
                log.error("%s failed", self._name, exc_info=error)
                answer = self._refused(Refusal(Reason.INTERNAL_ERROR, "the server failed; its log says why"))
        self._service.metrics.answered(self._name, answer.status, time.monotonic() - begin)
        await send_answer(answer, send, self._service.access.headers(request), head=scope["method"] == "HEAD")

    def _refused(self, refused: Refusal) -> Answer:
        self._service.metrics.refused(refused.reason)
        return refusal_answer(refused, self._refusal(refused))


def refusal_answer(refused: Refusal, body: object) -> Answer:
    """The answer to a request that is refused."""
    headers: list[tuple[bytes, bytes]] = []
    if refused.reason.status == 503:
        headers.append((b"retry-after", str(RETRY_AFTER_SECONDS).encode()))
    if refused.reason is Reason.UNAUTHORIZED:
        headers.append((b"www-authenticate", b"Bearer"))
    if refused.reason is Reason.SLOW_REQUEST:
        headers.append((b"connection", b"close"))  # the rest of the body is not waited for
    return json_answer(body, refused.reason.status, tuple(headers))


async def send_answer(answer: Answer, send: Send, headers: list[tuple[bytes, bytes]], *, head: bool = False) -> None:
    """Send an answer.

    Args:
        answer: What.
        send: Where.
        headers: Those that every answer has.
        head: Whether to leave the body out.
    """
    start: Message = {
        "type": "http.response.start",
        "status": answer.status,
        "headers": [
            (b"content-type", answer.content_type.encode()),
            (b"content-length", str(len(answer.body)).encode()),
            *SAFE_HEADERS,
            *headers,
            *answer.headers,
        ],
    }
    await send(start)
    await send({"type": "http.response.body", "body": b"" if head else answer.body})
