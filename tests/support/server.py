"""A server that tests ask, and what they ask it with: the standard library's client, and bare sockets."""

from __future__ import annotations

import base64
import http.client
import io
import json
import socket
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from PIL import Image

import mobilenets
from mobilenets.model.file import save
from mobilenets.model.model import Model

LABELS = ("paper", "scissors", "stone")
SECONDS = 60


def small_model(seed: int = 0, labels: tuple[str, ...] = LABELS) -> Model:
    """A classifier of 32×32 pixels with random parameters."""
    network = mobilenets.mobilenet_v1(width_multiplier=0.25, resolution=32, classes=len(labels))
    rng = np.random.default_rng(seed)
    parameters = {
        name: rng.uniform(0, 0.1, shape).astype(np.float32) for name, shape in network.parameter_shapes().items()
    }
    return mobilenets.Model(network, parameters, mobilenets.Classification(labels))


def write_model(path: Path, seed: int = 0, labels: tuple[str, ...] = LABELS) -> Path:
    """The same in a file, whose folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    save(small_model(seed, labels), path)
    return path


def photo(seed: int = 0, size: tuple[int, int] = (60, 50), kind: str = "JPEG") -> bytes:
    """An encoded image."""
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind)
    return file.getvalue()


def in_base64(content: bytes) -> str:
    """Base64 text."""
    return base64.b64encode(content).decode()


@dataclass(frozen=True)
class Answer:
    """What a server said."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body's JSON values."""
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """The code of the error."""
        return str(self.json["error"]["code"])


def ask(
    address: str, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
) -> Answer:
    """One request on a connection of its own."""
    connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=SECONDS)
    try:
        connection.request(method, path, body, dict(headers or {}))
        response = connection.getresponse()
        content = response.read()
        return Answer(response.status, {name.lower(): value for name, value in response.getheaders()}, content)
    finally:
        connection.close()


def post_json(address: str, path: str, value: object) -> Answer:
    """JSON values as the body of a request."""
    return ask(address, "POST", path, json.dumps(value).encode(), {"content-type": "application/json"})


def post_image(address: str, content: bytes, query: str = "", **headers: str) -> Answer:
    """One image as the body of a request."""
    return ask(address, "POST", f"/v1/predict{query}", content, {"content-type": "image/jpeg", **headers})


def form(files: Mapping[str, bytes], fields: Mapping[str, str] | None = None) -> tuple[bytes, str]:
    """A form with files, and its content type."""
    boundary = "a-boundary-of-tests"
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n'
        f"Content-Type: image/jpeg\r\n\r\n".encode()
        + content
        + b"\r\n"
        for name, content in files.items()
    ]
    parts += [
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
        for name, value in (fields or {}).items()
    ]
    return b"".join(parts) + f"--{boundary}--\r\n".encode(), f"multipart/form-data; boundary={boundary}"


def connected(address: str) -> socket.socket:
    """A bare connection."""
    parts = urlsplit(address)
    return socket.create_connection((str(parts.hostname), parts.port or 80), SECONDS)


def all_of(connection: socket.socket) -> bytes:
    """What comes until the other side closes."""
    parts = []
    with suppress(ConnectionResetError):  # it does not wait for what it does not want
        while part := connection.recv(65536):
            parts.append(part)
    return b"".join(parts)
