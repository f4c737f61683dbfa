"""Reading the bodies of requests, within the bounds of one request and of all together."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from starlette.requests import ClientDisconnect, Request

from mobilenets.serving.limits import Limits
from mobilenets.serving.refusals import Reason, Refusal

Parsed = TypeVar("Parsed")


class BodyReader:
    """Reads bodies, within the bounds of one request and of all together.

    Args:
        limits: Those bounds.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._held = 0

    @contextmanager
    def read_within(self, request: Request) -> Iterator[Callable[[], Awaitable[bytes]]]:
        """Lend what reads the body; its bytes count as held until the block ends."""
        own = 0

        async def read() -> bytes:
            nonlocal own
            self._check_head(request)
            parts: list[bytes] = []
            while True:
                message = await request.receive()
                if message["type"] == "http.disconnect":
                    raise ClientDisconnect
                part: bytes = message.get("body", b"")
                own += len(part)
                self._held += len(part)
                self._check(own)
                parts.append(part)
                if not message.get("more_body"):
                    return parts[0] if len(parts) == 1 else b"".join(parts)

        try:
            yield lambda: _in_time(read(), self._limits.seconds)
        finally:
            self._held -= own

    def _check_head(self, request: Request) -> None:
        encoding = request.headers.get("content-encoding", "identity")
        if encoding.lower() != "identity":
            raise Refusal(Reason.UNSUPPORTED_MEDIA_TYPE, f"the body is encoded as {encoding:.40}; send it as it is")
        length = request.headers.get("content-length", "")
        if length.isdecimal():
            self._check(int(length[:20]))

    def _check(self, length: int) -> None:
        if length > self._limits.body_bytes:
            most = self._limits.body_bytes
            raise Refusal(Reason.BODY_TOO_LARGE, f"the body has more than {most:,} bytes, the most that are taken")
        if self._held > self._limits.memory_bytes:
            raise Refusal(Reason.MEMORY_FULL, "as many bytes of requests are held as may be")


LARGE_BODY = 200_000
"""Bytes that take more than a millisecond to parse: that is done in a thread, and other requests go on."""


async def parsed_aside(body: bytes, parse: Callable[..., Parsed], *arguments: object) -> Parsed:
    """What a function makes of a body, in a thread where the body is large.

    Args:
        body: Its first argument.
        parse: The function.
        arguments: The others.
    """
    if len(body) < LARGE_BODY:
        return parse(body, *arguments)
    return await asyncio.get_running_loop().run_in_executor(None, parse, body, *arguments)


async def _in_time(reading: Awaitable[bytes], seconds: float) -> bytes:
    try:
        async with asyncio.timeout(seconds):
            return await reading
    except TimeoutError:
        raise Refusal(Reason.SLOW_REQUEST, f"the body did not arrive within {seconds:g} s") from None
