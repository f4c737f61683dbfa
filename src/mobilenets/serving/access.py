"""Who may ask: API keys, the Host header, and pages of other origins."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

from starlette.requests import Request

from mobilenets.errors import ServingError
from mobilenets.serving.refusals import Reason, Refusal

LEAST_KEY = 16
"""Characters of an API key, at least."""
LOOPBACK_HOSTS = ("localhost", "127.0.0.1", "::1")


def read_api_keys(path: str | PathLike[str]) -> tuple[str, ...]:
    """The API keys in a file: one a line; empty lines and those that begin with # do not count.

    Raises:
        ServingError: If the file cannot be read, holds none, or one that is too short to be secret.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else None
        raise ServingError(f"{path} cannot be read: {reason or error}") from None
    keys = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    if not keys:
        raise ServingError(f"{path} holds no API key; expected one a line")
    short = next((number for number, key in enumerate(keys, 1) if len(key) < LEAST_KEY), None)
    if short is not None:
        raise ServingError(
            f"API key {short} in {path} has fewer than {LEAST_KEY} characters; "
            "python -c 'import secrets; print(secrets.token_urlsafe())' makes one"
        )
    return tuple(keys)


@dataclass(frozen=True, eq=False)
class Access:
    """Who may ask.

    Attributes:
        keys: API keys, of which a request needs one; none where everybody may ask.
        hosts: Names that the Host header may have; none where it may have any. They keep out a page on the web that
            makes its own name point to this machine.
        origins: Origins of web pages that may read answers, or ``*``. Those of other pages are kept by the browser.
    """

    keys: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()

    def check(self, request: Request, *, public: bool) -> None:
        """Raise if a request may not be answered.

        Args:
            request: Of which the headers are read.
            public: Whether no API key is needed.

        Raises:
            Refusal: Then.
        """
        if self.hosts:
            host = host_name(request.headers.get("host", ""))
            if host not in self.hosts:
                raise Refusal(
                    Reason.UNKNOWN_HOST,
                    f"the Host header is {host!r:.80}; this server is {', '.join(self.hosts)} (see --allow-host)",
                )
        if self.keys and not public:
            given = _given_key(request)
            if given is None:
                raise Refusal(Reason.UNAUTHORIZED, "an API key is needed: Authorization: Bearer KEY, or X-API-Key: KEY")
            digest = hashlib.sha256(given.encode(errors="surrogateescape")).digest()
            right = [hmac.compare_digest(digest, hashlib.sha256(key.encode()).digest()) for key in self.keys]
            if not any(right):
                raise Refusal(Reason.UNAUTHORIZED, "the API key is not one of this server's")

    def headers(self, request: Request) -> list[tuple[bytes, bytes]]:
        """Headers of the answer that let a browser hand it to a page of another origin."""
        if not self.origins:
            return []
        origin = request.headers.get("origin")
        if origin is None or ("*" not in self.origins and origin not in self.origins):
            return [(b"vary", b"Origin")]
        return [(b"access-control-allow-origin", origin.encode("latin-1")), (b"vary", b"Origin")]


def _given_key(request: Request) -> str | None:
    scheme, _, value = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return value.strip()
    return request.headers.get("x-api-key")


def host_name(host: str) -> str:
    """A Host header without its port.

    >>> host_name("LOCALHOST:8000"), host_name("[::1]:8000"), host_name("10.0.0.1")
    ('localhost', '::1', '10.0.0.1')
    """
    host = host.strip().lower()
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.rpartition(":")[0] if host.count(":") == 1 else host


def hosts_of(bound: str, allowed: tuple[str, ...]) -> tuple[str, ...]:
    """Names that the Host header may have, for a server that listens at an address.

    >>> hosts_of("127.0.0.1", ())
    ('localhost', '127.0.0.1', '::1')
    >>> hosts_of("0.0.0.0", ()), hosts_of("0.0.0.0", ("api.example.org",))
    ((), ('api.example.org', 'localhost', '127.0.0.1', '::1'))
    """
    names = tuple(name.lower() for name in allowed)
    if "*" in names:
        return ()
    try:
        loopback = ipaddress.ip_address(bound).is_loopback
    except ValueError:
        loopback = bound in LOOPBACK_HOSTS
    return (*names, *LOOPBACK_HOSTS) if names or loopback else ()
