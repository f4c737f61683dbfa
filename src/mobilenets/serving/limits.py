"""What one request and all requests together may cost a server."""

from __future__ import annotations

from dataclasses import dataclass

from mobilenets.base.arguments import check_fields
from mobilenets.errors import ServingError


@dataclass(frozen=True)
class Limits:
    """Bounds of a server. What goes beyond one is refused; see :class:`~mobilenets.serving.refusals.Reason`.

    Attributes:
        body_bytes: Bytes of one request's body.
        pixels: Pixels of one image, which its header is asked for before anything is decoded.
        images: Images of one request.
        seconds: From the first byte of a request to its answer. A body that arrives more slowly is refused, and so is
            an image that has waited as long.
        connections: Connections at a time.
        queue: Images that wait at a time.
        memory_bytes: Bytes of all bodies that are held at a time.
        max_batch: Images that are given to the network together.
        max_delay: Seconds for which an image that is decoded may wait for others of its batch. It waits only for images
            that have arrived, and only while every thread is busy.
        header_bytes: Bytes of one request's line and headers.
        idle_seconds: How long a connection may be open without a request.
        drain_seconds: How long a server that is stopping goes on accepting requests, so that whoever sends them sees
            that it stops.

    Raises:
        ServingError: If one is not above 0 (a delay may be 0).
    """

    body_bytes: int = 20_000_000
    pixels: int = 50_000_000
    images: int = 64
    seconds: float = 30.0
    connections: int = 1000
    queue: int = 256
    memory_bytes: int = 500_000_000
    max_batch: int = 8
    max_delay: float = 0.005
    header_bytes: int = 32_768
    idle_seconds: float = 30.0
    drain_seconds: float = 0.5

    def __post_init__(self) -> None:
        check_fields(self, ServingError)
        for name, value in vars(self).items():
            least = 0 if name in ("max_delay", "drain_seconds") else 1e-9
            if not value >= least:
                raise ServingError(f"{name} must be {'at least' if least == 0 else 'above'} 0, not {value}")
