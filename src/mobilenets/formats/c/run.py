"""A written C file, compiled by this machine's compiler and run."""

from __future__ import annotations

import ctypes
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

LIBRARY_SUFFIX = ".dll" if sys.platform == "win32" else ".so"


class NoCompilerError(FormatError):
    """There is no C compiler here to run a C file with."""


def run_c(model: Model, path: Path, pixels: Pixels) -> dict[str, Array]:
    """Outputs of a C file that this machine's compiler has compiled.

    Args:
        model: What the file was written from.
        path: The file.
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
    name = _c_name(path)
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
        return _run_library(library, name, model, pixels)


def _c_name(path: Path) -> str:
    """The name that a C file's functions begin with."""
    with path.open(encoding="utf-8") as file:
        for line in file:
            if line.startswith("uint8_t *"):
                return line.removeprefix("uint8_t *").partition("_input(")[0]
    raise FormatError(f"{path.name} declares no input")


def _run_library(library: Any, name: str, model: Model, pixels: Pixels) -> dict[str, Array]:
    place = getattr(library, f"{name}_input")
    place.restype = ctypes.c_void_p
    found: dict[str, list[Array]] = {output: [] for output in model.network.outputs}
    for image in pixels:
        ctypes.memmove(place(), image.tobytes(), image.nbytes)
        shapes = [model.network.shapes[output] for output in model.network.outputs]
        values = [np.zeros((shape.height, shape.width, shape.channels), np.float32) for shape in shapes]
        getattr(library, f"{name}_run")(*(value.ctypes.data_as(ctypes.c_void_p) for value in values))
        for output, value in zip(model.network.outputs, values, strict=True):
            found[output].append(value[0, 0] if value.shape[:2] == (1, 1) else value.transpose(2, 0, 1))
    return {output: np.stack(each) for output, each in found.items()}
