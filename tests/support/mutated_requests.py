"""Requests to a server that are nearly right: bodies with bytes changed, cut, repeated or exchanged."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass

from tests.support.server import form, in_base64, photo

BINARY = "inference-header-content-length"
CONTENT_TYPES = (
    "image/jpeg",
    "application/json",
    "multipart/form-data; boundary=a-boundary-of-tests",
    "multipart/form-data; boundary=",
    "application/octet-stream",
    "text/plain; charset=\xff",
    ";;;",
)


@dataclass(frozen=True)
class Request:
    """One request of POST."""

    path: str
    headers: dict[str, str]
    body: bytes


def right_requests(name: str) -> list[Request]:
    """Requests of every kind, about a Model of that name and 32×32 pixels."""
    infer = f"/v2/models/{name}/infer"
    several, content_type = form({f"{kind}.x": photo(kind=kind) for kind in ("JPEG", "PNG", "WEBP")}, {"top": "2"})
    as_json = {"images": [in_base64(photo()), {"base64": in_base64(photo(1)), "name": "x"}], "top": 2, "model": name}
    encoded = {"name": "image", "shape": [1], "datatype": "BYTES", "data": [in_base64(photo())]}
    numbers = {"name": "pixels", "shape": [1, 32, 32, 3], "datatype": "UINT8", "data": [7] * 3072}
    raw = len(photo()).to_bytes(4, "little") + photo()
    binary = {"name": "image", "shape": [1], "datatype": "BYTES", "parameters": {"binary_data_size": len(raw)}}
    text = json.dumps({"inputs": [binary], "outputs": [{"name": "prediction"}]}).encode()
    kinds = ("JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP", "PPM", "ICO", "TGA")
    images = [Request("/v1/predict", {"content-type": "image/x"}, photo(kind=kind)) for kind in kinds]
    return [
        *images,
        Request("/v1/predict?top=3", {"content-type": content_type}, several),
        Request("/v1/predict", {"content-type": "application/json"}, json.dumps(as_json).encode()),
        Request(infer, {"content-type": "application/json"}, json.dumps({"inputs": [encoded]}).encode()),
        Request(infer, {"content-type": "application/json"}, json.dumps({"inputs": [numbers]}).encode()),
        Request(infer, {BINARY: str(len(text))}, text + raw),
        Request(infer, {BINARY: "0"}, photo()),
    ]


def mutated_requests(name: str, count: int, seed: int) -> Iterator[Request]:
    """Requests of :func:`right_requests` with something wrong in each."""
    rng = random.Random(seed)
    right = right_requests(name)
    for _ in range(count):
        request = rng.choice(right)
        body = bytearray(request.body)
        for _ in range(rng.choice((1, 1, 2, 8, 64))):
            _mutate(body, rng)
        headers = dict(request.headers)
        if rng.random() < 0.1:
            headers["content-type"] = rng.choice(CONTENT_TYPES)
        if BINARY in headers and rng.random() < 0.3:
            headers[BINARY] = rng.choice(("", "-1", "1", "99999999999999999999", str(len(body)), "x"))
        path = request.path
        if rng.random() < 0.05:
            path = rng.choice((path + "?top=-1", "/v1/predict?model=%00&version=%ff", path.replace("models", "model")))
        yield Request(path, headers, bytes(body))


def _mutate(body: bytearray, rng: random.Random) -> None:
    place = rng.randrange(len(body) + 1)
    match rng.randrange(6):
        case 0 if place < len(body):
            body[place] = rng.randrange(256)
        case 1:
            del body[place : place + rng.choice((1, 4, 100))]
        case 2:
            body[place:place] = bytes(rng.randrange(256) for _ in range(rng.choice((1, 4, 40))))
        case 3:
            body[place:place] = body[place : place + 50]
        case 4:
            body[place : place + 4] = rng.choice(
                (b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x7f\xff\xff\xff", b"-1,[", b'"}}]')
            )
        case _:
            del body[rng.choice((place, len(body))) :]
