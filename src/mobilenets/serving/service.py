"""What the endpoints of one server share."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from mobilenets.serving.access import Access
from mobilenets.serving.addresses import Fetcher
from mobilenets.serving.bodies import BodyReader
from mobilenets.serving.limits import Limits
from mobilenets.serving.metrics import ServerMetrics
from mobilenets.serving.models import Models
from mobilenets.serving.workers import Workers

REFRESH_SECONDS = 1.0
"""How often files of Models are looked at."""


class Service:
    """Models, the threads that run them, and what bounds and counts requests.

    Args:
        models: What is served.
        limits: What requests may cost.
        access: Who may ask.
        url_hosts: Hosts that images are fetched from, as ``HOST`` or ``HOST:PORT``.
        threads: Threads that decode and run; by default the cores that this process may use.
        refresh_seconds: How often files of Models are looked at.

    Attributes:
        stopping: Whether it is about to end, and answers that it is not ready.
        connections: Open connections; set by the server.
    """

    def __init__(
        self,
        models: Models,
        *,
        limits: Limits = Limits(),
        access: Access = Access(),
        url_hosts: tuple[str, ...] = (),
        threads: int | None = None,
        refresh_seconds: float = REFRESH_SECONDS,
    ) -> None:
        self.models = models
        self.limits = limits
        self.access = access
        self.fetcher = Fetcher(url_hosts, limits)
        self.metrics = ServerMetrics(lambda: self.workers.waiting, lambda: self.connections)
        self.workers = Workers(limits, self.metrics, threads)
        self.body = BodyReader(limits)
        self.stopping = False
        self.connections = 0
        self._refresh_seconds = refresh_seconds

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Threads run and files are followed while the block lasts; at its end what was accepted is finished."""
        loop = asyncio.get_running_loop()
        self.workers.start(loop)
        following = loop.create_task(self._follow())
        try:
            yield
        finally:
            following.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await following
            await loop.run_in_executor(None, self.workers.stop)
            self.fetcher.close()

    async def _follow(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(self._refresh_seconds)
            await loop.run_in_executor(None, self.models.refresh, self.metrics.loaded)
