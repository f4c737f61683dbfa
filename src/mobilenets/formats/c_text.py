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

Array = npt.NDArray[Any]


def numbers(values: Array) -> str:
    """Numbers separated by commas, 16 a line."""
    if values.dtype == np.int8:  # millions of them: each is looked up, as four characters
        texts = np.array([f"{byte},".rjust(5).encode() for byte in range(-128, 128)], dtype="S5")
        return _lines(texts[values.astype(np.int16) + 128])
    if values.dtype == np.int32:
        return _lines(np.array([f"{_integer(value)}," for value in values.tolist()], dtype="S"))
    pattern, count = "%.8ef, " * 8 + "\n", len(values) // 8 * 8
    whole = "".join(pattern % tuple(row) for row in values[:count].reshape(-1, 8).tolist())
    return whole + ("%.8ef, " * (len(values) - count)) % tuple(values[count:].tolist())


def _integer(value: int) -> str:
    # −2147483648 is minus a number that int32 does not hold.
    return "-2147483647 - 1" if value == -(1 << 31) else str(value)


def _lines(texts: Array) -> str:
    lines: Iterable[Array] = (texts[begin : begin + 32] for begin in range(0, len(texts), 32))
    return "\n".join(line.tobytes().replace(b"\0", b"").decode() for line in lines) + "\n"


def float_literal(value: float | np.floating[Any]) -> str:
    return f"{value:.8e}f"


def comment(text: str) -> str:
    """Text that can stand in a comment."""
    return re.sub(r"[^A-Za-z0-9_.+× -]", "_", text).replace("×", "x")


def string_literal(text: str) -> str:
    """A string literal of UTF-8; whatever is not plain goes as octal, which no following character can join."""
    if len(text.encode()) > LONGEST_LITERAL:
        raise FormatError(f"label {text[:40]!r}… is longer than the {LONGEST_LITERAL} bytes that C99 promises")
    plain = set(b" !#$%&'()*+,-./:;<=>@[]^_`{|}~") | set(range(48, 58)) | set(range(65, 91)) | set(range(97, 123))
    return '"' + "".join(chr(byte) if byte in plain else f"\\{byte:03o}" for byte in text.encode()) + '"'


def sections(source: str, wanted: set[str]) -> str:
    """The parts of a kernel file that are wanted, and those that they need: ``//@ name: what it needs``."""
    head, *sections = re.split(r"^//@ ", source, flags=re.MULTILINE)
    named: dict[str, tuple[list[str], str]] = {}
    for section in sections:
        title, _, body = section.partition("\n")
        name, _, needs = title.partition(":")
        named[name] = (needs.split(), body)
    needed, waiting = set(), list(wanted)
    while waiting:
        name = waiting.pop()
        needed.add(name)
        waiting += [need for need in named[name][0] if need not in needed]
    return "\n".join([head, *(body for name, (_, body) in named.items() if name in needed)])
