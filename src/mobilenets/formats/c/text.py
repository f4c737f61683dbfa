"""Numbers, strings and pieces of source, as C99 spells them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from mobilenets.errors import FormatError

LONGEST_LITERAL = 4095
"""Characters of a string that every C99 compiler takes."""

SHORTEST_ROW = 256
"""Bytes in a string, below which an array is written as numbers."""

Array = npt.NDArray[Any]


def numbers(values: Array) -> str:
    """Numbers separated by commas, some a line.

    Raises:
        FormatError: If one is infinite or not a number.
    """
    if values.dtype == np.float32 and not np.isfinite(values).all():
        raise FormatError("a parameter is infinite or not a number; C has no literal for it")
    if values.dtype == np.int8:  # millions of them: each is looked up, as four characters
        texts = np.array([f"{byte},".rjust(5).encode() for byte in range(-128, 128)], dtype="S5")
        return _lines(texts[values.astype(np.int16) + 128])
    if values.dtype == np.uint8:
        return _lines(np.array([f"{value},".rjust(5) for value in values.tolist()], dtype="S5"))
    if values.dtype == np.int32:
        return _lines(np.array([f"{_integer(value)}," for value in values.tolist()], dtype="S"))
    return _hexadecimal(values)


def _hexadecimal(values: Array) -> str:
    """Floats in C99's hexadecimal notation: exact, and made of their bits by the million.

    >>> _hexadecimal(np.array([1, -0.3, 0, 1e-40], np.float32)).split(",")[:4]
    [' 0x1.000000p+000f', '-0x1.333334p-002f', ' 0x0.000000p+000f', ' 0x0.022d84p-126f']
    """
    bits = values.view(np.uint32)
    mantissa, exponent = (bits & 0x7FFFFF) << 1, (bits >> 23 & 0xFF).astype(np.int32)
    power = np.where(exponent == 0, np.where(mantissa == 0, 0, -126), exponent - 127)
    text = np.empty((len(values), 18), np.uint8)
    text[:] = np.frombuffer(b" 0x1.000000p+000f,", np.uint8)
    text[bits >> 31 == 1, 0] = ord("-")
    text[exponent == 0, 3] = ord("0")
    digits = np.frombuffer(b"0123456789abcdef", np.uint8)
    for place in range(6):
        text[:, 5 + place] = digits[mantissa >> (20 - 4 * place) & 15]
    text[power < 0, 12] = ord("-")
    for place, unit in enumerate((100, 10, 1)):
        text[:, 13 + place] = digits[np.abs(power) // unit % 10]
    return _lines(text.view("S18")[:, 0], 8)


def _integer(value: int) -> str:
    # −2147483648 is minus a number that int32 does not hold.
    return "-2147483647 - 1" if value == -(1 << 31) else str(value)


def _lines(texts: Array, each: int = 24) -> str:
    lines: Iterable[Array] = (texts[begin : begin + each] for begin in range(0, len(texts), each))
    return "\n".join(line.tobytes().replace(b"\0", b"").decode() for line in lines) + "\n"


def byte_rows(size: int) -> int:
    """How long the strings are that say so many bytes: all of one length, none too long for C; 0 if that cannot be."""
    longest = next(each for each in range(min(LONGEST_LITERAL, size), 0, -1) if size % each == 0)
    return longest if longest >= SHORTEST_ROW else 0


def byte_strings(values: Array, each: int) -> str:
    """Numbers as the bytes of string literals, so many in each, lowest byte first.

    A compiler reads these in a tenth of the time and memory that numbers take.

    Raises:
        FormatError: If one is infinite or not a number.
    """
    if values.dtype == np.float32 and not np.isfinite(values).all():
        raise FormatError("a parameter is infinite or not a number; C takes no such weights")
    stored = np.ascontiguousarray(values, values.dtype.newbyteorder("<")).view(np.uint8)
    rows = (stored[begin : begin + each] for begin in range(0, len(stored), each))
    return ",\n".join('"' + _BYTES[row].tobytes().translate(None, b"\0").decode() + '"' for row in rows)


def float_literal(value: float | np.floating[Any]) -> str:
    return f"{value:.8e}f"


def comment(text: str) -> str:
    """Text that can stand in a comment."""
    return re.sub(r"[^A-Za-z0-9_.+× -]", "_", text).replace("×", "x")


def string_literal(text: str) -> str:
    """A string literal of UTF-8; whatever is not plain goes as octal, which no following character can join."""
    if len(text.encode()) > LONGEST_LITERAL:
        raise FormatError(f"label {text[:40]!r}… is longer than the {LONGEST_LITERAL} bytes that C99 promises")
    return '"' + "".join(_character(byte) for byte in text.encode()) + '"'


def _character(byte: int) -> str:
    """A byte within a string; a question mark is not plain, for two of them begin a trigraph."""
    return chr(byte) if 32 <= byte < 127 and byte not in b'"\\?' else f"\\{byte:03o}"


_BYTES = np.frombuffer(b"".join(_character(byte).encode().ljust(4, b"\0") for byte in range(256)), np.uint32)
"""What stands for each byte in a string: up to four characters, zeros behind them."""


def sections(source: str, wanted: set[str]) -> str:
    """The parts of a kernel file that are wanted, behind those that they need: ``//@ name: what it needs``."""
    head, *sections = re.split(r"^//@ ", source, flags=re.MULTILINE)
    named: dict[str, tuple[list[str], str]] = {}
    for section in sections:
        title, _, body = section.partition("\n")
        name, _, needs = title.partition(":")
        named[name] = (needs.split(), body)
    order: list[str] = []

    def take(name: str) -> None:
        needs, _ = named[name]
        for need in needs:
            if need not in order:
                take(need)
        order.append(name)

    for name in named:
        if name in wanted and name not in order:
            take(name)
    return "\n".join([head, *(named[name][1] for name in order)])
