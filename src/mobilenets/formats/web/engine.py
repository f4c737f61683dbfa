"""The engine as WebAssembly, which is built with the package."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mobilenets.errors import FormatError
from mobilenets.native import _native

FOLDER = Path(_native.__file__ or "").parent / "_web"
"""Where the build puts it: beside the compiled half."""


@dataclass(frozen=True)
class WebEngine:
    """The engine for browsers.

    Attributes:
        relaxed: With relaxed dot products, which not every browser has.
        simd: Without.
    """

    relaxed: bytes
    simd: bytes


def web_engine(folder: Path = FOLDER) -> WebEngine:
    """The engine as WebAssembly.

    Args:
        folder: Where it lies.

    Raises:
        FormatError: If the package was built where there was no compiler for it.
    """
    try:
        return WebEngine(*((folder / f"engine_{kind}.wasm").read_bytes() for kind in ("relaxed", "simd")))
    except FileNotFoundError:
        raise FormatError(
            "this installation has no engine for web pages: it was built from source where there was no Zig, which "
            "compiles it to WebAssembly. pip install ziglang, and install mobilenets again"
        ) from None
