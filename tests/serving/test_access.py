"""Who may ask, and that no answer tells what is not asked for."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.server import all_of, ask, connected, photo, post_image, write_model

from mobilenets.errors import ServingError
from mobilenets.serving.access import read_api_keys
from mobilenets.serving.server import ServerOptions, serving

KEY, OTHER = "first-key-of-the-tests", "second-key-of-the-tests"


@pytest.fixture(scope="module")
def keyed(model_file: Path) -> Iterator[str]:
    options = ServerOptions(port=0, api_keys=(KEY, OTHER), origins=("https://shop.example",))
    with serving([model_file], options) as address:
        yield address


@pytest.mark.parametrize("path", ["/v1/models", "/metrics", "/v2", "/v2/models/hands", "/v2/models/hands/ready"])
def test_without_a_key_nothing_is_told(path: str, keyed: str) -> None:
    answer = ask(keyed, "GET", path)
    assert answer.status == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert ask(keyed, "GET", path, headers={"authorization": f"Bearer {OTHER}"}).status == 200
    assert ask(keyed, "GET", path, headers={"x-api-key": KEY}).status == 200


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": "Bearer wrong"},
        {"authorization": f"Basic {KEY}"},
        {"x-api-key": ""},
        {"x-api-key": "ключ"},
    ],
)
def test_a_wrong_key_is_none(headers: dict[str, str], keyed: str) -> None:
    sent = {name: value.encode().decode("latin-1") for name, value in headers.items()}
    assert post_image(keyed, photo(), **sent).status == 401


@pytest.mark.parametrize("path", ["/", "/docs", "/openapi.json", "/v2/health/live", "/v2/health/ready"])
def test_the_page_and_probes_need_no_key(path: str, keyed: str) -> None:
    assert ask(keyed, "GET", path).status == 200


def test_keys_come_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text(f"# of the shop\n{KEY}\n\n  {OTHER}\n")
    assert read_api_keys(file) == (KEY, OTHER)
    file.write_text("short\n")
    with pytest.raises(ServingError, match=r"API key 1 in .* fewer than 16 characters"):
        read_api_keys(file)
    file.write_text("# none\n")
    with pytest.raises(ServingError, match="holds no API key"):
        read_api_keys(file)
    with pytest.raises(ServingError, match="cannot be read: No such file"):
        read_api_keys(tmp_path / "nowhere")


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example:80", ""])
def test_a_name_that_was_made_to_point_here_is_refused(host: str, address: str) -> None:
    answer = ask(address, "GET", "/v1/models", headers={"host": host})
    assert (answer.status, answer.code) == (421, "unknown_host")


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:1", "[::1]:8000", "LOCALHOST:8000"])
def test_this_machines_own_names_are_taken(host: str, address: str) -> None:
    assert ask(address, "GET", "/v1/models", headers={"host": host}).status == 200


def test_names_that_are_allowed(model_file: Path) -> None:
    with serving([model_file], ServerOptions(port=0, hosts=("api.example",))) as address:
        assert ask(address, "GET", "/v1/models", headers={"host": "API.example:443"}).status == 200
        assert ask(address, "GET", "/v1/models", headers={"host": "other.example"}).status == 421
    with serving([model_file], ServerOptions(port=0, hosts=("*",))) as address:
        assert ask(address, "GET", "/v1/models", headers={"host": "other.example"}).status == 200


def test_pages_of_other_origins_are_told_nothing_by_default(address: str) -> None:
    answer = ask(address, "GET", "/v1/models", headers={"origin": "https://evil.example"})
    assert "access-control-allow-origin" not in answer.headers
    preflight = ask(address, "OPTIONS", "/v1/predict", headers={"origin": "https://evil.example"})
    assert preflight.status == 405
    assert "access-control-allow-origin" not in preflight.headers


def test_an_origin_that_is_allowed_may_ask(keyed: str) -> None:
    sent = {"origin": "https://shop.example", "access-control-request-method": "POST"}
    preflight = ask(keyed, "OPTIONS", "/v1/predict", headers=sent)
    assert preflight.status == 204
    assert preflight.headers["access-control-allow-origin"] == "https://shop.example"
    assert "authorization" in preflight.headers["access-control-allow-headers"]
    answer = post_image(keyed, photo(), origin="https://shop.example", authorization=f"Bearer {KEY}")
    assert answer.headers["access-control-allow-origin"] == "https://shop.example"
    other = post_image(keyed, photo(), origin="https://evil.example", authorization=f"Bearer {KEY}")
    assert "access-control-allow-origin" not in other.headers


@pytest.mark.parametrize(
    "path",
    [
        "/../../etc/passwd",
        "/v1/models/..%2f..%2fetc%2fpasswd/versions/1/report",
        "/v1/models/hands/versions/..%2f1/report",
        "/page.html",
        "//etc/passwd",
        "/v2/models/%00/ready",
        "/v2/models/" + "a" * 5000,
    ],
)
def test_paths_lead_to_no_files(path: str, address: str) -> None:
    with connected(address) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        head, _, body = all_of(connection).partition(b"\r\n\r\n")
    assert head.split()[1] in (b"404", b"400")
    assert "error" in json.loads(body)


def test_no_answer_holds_a_path_of_the_machine_or_a_traceback(tmp_path: Path) -> None:
    file = write_model(tmp_path / "secret-folder" / "hands" / "model.safetensors")
    with serving([file]) as address:
        answers = [
            ask(address, "GET", path) for path in ("/v1/models", "/v2/models/hands", "/openapi.json", "/metrics")
        ]
        answers += [post_image(address, content) for content in (b"", b"x", photo()[:200], b"\0" * 1000)]
        answers += [ask(address, "GET", "/v1/models/hands/versions/1/report")]
    for answer in answers:
        text = answer.body.decode() + str(dict(answer.headers))
        assert "secret-folder" not in text
        assert "Traceback" not in text
        assert "site-packages" not in text
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "server" not in answer.headers
