"""Tensors of the Open Inference Protocol: as JSON values, and as bytes that follow the JSON (its binary extension)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt

from mobilenets.serving.refusals import Reason, Refusal, shown
from mobilenets.serving.uploads import decode_base64, parse_json

BINARY_LENGTH = "inference-header-content-length"
"""Header that says how many bytes of a body are JSON; those after it are tensors."""
TEXT, BYTE, FLOAT = "BYTES", "UINT8", "FP32"


@dataclass(frozen=True, eq=False)
class InputTensor:
    """One input as it was sent.

    Attributes:
        name: Of the input.
        datatype: ``BYTES``, ``UINT8`` and so on.
        shape: Its dimensions.
        data: JSON values, or None where the tensor came as bytes.
        raw: Those bytes.
    """

    name: str
    datatype: str
    shape: tuple[int, ...]
    data: Any
    raw: memoryview | None

    @property
    def elements(self) -> int:
        """How many there are by the shape."""
        return math.prod(self.shape)

    def texts(self) -> list[bytes]:
        """Elements of BYTES: raw where they came as bytes, from base64 where they came as JSON.

        Raises:
            Refusal: If they are not as many as the shape says, or damaged.
        """
        if self.raw is None:
            values = list(islice(_flat(self.data), self.elements + 1))
            if not all(isinstance(value, str) for value in values):
                raise _bad(f"input {self.name} must hold text: images in base64, or raw with the binary extension")
            found = [decode_base64(value, number) for number, value in enumerate(values, 1)]
        else:
            found = list(islice(_lengths(self.raw, self.name), self.elements + 1))
        self._check_count(len(found))
        return found

    def pixels(self) -> npt.NDArray[np.uint8]:
        """Elements of UINT8 in their shape.

        Raises:
            Refusal: If they are not as many as the shape says, or no bytes.
        """
        if self.raw is not None:
            self._check_count(len(self.raw))
            return np.frombuffer(self.raw, np.uint8).reshape(self.shape)
        try:
            values = np.array(self.data)
        except ValueError:  # lists of different lengths side by side
            values = np.empty(0)
        if values.size and (values.dtype.kind != "i" or values.min() < 0 or values.max() > 255):
            raise _bad(f"input {self.name} must hold integers from 0 to 255")
        self._check_count(values.size)
        return values.astype(np.uint8).reshape(self.shape)

    def _check_count(self, count: int) -> None:
        if count != self.elements:
            more = "more than " if count > self.elements else ""
            held = min(count, self.elements) if more else count
            raise _bad(
                f"input {self.name} holds {more}{held} elements; its shape {list(self.shape)} has {self.elements}"
            )


@dataclass(frozen=True, eq=False)
class OutputTensor:
    """One output as it is sent.

    Attributes:
        name: Of the output.
        values: float32, or bytes as objects.
        binary: Whether it follows the JSON as bytes.
    """

    name: str
    values: npt.NDArray[Any]
    binary: bool

    def encode(self) -> tuple[dict[str, Any], bytes]:
        """Its JSON entry, and the bytes that follow."""
        text = self.values.dtype == object
        entry: dict[str, Any] = {
            "name": self.name,
            "datatype": TEXT if text else FLOAT,
            "shape": list(self.values.shape),
        }
        if not self.binary:
            flat = self.values.reshape(-1)
            entry["data"] = [value.decode() for value in flat] if text else flat.tolist()
            return entry, b""
        raw = _with_lengths(self.values) if text else self.values.astype("<f4").tobytes()
        entry["parameters"] = {"binary_data_size": len(raw)}
        return entry, raw


def split_body(body: bytes, header: str | None) -> tuple[Any, memoryview]:
    """The JSON of a body, and what follows it.

    Args:
        body: All of it.
        header: The value of :data:`BINARY_LENGTH`, or None where all is JSON.

    Raises:
        Refusal: If that is no length, or there is no JSON.
    """
    if header is None:
        return parse_json(body), memoryview(b"")
    if not (header.isascii() and header.isdecimal() and len(header) < 12 and int(header) <= len(body)):
        raise _bad(f"Inference-Header-Content-Length is {shown(header)}; the body has {len(body)} bytes")
    return parse_json(body[: int(header)]), memoryview(body)[int(header) :]


def read_inputs(data: Mapping[str, Any], rest: memoryview) -> list[InputTensor]:
    """The inputs of a request, and the bytes that belong to each.

    Raises:
        Refusal: If one is not of the protocol, or bytes are missing or left.
    """
    entries = data.get("inputs")
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise _bad("inputs must be a list of objects with name, shape, datatype and data")
    found = []
    for entry in entries:
        raw, rest = _own_bytes(entry, rest)
        found.append(_input(entry, raw))
    if rest:
        raise _bad(f"{len(rest)} bytes follow that belong to no input: give each its binary_data_size")
    return found


def _own_bytes(entry: Mapping[str, Any], rest: memoryview) -> tuple[memoryview | None, memoryview]:
    parameters = entry.get("parameters") or {}
    size = parameters.get("binary_data_size") if isinstance(parameters, dict) else None
    if size is None:
        return None, rest
    if type(size) is not int or not 0 <= size <= len(rest):
        raise _bad(f"binary_data_size is {shown(size)}; {len(rest)} bytes are left")
    return rest[:size], rest[size:]


def _input(entry: Mapping[str, Any], raw: memoryview | None) -> InputTensor:
    name, datatype, shape = entry.get("name"), entry.get("datatype"), entry.get("shape")
    if not isinstance(name, str) or not isinstance(datatype, str):
        raise _bad("an input needs a name and a datatype, both text")
    if not isinstance(shape, list) or not all(type(one) is int and 0 <= one < 2**31 for one in shape) or len(shape) > 8:
        raise _bad(f"the shape of input {shown(name)} must be a list of integers")
    if raw is None and "data" not in entry:
        raise _bad(f"input {shown(name)} has neither data nor a binary_data_size")
    return InputTensor(name, datatype, tuple(shape), entry.get("data"), raw)


def _flat(data: Any) -> Iterator[Any]:
    """The values of nested lists in order."""
    pending = [iter([data])]
    while pending:
        value = next(pending[-1], pending)
        if value is pending:
            pending.pop()
        elif isinstance(value, list):
            pending.append(iter(value))
        else:
            yield value


def _lengths(raw: memoryview, name: str) -> Iterator[bytes]:
    """Elements that each have four bytes of their length before them."""
    while raw:
        length = int.from_bytes(raw[:4], "little")
        if len(raw) < 4 + length:
            raise _bad(f"input {shown(name)} breaks off: an element of {length} bytes has {max(0, len(raw) - 4)}")
        yield bytes(raw[4 : 4 + length])
        raw = raw[4 + length :]


def _with_lengths(values: npt.NDArray[Any]) -> bytes:
    return b"".join(len(value).to_bytes(4, "little") + value for value in values.reshape(-1))


def _bad(message: str) -> Refusal:
    return Refusal(Reason.BAD_REQUEST, message)
