"""Downloads, from a server on this machine: whole, broken off, changed, unreachable."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from tests.conftest import shared

from mobilenets.errors import FormatError
from mobilenets.formats import download
from mobilenets.formats.download import fetch, fetch_from_hub
from mobilenets.formats.importing import import_model

CONTENT = bytes(range(256)) * 4096


class Server:
    """Files by path; ``missing`` says of beginnings of paths why the hub lacks them; ``break_after`` cuts the next
    answers short."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {"/weights.h5": CONTENT}
        self.missing: dict[str, str] = {}
        self.break_after: list[int] = []
        self.ranges: list[str | None] = []
        self.requests = 0
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_HEAD(self) -> None:
                self.answer(body=False)

            def do_GET(self) -> None:
                self.answer(body=True)

            def answer(self, *, body: bool) -> None:
                server.requests += 1
                content = server.files.get(self.path.partition("?")[0])
                if content is None:
                    reasons = [why for path, why in server.missing.items() if self.path.startswith(path)]
                    self.send_response(404)
                    self.send_header("X-Error-Code", reasons[0] if reasons else "EntryNotFound")
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                    return
                etag = f'"{hashlib.sha256(content).hexdigest()}"'
                wanted = self.headers.get("Range")
                if body:
                    server.ranges.append(wanted)
                start = 0
                if wanted and self.headers.get("If-Range", etag) == etag:
                    start = int(wanted.removeprefix("bytes=").partition("-")[0])
                self.send_response(206 if start else 200)
                if start:
                    self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
                self.send_header("ETag", etag)
                self.send_header("X-Repo-Commit", "c0ffee" * 6 + "abcd")
                self.send_header("Content-Length", str(len(content) - start))
                self.end_headers()
                if body:
                    cut = server.break_after.pop(0) if server.break_after else len(content)
                    self.wfile.write(content[start : start + cut])
                    self.close_connection = True

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self._http.server_port}"
        self._thread = threading.Thread(target=self._http.serve_forever, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("MOBILENETS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    running = Server()
    yield running
    running.close()


def test_a_file_is_fetched_once(server: Server) -> None:
    first = fetch(f"{server.address}/weights.h5")
    assert first.read_bytes() == CONTENT
    assert first.name == "weights.h5"
    assert fetch(f"{server.address}/weights.h5") == first
    assert server.requests == 1
    record = json.loads(first.with_name("weights.h5.json").read_text())
    assert record == {
        "address": f"{server.address}/weights.h5",
        "size": len(CONTENT),
        "sha256": hashlib.sha256(CONTENT).hexdigest(),
    }


def test_a_broken_download_goes_on_where_it_stopped(server: Server) -> None:
    server.break_after = [300_000, 400_000]
    assert fetch(f"{server.address}/weights.h5").read_bytes() == CONTENT
    assert server.ranges == [None, "bytes=300000-", "bytes=700000-"]


def test_a_download_goes_on_in_the_next_run(server: Server) -> None:
    server.break_after = [100_000] * download.ATTEMPTS
    with pytest.raises(FormatError, match="cannot be reached: the connection broke after 300000 of 1048576 bytes"):
        fetch(f"{server.address}/weights.h5")
    assert fetch(f"{server.address}/weights.h5").read_bytes() == CONTENT
    assert server.ranges[-1] == "bytes=300000-"


def test_a_file_that_changed_in_between_is_fetched_anew(server: Server) -> None:
    server.break_after = [100_000] * download.ATTEMPTS
    with pytest.raises(FormatError, match="connection broke"):
        fetch(f"{server.address}/weights.h5")
    server.files["/weights.h5"] = CONTENT[::-1]
    assert fetch(f"{server.address}/weights.h5").read_bytes() == CONTENT[::-1]


def test_what_is_not_expected_is_refused_and_deleted(server: Server, tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="SHA-256 abc was expected"):
        fetch(f"{server.address}/weights.h5", sha256="abc")
    with pytest.raises(FormatError, match="12 bytes was expected"):
        fetch(f"{server.address}/weights.h5", size=12)
    assert [path.name for path in tmp_path.rglob("weights*")] == []


def test_a_file_that_changed_in_the_cache_is_noticed(server: Server) -> None:
    path = fetch(f"{server.address}/weights.h5")
    path.write_bytes(CONTENT[:-1] + b"!")
    with pytest.raises(FormatError, match=r"was expected\. Delete it to fetch it again"):
        fetch(f"{server.address}/weights.h5")


def test_an_unreachable_network_is_one_line(server: Server) -> None:
    address = f"{server.address}/weights.h5"
    server.close()
    with pytest.raises(FormatError, match="cannot be reached") as caught:
        fetch(address)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_said(server: Server) -> None:
    with pytest.raises(FormatError, match="answers 404"):
        fetch(f"{server.address}/nothing.h5")


def test_plain_http_is_for_this_machine_only(server: Server) -> None:
    with pytest.raises(FormatError, match="is not an https address"):
        fetch("http://example.com/weights.h5")


def test_a_real_network_is_imported_from_an_address(server: Server) -> None:
    real = shared("weights/mobilenet_v1_0.25_224.h5").read_bytes()
    server.files["/mobilenet_2_5_224_tf.h5"] = real
    model = import_model(f"{server.address}/mobilenet_2_5_224_tf.h5")
    assert model.labels[0] == "tench, Tinca tinca"
    assert model.provenance["imported"]["sha256"] == hashlib.sha256(real).hexdigest()
    assert model.provenance["imported"]["source"] == f"{server.address}/mobilenet_2_5_224_tf.h5"


def test_the_hub_gives_a_folder_named_by_its_commit(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("huggingface_hub")
    from huggingface_hub import constants

    monkeypatch.delenv("MOBILENETS_OFFLINE")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    base = "/timm/mobilenetv1_100/resolve/v1"
    server.files |= {f"{base}/config.json": b"{}", f"{base}/model.safetensors": b"weights"}
    folder = fetch_from_hub("timm/mobilenetv1_100", revision="v1", endpoint=server.address)
    assert folder.name == "c0ffee" * 6 + "abcd"
    assert (folder / "model.safetensors").read_bytes() == b"weights"
    server.close()
    pinned = fetch_from_hub("timm/mobilenetv1_100", revision=folder.name, endpoint=server.address)
    assert pinned == folder
    with pytest.raises(FormatError, match="the hub cannot be reached, and its cache does not hold"):
        fetch_from_hub("timm/mobilenetv1_125", endpoint=server.address)


def test_what_the_hub_lacks_is_named(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("huggingface_hub")
    from huggingface_hub import constants

    monkeypatch.delenv("MOBILENETS_OFFLINE")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    server.missing = {"/timm/known/": "RevisionNotFound", "/timm/unknown/": "RepoNotFound"}
    with pytest.raises(FormatError, match=r"^hub:timm/known has no revision v2$"):
        fetch_from_hub("timm/known", revision="v2", endpoint=server.address)
    with pytest.raises(FormatError, match=r"^hub:timm/unknown: the hub has no such repository, or keeps it private$"):
        fetch_from_hub("timm/unknown", endpoint=server.address)
