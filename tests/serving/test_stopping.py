"""A server that stops, and one whose Model files change, under load: nobody loses an answer."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from tests.support.server import ask, connected, photo, post_image, small_model, write_model

from mobilenets.errors import ServingError
from mobilenets.model.file import save
from mobilenets.serving.models import Models, find_sources
from mobilenets.serving.server import ServerOptions, serving

OTHER_LABELS = ("rock", "lizard", "spock")


@contextmanager
def command(*arguments: str | Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """``mobilenets serve`` as a process, and its address."""
    process = subprocess.Popen(
        [sys.executable, "-m", "mobilenets", "serve", *map(str, arguments), "--port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("http://"), process.stderr.read() if process.stderr else ""
        yield process, line.split()[0]
    finally:
        process.kill()
        process.communicate()


class Load:
    """Clients that ask one thing after another until they are told to end."""

    def __init__(self, address: str, clients: int = 4) -> None:
        self.answers: Counter[str] = Counter()
        self.labels: Counter[str] = Counter()
        self._address = address
        self._ending = threading.Event()
        self._threads = [threading.Thread(target=self._ask) for _ in range(clients)]
        for thread in self._threads:
            thread.start()

    def _ask(self) -> None:
        content = photo()
        while not self._ending.is_set():
            try:
                answer = post_image(self._address, content)
            except ConnectionRefusedError:
                return  # nobody listens any more: the request was not accepted
            except OSError as error:
                self.answers[type(error).__name__] += 1
                return
            self.answers[str(answer.status)] += 1
            if answer.status == 200:
                self.labels[answer.json["predictions"][0]["labels"][0]["label"]] += 1

    def end(self) -> Counter[str]:
        """What came, when all have their last answer."""
        self._ending.set()
        for thread in self._threads:
            thread.join()
        return self.answers


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT])
def test_what_was_accepted_before_a_signal_is_answered(sent: signal.Signals, model_file: Path) -> None:
    with command(model_file) as (process, address):
        slow = connected(address)
        content = photo()
        head = f"POST /v1/predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(content)}\r\n\r\n".encode()
        slow.sendall(head + content[:100])
        load = Load(address)
        while load.answers["200"] < 20:
            time.sleep(0.01)
        process.send_signal(sent)
        slow.sendall(content[100:])
        assert slow.recv(65536).startswith(b"HTTP/1.1 200 ")
        slow.close()
        assert process.wait(30) == 0
        assert set(load.end()) == {"200"}


def test_a_server_that_stops_says_so_to_balancers_and_closes_connections(model_file: Path) -> None:
    with command(model_file) as (process, address):
        process.send_signal(signal.SIGTERM)
        statuses = set()
        closing = False
        while process.poll() is None:
            try:
                answer = ask(address, "GET", "/v2/health/ready")
            except OSError:
                break
            statuses.add(answer.status)
            closing = closing or answer.headers.get("connection") == "close"
        assert 503 in statuses
        assert closing
        assert process.wait(30) == 0


def test_a_second_signal_ends_what_a_client_holds_up(model_file: Path) -> None:
    with command(model_file) as (process, address):
        held = connected(address)
        held.sendall(b"POST /v1/predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99\r\n\r\n")
        ask(address, "GET", "/v2/health/ready")
        begin = time.monotonic()
        while process.poll() is None:
            process.send_signal(signal.SIGTERM)
            time.sleep(0.2)
        assert time.monotonic() - begin < 20, "the request itself might have taken 30 s"
        held.close()


def test_a_changed_file_is_served_without_losing_a_request(tmp_path: Path) -> None:
    file = write_model(tmp_path / "hands.safetensors")
    with serving([file], ServerOptions(port=0, refresh_seconds=0.05)) as address:
        load = Load(address)
        for number in range(10):
            if number % 3 == 2:
                file.unlink()
                time.sleep(0.1)
            save(small_model(number, OTHER_LABELS if number % 2 else ("paper", "scissors", "stone")), file)
            time.sleep(0.2)
        assert set(load.end()) == {"200"}
        assert len(load.labels) >= 2
        assert set(ask(address, "GET", "/v1/models").json["models"][0]["labels"]) == set(OTHER_LABELS)
        text = ask(address, "GET", "/metrics").body.decode()
        assert 'mobilenets_model_loads_total{model="hands",outcome="loaded"}' in text


def test_a_file_that_is_overwritten_in_place_or_damaged_leaves_the_old_model(tmp_path: Path) -> None:
    file = write_model(tmp_path / "hands.safetensors")
    models = Models(find_sources([file]))
    before = models.get()
    with file.open("r+b") as opened:
        opened.truncate(1000)
    seen: list[bool] = []
    for _ in range(4):
        models.refresh(lambda _, right: seen.append(right))
    assert seen == [False], "one attempt for each change"
    assert models.get().predictor is before.predictor
    save(small_model(1, OTHER_LABELS), file)
    assert models.refresh() == [], "it may still be being written"
    (new,) = models.refresh()
    assert new.predictor.model.labels == OTHER_LABELS
    assert models.get() is new


def test_names_and_versions_come_from_files_and_folders(tmp_path: Path) -> None:
    write_model(tmp_path / "pets" / "model.safetensors")
    write_model(tmp_path / "many" / "cats.safetensors")
    write_model(tmp_path / "many" / "My Dogs (2)" / "model.safetensors")
    write_model(tmp_path / "many" / "birds" / "1" / "model.safetensors")
    write_model(tmp_path / "many" / "birds" / "12" / "model.safetensors")
    write_model(tmp_path / "many" / "birds" / "notes" / "model.safetensors")
    given: list[str | Path] = [tmp_path / "pets", tmp_path / "many", f"own:3={tmp_path / 'pets' / 'model.safetensors'}"]
    found = {(one.name, one.version) for one in find_sources(given)}
    assert found == {
        ("pets", "1"),
        ("cats", "1"),
        ("My-Dogs-2", "1"),
        ("birds", "1"),
        ("birds", "12"),
        ("own", "3"),
    }
    models = Models(find_sources([tmp_path / "many"]))
    assert models.get("birds").version == "12"


def test_two_models_of_one_name_are_refused_with_the_way_out(tmp_path: Path) -> None:
    one, other = (write_model(tmp_path / folder / "pets.safetensors") for folder in "ab")
    with pytest.raises(ServingError, match=r"would both be served as pets, version 1; name one of them: OTHER="):
        find_sources([one, other])


def test_an_address_that_is_taken_is_said_at_once(model_file: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with (
            pytest.raises(ServingError, match=f"port {port}, cannot be listened at: .* choose another --port"),
            serving([model_file], ServerOptions(port=port)),
        ):
            pass
    with (
        pytest.raises(ServingError, match=r"'no\.such\.host\.invalid' is no address"),
        serving([model_file], ServerOptions(host="no.such.host.invalid", port=0)),
    ):
        pass


def test_no_file_is_left_open_by_a_reload(tmp_path: Path) -> None:
    file = write_model(tmp_path / "hands.safetensors")
    models = Models(find_sources([file]))
    before = len(os.listdir("/proc/self/fd"))
    for seed in range(20):
        save(small_model(seed), file)
        models.refresh()
        models.refresh()
    assert len(os.listdir("/proc/self/fd")) <= before + 1


def test_the_port_is_the_one_that_is_said(address: str) -> None:
    assert urlsplit(address).port not in (0, None)
