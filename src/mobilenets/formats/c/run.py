"""A written C file, compiled by this machine's compiler and run."""

from __future__ import annotations

import ctypes
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mobilenets.errors import FormatError
from mobilenets.model.model import Model
from mobilenets.model.preprocessing import Pixels

Array = npt.NDArray[Any]

_ROW_READER = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p)
LIBRARY_SUFFIX = ".dll" if sys.platform == "win32" else ".so"


class NoCompilerError(FormatError):
    """There is no C compiler here to run a C file with."""


def run_c(model: Model, path: Path, pixels: Pixels) -> dict[str, Array]:
    """Outputs of a C file that this machine's compiler has compiled.

    Args:
        model: What the file was written from.
        path: The file, or the folder of a project.
        pixels: uint8, (N, height, width, channels).

    Returns:
        By output name, float32: (N, C) where the output is 1×1, else (N, C, H, W).

    Raises:
        FormatError: If the file does not compile without a warning.
        NoCompilerError: If there is nothing to compile it with.
    """
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        raise NoCompilerError("there is no C compiler here (cc, gcc or clang)")
    if path.is_dir():
        path = next(path.rglob("model.c"))
    name, ram_bytes = _read_header(path.with_suffix(".h"))
    # Windows does not delete a library that is loaded.
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        target = Path(folder) / f"model{LIBRARY_SUFFIX}"
        strict = ["-std=c99", "-Wall", "-Wextra", "-pedantic", "-Werror"]
        shared = ["-shared"] if sys.platform == "win32" else ["-shared", "-fPIC"]
        command = [compiler, *strict, "-O3", "-pipe", *shared, str(path), "-o", str(target), "-lm"]
        built = subprocess.run(command, capture_output=True, text=True, check=False)
        if built.returncode != 0:
            raise FormatError(f"{path.name} does not compile: {built.stderr.strip()[:500]}")
        library = ctypes.CDLL(str(target))
        return _run_library(library, name, ram_bytes, model, pixels)


def _read_header(path: Path) -> tuple[str, int]:
    """The name that the functions of a header begin with, and the bytes of an arena."""
    text = path.read_text(encoding="utf-8")
    name = re.search(r"^void (\w+)_run\(", text, re.MULTILINE)
    size = re.search(r"^#define \w+_RAM_BYTES (\d+)$", text, re.MULTILINE)
    if name is None or size is None:
        raise FormatError(f"{path.name} declares no run")
    return name[1], int(size[1])


def _run_library(library: Any, name: str, ram_bytes: int, model: Model, pixels: Pixels) -> dict[str, Array]:
    place = getattr(library, f"{name}_input", None)  # none where the image is read by rows
    arena = (ctypes.c_uint64 * -(-ram_bytes // 8))()
    found: dict[str, list[Array]] = {output: [] for output in model.network.outputs}
    for image in pixels:
        lines = image.reshape(len(image), -1)

        def read_row(_: object, row: int, pixels: int, lines: Pixels = lines) -> None:
            ctypes.memmove(pixels, lines[row].tobytes(), lines[row].nbytes)

        if place is not None:
            place.restype = ctypes.c_void_p
            ctypes.memmove(place(arena), image.tobytes(), image.nbytes)
        reader = [] if place is not None else [_ROW_READER(read_row), None]
        shapes = [model.network.shapes[output] for output in model.network.outputs]
        values = [np.zeros((shape.height, shape.width, shape.channels), np.float32) for shape in shapes]
        getattr(library, f"{name}_run")(arena, *reader, *(value.ctypes.data_as(ctypes.c_void_p) for value in values))
        for output, value in zip(model.network.outputs, values, strict=True):
            found[output].append(value[0, 0] if value.shape[:2] == (1, 1) else value.transpose(2, 0, 1))
    return {output: np.stack(each) for output, each in found.items()}
