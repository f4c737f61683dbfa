"""A server as a process: it listens, says when it is ready, and finishes what it accepted before it ends."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import queue
import signal
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from os import PathLike
from types import FrameType

import uvicorn

from mobilenets.base.progress import SILENT, Progress
from mobilenets.errors import ServingError
from mobilenets.serving.access import Access, hosts_of
from mobilenets.serving.application import application
from mobilenets.serving.connection import Connection, close_overdue, connection_of
from mobilenets.serving.limits import Limits
from mobilenets.serving.models import Models, find_sources
from mobilenets.serving.service import REFRESH_SECONDS, Service

ACCEPT_SECONDS = 0.2
"""For which a server that is stopping goes on accepting what had connected before."""
GRACE_SECONDS = 1
"""How much longer than a request may take the server waits for the last answers."""


@dataclass(frozen=True, eq=False)
class ServerOptions:
    """Where a server listens, who may ask, and what requests may cost.

    Attributes:
        host: Address to listen at; ``0.0.0.0`` for all of IPv4.
        port: Likewise; 0 for any that is free.
        limits: What requests may cost.
        api_keys: Of which a request needs one; none where everybody may ask.
        hosts: Names that the Host header may have, or ``*``; by default this machine's own where the address is a
            loopback address, and any otherwise.
        origins: Origins of web pages that may read answers, or ``*``.
        url_hosts: Hosts that images are fetched from, as ``HOST`` or ``HOST:PORT``.
        threads: Threads that decode and run; by default the cores that this process may use.
        refresh_seconds: How often files of Models are looked at.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    limits: Limits = Limits()
    api_keys: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()
    url_hosts: tuple[str, ...] = ()
    threads: int | None = None
    refresh_seconds: float = REFRESH_SECONDS


def _accepted(listener: socket.socket) -> Iterator[socket.socket]:
    """Connections that wait to be accepted."""
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        connection.setblocking(False)
        yield connection


class _Server(uvicorn.Server):
    """uvicorn's server, that goes on accepting for a moment after it has been told to stop."""

    def __init__(self, service: Service, ready: Callable[[str], None]) -> None:
        self._kind = connection_of(service)
        super().__init__(_configuration(service, self._kind))
        self._service = service
        self._ready = ready
        self._running: asyncio.AbstractEventLoop | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, and say so."""
        self._running = asyncio.get_running_loop()
        await super().startup(sockets)
        self._watch = self._running.create_task(close_overdue(self.server_state.connections))
        assert sockets
        host, port = sockets[0].getsockname()[:2]
        self._ready(f"http://{f'[{host}]' if ':' in host else host}:{port}")

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Finish what was accepted, and take what the system has accepted before the address is given up."""
        assert sockets
        listener = sockets[0]
        listener.listen(0)
        await asyncio.sleep(ACCEPT_SECONDS)
        accepted = list(_accepted(listener))
        for server in self.servers:
            server.close()
        loop = asyncio.get_running_loop()
        for connection in accepted:
            await loop.connect_accepted_socket(self._protocol, connection)
        await super().shutdown(sockets)
        self._watch.cancel()

    def _protocol(self) -> asyncio.Protocol:
        made: asyncio.Protocol = self._kind(
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )
        return made

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Stop gracefully at SIGINT and SIGTERM, which has then been obeyed and is not raised again."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {one: signal.signal(one, self.handle_exit) for one in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for one, handler in before.items():
                signal.signal(one, handler)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """The first signal lets the server drain, the second ends that, the third ends it at once."""
        if self.should_exit:
            self.force_exit = True
        elif self._service.stopping or self._running is None:
            self.should_exit = True
        else:
            self.stop()

    def stop(self) -> None:
        """Stop gracefully. May be called from any thread."""
        self._service.stopping = True
        assert self._running is not None
        self._running.call_soon_threadsafe(self._running.call_later, self._service.limits.drain_seconds, self._exit)

    def _exit(self) -> None:
        self.should_exit = True


def serve(
    models: Sequence[str | PathLike[str]],
    options: ServerOptions = ServerOptions(),
    *,
    progress: Progress = SILENT,
    ready: Callable[[str], None] = lambda _: None,
) -> None:
    """Serve Models over HTTP until SIGINT or SIGTERM; what was accepted by then is answered.

    Args:
        models: See :func:`~mobilenets.serving.models.find_sources`.
        options: Where to listen, who may ask, and what requests may cost.
        progress: Receives the progress of downloads.
        ready: Called with the server's address once it listens.

    Raises:
        ServingError: If there is nothing to serve, or the address cannot be listened at.
        MobileNetsError: If a Model cannot be read or run.
    """
    with contextlib.closing(_listen(options.host, options.port)) as listener:
        service = _service(models, options, progress)
        _Server(service, ready).run([listener])


@contextlib.contextmanager
def serving(models: Sequence[str | PathLike[str]], options: ServerOptions = ServerOptions(port=0)) -> Iterator[str]:
    """Serve Models in a thread while the block lasts: in a notebook, or in the tests of a program that asks.

    Args:
        models: See :func:`~mobilenets.serving.models.find_sources`.
        options: As for :func:`serve`; by default a port that is free.

    Returns:
        The server's address, such as ``http://127.0.0.1:40123``.

    Raises:
        ServingError: If there is nothing to serve, or the address cannot be listened at.
        MobileNetsError: If a Model cannot be read or run.
    """
    started: queue.SimpleQueue[str | None] = queue.SimpleQueue()
    with contextlib.closing(_listen(options.host, options.port)) as listener:
        service = _service(models, options, SILENT)
        server = _Server(service, started.put)

        def run() -> None:
            try:
                server.run([listener])
            finally:
                started.put(None)

        thread = threading.Thread(target=run, name="server")
        thread.start()
        address = started.get()
        if address is None:
            raise ServingError("the server could not start; its log says why")
        try:
            yield address
        finally:
            server.stop()
            thread.join()


def _service(models: Sequence[str | PathLike[str]], options: ServerOptions, progress: Progress) -> Service:
    return Service(
        Models(find_sources(models), progress=progress),
        limits=options.limits,
        access=Access(options.api_keys, hosts_of(options.host, options.hosts), options.origins),
        url_hosts=options.url_hosts,
        threads=options.threads,
        refresh_seconds=options.refresh_seconds,
    )


def _configuration(service: Service, kind: type[Connection]) -> uvicorn.Config:
    """How uvicorn runs a service."""
    return uvicorn.Config(
        application(service),
        http=kind,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=True,
        proxy_headers=False,
        timeout_keep_alive=max(1, round(service.limits.idle_seconds)),
        timeout_graceful_shutdown=round(service.limits.seconds) + GRACE_SECONDS,
    )


def _listen(host: str, port: int) -> socket.socket:
    """A socket, before anything is loaded: an address that is taken is said at once.

    Raises:
        ServingError: If it is.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        listener = socket.socket(family, socket.SOCK_STREAM)
    except (OSError, UnicodeError, OverflowError) as error:
        raise ServingError(f"{host!r} is no address of this machine: {error}") from None
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(address)
        listener.listen(2048)
    except OSError as error:
        listener.close()
        hint = "; choose another --port" if error.errno in (errno.EADDRINUSE, errno.EACCES) else ""
        raise ServingError(f"{host}, port {port}, cannot be listened at: {error.strerror or error}{hint}") from None
    return listener
