"""Load on an HTTP server, bounded in clients and time: threads with a connection each, in a process of their own.

    python benchmarks/http_load.py http://127.0.0.1:8000/v1/predict folder-of-jpegs --clients 16 --seconds 10
    python benchmarks/http_load.py … --rate 200      at so many requests a second, whether they are answered or not

Prints JSON: answers by status, requests that were lost, requests a second, and quantiles of the time to an answer
of 200. At a rate, the time counts from when the request was due, so that a server that falls behind cannot hide it.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import socket
import threading
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

SECONDS = 60.0
"""For which an answer is waited."""
MOST_CLIENTS = 512


def request_bytes(address: str, body: bytes, content_type: str) -> bytes:
    """A whole request."""
    parts = urlsplit(address)
    path = parts.path + (f"?{parts.query}" if parts.query else "")
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Type: {content_type}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


class Client:
    """One connection, made again where the server closes it between requests."""

    def __init__(self, address: str) -> None:
        parts = urlsplit(address)
        self._target = (str(parts.hostname), parts.port or 80)
        self._socket: socket.socket | None = None

    def ask(self, request: bytes) -> tuple[int, bytes]:
        """Status and body of the answer.

        Raises:
            OSError: If there is none.
        """
        if self._socket is None:
            self._socket = socket.create_connection(self._target, SECONDS)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            self._socket.sendall(request)
            return self._answer(self._socket)
        except OSError:
            self.close()
            raise

    def close(self) -> None:
        """Close the connection."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _answer(self, connection: socket.socket) -> tuple[int, bytes]:
        received = b""
        while b"\r\n\r\n" not in received:
            received += self._more(connection)
        head, _, body = received.partition(b"\r\n\r\n")
        lines = head.lower().split(b"\r\n")
        length = next(int(line[15:]) for line in lines if line.startswith(b"content-length:"))
        while len(body) < length:
            body += self._more(connection)
        if b"connection: close" in lines:
            self.close()
        return int(lines[0].split()[1]), body

    @staticmethod
    def _more(connection: socket.socket) -> bytes:
        part = connection.recv(65536)
        if not part:
            raise ConnectionResetError("the server closed the connection")
        return part


def load(
    address: str,
    bodies: Sequence[bytes],
    *,
    clients: int,
    seconds: float,
    rate: float | None = None,
    content_type: str = "image/jpeg",
) -> dict[str, Any]:
    """Put load on a server.

    Args:
        address: Where to post.
        bodies: What, in turn.
        clients: Threads, each with one request at a time.
        seconds: For how long requests are begun.
        rate: Requests a second, or None for as many as are answered.
        content_type: Of the bodies.
    """
    requests = [request_bytes(address, body, content_type) for body in bodies]
    numbers = itertools.count()
    statuses: Counter[str] = Counter()
    times: list[float] = []
    sent_times: list[float] = []
    begin = time.monotonic()

    def work() -> None:
        client = Client(address)
        own_statuses: Counter[str] = Counter()
        own_times: list[float] = []
        own_sent_times: list[float] = []
        while True:
            number = next(numbers)
            due = time.monotonic() if rate is None else begin + number / rate
            if due - begin >= seconds:
                break
            time.sleep(max(0.0, due - time.monotonic()))
            sent = time.monotonic()
            try:
                status, _ = client.ask(requests[number % len(requests)])
                own_statuses[str(status)] += 1
                if status == 200:
                    own_times.append(time.monotonic() - due)
                    own_sent_times.append(time.monotonic() - sent)
            except OSError:
                own_statuses["lost"] += 1
        client.close()
        statuses.update(own_statuses)
        times.extend(own_times)
        sent_times.extend(own_sent_times)

    threads = [threading.Thread(target=work) for _ in range(min(clients, MOST_CLIENTS))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    times.sort()
    sent_times.sort()
    return {
        "statuses": dict(sorted(statuses.items())),
        "requests_per_second": statuses["200"] / (time.monotonic() - begin),
        "processor_seconds": sum(os.times()[:2]),
        **{f"p{share}_ms": quantile(times, share / 100) * 1e3 for share in (50, 90, 99)},
        "p99_from_sending_ms": quantile(sent_times, 0.99) * 1e3,
    }


def quantile(ordered: Sequence[float], share: float) -> float:
    """A quantile of values in order, or NaN of none.

    >>> quantile([1.0, 2.0, 3.0, 4.0], 0.5)
    2.0
    """
    return ordered[max(0, min(len(ordered), round(share * len(ordered))) - 1)] if ordered else float("nan")


def main() -> None:
    """Read the command line, put the load on, and print what came."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("address")
    parser.add_argument("images", type=Path, help="folder of JPEGs")
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--rate", type=float)
    given = parser.parse_args()
    bodies = [path.read_bytes() for path in sorted(given.images.iterdir()) if path.suffix.lower() in (".jpg", ".jpeg")]
    print(json.dumps(load(given.address, bodies, clients=given.clients, seconds=given.seconds, rate=given.rate)))


if __name__ == "__main__":
    main()
