"""A written LiteRT file, run by TensorFlow Lite Micro's own interpreter, in a process of its own.

The interpreter writes to stderr whatever it meets, and ends the process at some faults; neither reaches the caller.
"""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mobilenets.errors import FormatError, MissingDependencyError
from mobilenets.formats.format import SecondRun
from mobilenets.formats.litert.run import real_values
from mobilenets.formats.litert.write import litert_input
from mobilenets.formats.onnx.run import RUNTIMES_EXTRA
from mobilenets.model.model import Model
from mobilenets.model.preprocessing import Pixels

PACKAGE = "tflite_micro"
LONGEST_RUN_SECONDS = 120
_ARENA = re.compile(r"Arena allocation total (\d+) bytes")
_PROGRAM = """
import sys, numpy
from tflite_micro.python.tflite_micro import runtime
file, inputs, outputs = sys.argv[1:]
interpreter = runtime.Interpreter.from_file(file, arena_size=1 << 28)
found = {}
for row in numpy.load(inputs):
    if interpreter.get_input_details(0)["dtype"] == numpy.int8:
        row = (row.astype(numpy.int16) - 128).astype(numpy.int8)
    interpreter.set_input(row[None], 0)
    interpreter.invoke()
    for number in range(64):
        try:
            numbers = interpreter.get_output_details(number)["quantization_parameters"]
        except (IndexError, ValueError, RuntimeError):
            break
        found.setdefault(f"output{number}", []).append(interpreter.get_output(number).copy())
        found[f"numbers{number}"] = [numbers["scales"][:1], numbers["zero_points"][:1]]
interpreter.print_allocations()
numpy.savez(outputs, **{name: numpy.concatenate(values) for name, values in found.items()})
"""


def run_micro(model: Model, path: Path, pixels: Pixels) -> SecondRun:
    """By TensorFlow Lite Micro's interpreter, one image after the other.

    Args:
        model: What was written.
        path: The file.
        pixels: uint8 (N, height, width, channels).

    Returns:
        Its outputs, and what it takes of its arena on this machine, where pointers take twice the bytes that they take
        on a microcontroller.

    Raises:
        FormatError: If the interpreter refuses the file; its own words are in the message.
        MissingDependencyError: If tflite-micro is not installed.
    """
    if importlib.util.find_spec(PACKAGE) is None:
        raise MissingDependencyError("tflite-micro", RUNTIMES_EXTRA, alone=True)
    with tempfile.TemporaryDirectory() as folder:
        inputs, outputs = Path(folder) / "inputs.npy", Path(folder) / "outputs.npz"
        np.save(inputs, pixels if model.quantization is not None else litert_input(model, pixels))
        command = [sys.executable, "-c", _PROGRAM, str(path), str(inputs), str(outputs)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=LONGEST_RUN_SECONDS, check=False)
        except subprocess.TimeoutExpired:
            raise FormatError(f"TensorFlow Lite Micro takes more than {LONGEST_RUN_SECONDS} s") from None
        arena = _ARENA.search(done.stderr)
        if done.returncode or arena is None:
            said = next((line for line in done.stderr.splitlines() if line.strip()), f"exit code {done.returncode}")
            raise FormatError(f"TensorFlow Lite Micro refuses the file: {said}")
        found = dict(np.load(outputs))
    return SecondRun(_named(model, found), int(arena[1]))


def _named(model: Model, found: dict[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
    """Outputs by name, channels first; the interpreter numbers them in the order of the network's."""
    named = {}
    for number, name in enumerate(model.network.outputs):
        values = found[f"output{number}"]
        if values.dtype.kind != "f":
            scale, zero_point = found[f"numbers{number}"]
            values = real_values(values, float(scale), int(zero_point))
        named[name] = values if values.ndim == 2 else values.transpose(0, 3, 1, 2)
    return named
