"""Images at addresses: fetched where the operator allows it, and nowhere else, whatever a name or a redirect says."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from tests.support.server import photo, post_json

from mobilenets.serving.addresses import Fetcher, is_public
from mobilenets.serving.limits import Limits
from mobilenets.serving.refusals import Reason, Refusal
from mobilenets.serving.server import ServerOptions, serving


class Elsewhere(BaseHTTPRequestHandler):
    """A server of images."""

    def do_GET(self) -> None:
        match self.path:
            case "/photo.jpg":
                self._send(200, photo())
            case "/moved":
                self._send(302, b"", location="/photo.jpg")
            case "/inside":
                self._send(302, b"", location="http://169.254.169.254/latest/meta-data")
            case "/round":
                self._send(302, b"", location="/round")
            case "/large":
                self._send(200, bytes(100_000))
            case "/slow":
                self._send(200, photo()[:10], length=1000)
                time.sleep(3)
            case _:
                self._send(404, b"")

    def _send(self, status: int, body: bytes, location: str | None = None, length: int | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        if location is not None:
            self.send_header("Location", location)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@contextmanager
def elsewhere() -> Iterator[int]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Elsewhere) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def fetching(model_file: Path) -> Iterator[tuple[str, str]]:
    with elsewhere() as port:
        options = ServerOptions(port=0, url_hosts=(f"127.0.0.1:{port}",), limits=Limits(body_bytes=50_000, seconds=2.0))
        with serving([model_file], options) as address:
            yield address, f"http://127.0.0.1:{port}"


@pytest.mark.parametrize("path", ["/photo.jpg", "/moved"])
def test_an_image_is_fetched_from_a_host_that_is_allowed(path: str, fetching: tuple[str, str]) -> None:
    address, root = fetching
    answer = post_json(address, "/v1/predict", {"images": [{"url": root + path, "name": "there.jpg"}]})
    assert answer.status == 200
    assert answer.json["predictions"][0]["image"] == "there.jpg"


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/inside", 403, "url_refused"),
        ("/round", 422, "url_failed"),
        ("/nothing", 422, "url_failed"),
        ("/large", 413, "body_too_large"),
        ("/slow", 422, "url_failed"),
    ],
)
def test_what_gives_no_image_is_said(path: str, status: int, code: str, fetching: tuple[str, str]) -> None:
    address, root = fetching
    answer = post_json(address, "/v1/predict", {"image": {"url": root + path}})
    assert (answer.status, answer.code) == (status, code)


def test_an_address_that_fails_does_not_harm_the_others(fetching: tuple[str, str]) -> None:
    address, root = fetching
    images = [{"url": root + "/photo.jpg"}, {"url": root + "/nothing"}]
    answer = post_json(address, "/v1/predict", {"images": images})
    assert answer.status == 200
    first, second = answer.json["predictions"]
    assert "labels" in first
    assert (second["image"], second["error"]["code"]) == ("image 2", "url_failed")


def test_by_default_nothing_is_fetched(address: str) -> None:
    answer = post_json(address, "/v1/predict", {"image": {"url": "https://example.org/cat.jpg"}})
    assert (answer.status, answer.code) == (403, "url_refused")


@pytest.mark.parametrize(
    "url",
    [
        "https://other.example/x",
        "http://images.example:8080/x",
        "https://images.example.evil.example/x",
        "https://images.example@evil.example/x",
        "https://user@images.example/x",
        "file:///etc/passwd",
        "ftp://images.example/x",
        "gopher://images.example/x",
        "https:///x",
        "https://images.example\r\nX-Evil: 1/x",
        "https://images.example:99999/x",
        "https://[::1]/x",
        "https://2130706433/x",
        "https://0x7f.1/x",
        "",
    ],
)
def test_addresses_that_are_not_of_the_hosts(url: str) -> None:
    with pytest.raises(Refusal) as refused:
        Fetcher(("images.example",), Limits()).checked(url)
    assert refused.value.reason is Reason.URL_REFUSED


@pytest.mark.parametrize("inside", ["127.0.0.1", "10.1.2.3", "169.254.169.254", "::1", "fd00::1", "::ffff:10.0.0.1"])
def test_a_name_that_leads_inside_is_refused(inside: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def resolve(*_: object, **__: object) -> list[Any]:
        return [(socket.AF_INET, 1, 6, "", (one, 80)) for one in ("93.184.216.34", inside)]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    with pytest.raises(Refusal, match="not public"):
        Fetcher(("images.example",), Limits()).checked("http://images.example/x")


def test_the_connection_goes_to_the_address_that_was_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [(socket.AF_INET, 1, 6, "", ("93.184.216.34", 80))])
    assert Fetcher(("images.example",), Limits()).checked("http://images.example/x").address == "93.184.216.34"


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("8.8.8.8", True),
        ("2606:4700::1111", True),
        ("0.0.0.0", False),
        ("100.64.0.1", False),
        ("192.168.1.1", False),
        ("224.0.0.1", False),
        ("64:ff9b::a00:1", False),
        ("2002:7f00:1::", False),
        ("fe80::1%eth0", False),
    ],
)
def test_addresses_of_the_public_internet(address: str, public: bool) -> None:
    assert is_public(address) is public
