"""What a request may cost, and that nobody who goes beyond it costs others their answers."""

from __future__ import annotations

import json
import struct
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.server import Answer, all_of, ask, connected, form, photo, post_image, post_json

from mobilenets.errors import ServingError
from mobilenets.serving.limits import Limits
from mobilenets.serving.refusals import Reason
from mobilenets.serving.server import ServerOptions, serving

SMALL = Limits(
    body_bytes=20_000, pixels=4000, images=3, seconds=1.0, idle_seconds=1.0, header_bytes=4000, connections=8
)


@pytest.fixture(scope="module")
def bounded(model_file: Path) -> Iterator[str]:
    with serving([model_file], ServerOptions(port=0, limits=SMALL)) as address:
        yield address


def test_a_body_of_more_bytes_than_are_taken(bounded: str) -> None:
    answer = post_image(bounded, bytes(20_001))
    assert (answer.status, answer.code) == (413, "body_too_large")
    assert "20,000 bytes" in answer.json["error"]["message"]


def test_a_body_that_does_not_say_how_long_it_is(bounded: str) -> None:
    with connected(bounded) as connection:
        connection.sendall(b"POST /v1/predict HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(3):
            connection.sendall(b"2000\r\n" + bytes(0x2000) + b"\r\n")
        assert all_of(connection).startswith(b"HTTP/1.1 413 ")


def test_an_image_of_more_pixels_than_are_decoded(bounded: str) -> None:
    assert post_image(bounded, photo(size=(80, 50))).status == 200
    answer = post_image(bounded, photo(size=(80, 51)))
    assert (answer.status, answer.code) == (413, "image_too_large")


def test_a_decompression_bomb_is_refused_by_its_header(address: str) -> None:
    chunks = (b"IHDR" + struct.pack(">IIBBBBB", 30_000, 30_000, 8, 2, 0, 0, 0), b"IDAT" + zlib.compress(bytes(100_000)))
    bomb = b"\x89PNG\r\n\x1a\n"
    for chunk in chunks:
        bomb += struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
    answer = post_image(address, bomb)
    assert (answer.status, answer.code) == (413, "image_too_large")
    assert "50 million pixels" in answer.json["error"]["message"]


def test_more_images_than_are_taken(bounded: str) -> None:
    body, content_type = form({f"{number}.jpg": photo() for number in range(4)})
    answer = ask(bounded, "POST", "/v1/predict", body, {"content-type": content_type})
    assert (answer.status, answer.code) == (413, "too_many_images")
    assert post_json(bounded, "/v1/predict", {"images": ["x"] * 4}).code == "too_many_images"


def test_a_form_of_many_fields(bounded: str) -> None:
    body = b"--x\r\nContent-Disposition: form-data; name=top\r\n\r\n1\r\n" * 100 + b"--x--\r\n"
    answer = ask(bounded, "POST", "/v1/predict", body, {"content-type": "multipart/form-data; boundary=x"})
    assert (answer.status, answer.code) == (413, "too_many_images")


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"", b""),
        (b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\nX-Slow: ", b""),
        (b"POST /v1/predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nabc", b"HTTP/1.1 408 "),
        (b"POST /v1/nothing HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nabc", b"HTTP/1.1 404 "),
        (b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\n\r\n", b"HTTP/1.1 200 "),
    ],
    ids=["nothing", "half of the headers", "half of a body", "a body that nobody reads", "no second request"],
)
def test_a_client_that_stops_sending_is_not_waited_for(sent: bytes, status: bytes, bounded: str) -> None:
    with connected(bounded) as connection:
        connection.settimeout(10)
        connection.sendall(sent)
        assert all_of(connection).startswith(status)


def test_slow_clients_do_not_hold_up_others(bounded: str) -> None:
    slow = [connected(bounded) for _ in range(5)]
    try:
        for connection in slow:
            connection.sendall(b"POST /v1/predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n")
        assert post_image(bounded, photo()).status == 200
    finally:
        for connection in slow:
            connection.close()


@pytest.mark.parametrize("header", [b"X-Long: " + b"a" * 9000, b"\r\n".join(b"X-%d: a" % n for n in range(900))])
def test_headers_without_an_end(header: bytes, bounded: str) -> None:
    with connected(bounded) as connection:
        connection.sendall(b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\n" + header)
        assert all_of(connection).startswith(b"HTTP/1.1 431 ")


def test_headers_that_are_whole_and_too_large(bounded: str) -> None:
    with connected(bounded) as connection:
        connection.sendall(b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\nX-Long: " + b"a" * 9000 + b"\r\n\r\n")
        assert all_of(connection).startswith(b"HTTP/1.1 431 ")


@pytest.mark.parametrize("sent", [b"\x16\x03\x01\x02\x00\x01\x00", b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n"])
def test_what_is_no_http_is_answered_in_json(sent: bytes, bounded: str) -> None:
    with connected(bounded) as connection:
        connection.sendall(sent)
        head, _, body = all_of(connection).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 ")
    assert json.loads(body)["error"]["code"] == "bad_request"


def test_more_connections_than_may_be_open(bounded: str) -> None:
    others = [connected(bounded) for _ in range(8)]
    try:
        with connected(bounded) as connection:
            answer = all_of(connection)
    finally:
        for other in others:
            other.close()
    assert answer.startswith(b"HTTP/1.1 503 ")
    assert b"retry-after: 1" in answer
    assert b"too_many_connections" in answer


def test_requests_beyond_the_queue_are_told_when_to_come_back(model_file: Path) -> None:
    limits = Limits(queue=2, pixels=40_000_000)
    large = photo(size=(2000, 2000), kind="PNG")
    with serving([model_file], ServerOptions(port=0, limits=limits, threads=1)) as address:
        answers: list[Answer] = []
        threads = [threading.Thread(target=lambda: answers.append(post_image(address, large))) for _ in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        refused = [answer for answer in answers if answer.status == 503]
        assert {answer.status for answer in answers} == {200, 503}
        assert {answer.code for answer in refused} == {"queue_full"}
        assert {answer.headers["retry-after"] for answer in refused} == {"1"}
        assert post_image(address, photo()).status == 200


def test_a_request_that_is_refused_leaves_its_connection_whole(model_file: Path) -> None:
    with serving([model_file], ServerOptions(port=0, limits=Limits(queue=1))) as address, connected(address) as bare:
        for _ in range(2):
            bare.sendall(b"POST /v1/predict?top=0 HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\nabc")
            assert bare.recv(65536).startswith(b"HTTP/1.1 400 ")


def test_all_bodies_together_are_bounded(model_file: Path) -> None:
    limits = Limits(memory_bytes=50_000, seconds=20)
    with serving([model_file], ServerOptions(port=0, limits=limits)) as address:
        with connected(address) as holding:
            holding.sendall(
                b"POST /v1/predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 49999\r\n\r\n" + bytes(48_000)
            )
            answers = [post_image(address, photo(size=(100, 100))) for _ in range(20)]
            assert {answer.status for answer in answers} <= {200, 503}
            assert answers[-1].code == "memory_full"
        assert ask(address, "GET", "/v1/models").status == 200


@pytest.mark.parametrize("change", [{"queue": 0}, {"seconds": -1.0}, {"max_delay": -0.1}])
def test_limits_are_above_nothing(change: dict[str, float]) -> None:
    with pytest.raises(ServingError, match=next(iter(change))):
        Limits(**change)  # type: ignore[arg-type]


def test_every_reason_has_a_status_and_a_meaning() -> None:
    for reason in Reason:
        assert 400 <= reason.status < 600
        assert reason.meaning
