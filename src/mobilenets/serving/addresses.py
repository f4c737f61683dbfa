"""Images at addresses on the web: fetched only from hosts that the operator named, and never from inside a network.

A name is resolved once, every address that it has must be public, and the connection is made to the address that was
checked. Redirects go through the same checks. A host that the operator wrote as an address, such as ``10.0.0.5``, may
be private: that is what they asked for.
"""

from __future__ import annotations

import asyncio
import http.client
import ipaddress
import socket
import ssl
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from urllib.parse import SplitResult, urljoin, urlsplit

from mobilenets.serving.limits import Limits
from mobilenets.serving.refusals import Reason, Refusal

THREADS = 8
MOST_REDIRECTS = 3
MOST_SECONDS = 10.0
"""For one address, with its redirects."""
PORTS = {"http": 80, "https": 443}
_CHUNK = 65_536


@dataclass(frozen=True)
class CheckedAddress:
    """An address that has been checked.

    Attributes:
        url: In parts.
        host: Name or address in it.
        port: Likewise.
        address: The numeric address that is connected to.
    """

    url: SplitResult
    host: str
    port: int
    address: str


class Fetcher:
    """Fetches images in threads of its own, so that a slow host holds up nobody else.

    Args:
        hosts: Hosts that are fetched from, as ``HOST`` (at its scheme's port) or ``HOST:PORT``.
        limits: Of which bytes and seconds bound each fetch.
    """

    def __init__(self, hosts: tuple[str, ...], limits: Limits) -> None:
        self._hosts = frozenset(host.lower() for host in hosts)
        self._limits = limits

    @cached_property
    def _threads(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(THREADS, "fetch")

    async def fetch(self, url: str) -> bytes:
        """What an address holds.

        Raises:
            Refusal: If it is not to be fetched, or gives no answer that could be an image.
        """
        if not self._hosts:
            raise Refusal(Reason.URL_REFUSED, "this server fetches no addresses; send the image itself (base64)")
        deadline = time.monotonic() + min(MOST_SECONDS, self._limits.seconds)
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._fetch, url, deadline)

    def close(self) -> None:
        """End the threads."""
        if "_threads" in vars(self):
            self._threads.shutdown(wait=False, cancel_futures=True)

    def _fetch(self, url: str, deadline: float) -> bytes:
        for _ in range(MOST_REDIRECTS + 1):
            target = self.checked(url)
            content, redirect = self._get(target, deadline)
            if redirect is None:
                return content
            url = urljoin(url, redirect)
        raise Refusal(Reason.URL_FAILED, f"{url!r:.200} is more than {MOST_REDIRECTS} redirects away")

    def checked(self, url: str) -> CheckedAddress:
        """An address, if it may be connected to.

        Raises:
            Refusal: If it may not, or its host has no address.
        """
        try:
            parts = urlsplit(url)
            host, port = (parts.hostname or "").lower(), parts.port or PORTS.get(parts.scheme, 0)
            host.encode("ascii")
        except ValueError:
            raise Refusal(Reason.URL_REFUSED, f"{url!r:.200} is not an address") from None
        if parts.scheme not in PORTS or not host or parts.username is not None or _has_controls(url):
            raise Refusal(Reason.URL_REFUSED, f"{url!r:.200} is not an address of the form https://host/path")
        usual = port == PORTS[parts.scheme]
        if f"{host}:{port}" not in self._hosts and not (usual and host in self._hosts):
            raise Refusal(
                Reason.URL_REFUSED, f"{host:.200}:{port} is not one of the hosts that this server fetches from"
            )
        return CheckedAddress(parts, host, port, _address(host, port))

    def _get(self, target: CheckedAddress, deadline: float) -> tuple[bytes, str | None]:
        """Content, or where to look for it instead."""
        connection = _connection(target, deadline)
        try:
            path = (target.url.path or "/") + (f"?{target.url.query}" if target.url.query else "")
            connection.request("GET", path, headers={"Accept": "image/*", "User-Agent": "mobilenets"})
            with connection.getresponse() as response:
                if response.status in (301, 302, 303, 307, 308):
                    return b"", response.headers.get("location", "")
                if response.status != 200:
                    raise Refusal(Reason.URL_FAILED, f"{target.host} answered with HTTP status {response.status}")
                return self._read(response, connection, target, deadline), None
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise Refusal(Reason.URL_FAILED, f"{target.host} gave no answer: {type(error).__name__}") from None
        finally:
            connection.close()

    def _read(
        self,
        response: http.client.HTTPResponse,
        connection: http.client.HTTPConnection,
        target: CheckedAddress,
        deadline: float,
    ) -> bytes:
        parts: list[bytes] = []
        length = 0
        while True:
            left = deadline - time.monotonic()
            if left <= 0:
                raise Refusal(Reason.URL_FAILED, f"{target.host} did not answer in time")
            if connection.sock is not None:
                connection.sock.settimeout(left)
            part = response.read1(_CHUNK)
            if not part:
                return b"".join(parts)
            length += len(part)
            if length > self._limits.body_bytes:
                most = self._limits.body_bytes
                raise Refusal(
                    Reason.BODY_TOO_LARGE, f"{target.host} gave more than {most:,} bytes, the most that are taken"
                )
            parts.append(part)


def _has_controls(url: str) -> bool:
    return any(character <= " " or character == "\x7f" for character in url)


def _address(host: str, port: int) -> str:
    """A numeric address of a host, all of whose addresses may be connected to."""
    try:
        ipaddress.ip_address(host)
        return host  # the operator named this very address
    except ValueError:
        pass
    try:
        found = {str(entry[4][0]) for entry in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)}
    except (OSError, UnicodeError):
        raise Refusal(Reason.URL_FAILED, f"{host:.200} has no address") from None
    if not all(is_public(address) for address in found):
        raise Refusal(Reason.URL_REFUSED, f"{host:.200} has an address that is not public")
    return min(found, key=lambda address: (":" in address, address))


def is_public(address: str) -> bool:
    """Whether a numeric address is one of the public internet, and of no translation into another.

    >>> is_public("93.184.216.34"), is_public("127.0.0.1"), is_public("::ffff:10.0.0.1"), is_public("169.254.169.254")
    (True, False, False, False)
    """
    parsed = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(parsed, ipaddress.IPv6Address):
        inner = parsed.ipv4_mapped or parsed.sixtofour or (parsed.teredo[1] if parsed.teredo else None)
        if inner is not None:
            return is_public(str(inner))
        if parsed in ipaddress.ip_network("64:ff9b::/96") or parsed in ipaddress.ip_network("64:ff9b:1::/48"):
            return False
    return parsed.is_global and not parsed.is_multicast


def _connection(target: CheckedAddress, deadline: float) -> http.client.HTTPConnection:
    """A connection to the address that was checked, under the name that was asked for."""
    seconds = max(0.001, deadline - time.monotonic())
    secure = target.url.scheme == "https"
    kind = http.client.HTTPSConnection if secure else http.client.HTTPConnection
    connection = kind(target.host, target.port, timeout=seconds)
    try:
        connection.sock = socket.create_connection((target.address, target.port), seconds)
        if secure:
            context = ssl.create_default_context()
            connection.sock = context.wrap_socket(connection.sock, server_hostname=target.host)
    except OSError as error:
        connection.close()
        raise Refusal(Reason.URL_FAILED, f"{target.host} cannot be reached: {type(error).__name__}") from None
    return connection
