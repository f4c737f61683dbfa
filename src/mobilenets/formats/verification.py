"""Whether a written file answers like the Model: it is run, by the runtime that it is meant for, on images."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mobilenets.errors import FormatError, MissingDependencyError
from mobilenets.formats.litert.write import litert_input
from mobilenets.formats.onnx.run import RUNTIMES_EXTRA, session, session_options
from mobilenets.model import reference
from mobilenets.model.model import Model
from mobilenets.model.preprocessing import Pixels

Array = npt.NDArray[Any]


class NoCompilerError(FormatError):
    """There is no C compiler here to run a C file with."""


@dataclass(frozen=True)
class Agreement:
    """How a file's answers compare to the Model's.

    Attributes:
        images: How many images were run.
        largest_difference: Between any two values of any output.
        largest_value: Largest magnitude that the Model gave: what the difference is to be seen against.
        top1: Share of images whose first output names the same class.
    """

    images: int
    largest_difference: float
    largest_value: float
    top1: float

    @property
    def relative(self) -> float:
        """The largest difference as a share of the largest value."""
        return self.largest_difference / max(self.largest_value, 1e-30)


def compare(expected: Mapping[str, Array], found: Mapping[str, Array]) -> Agreement:
    """Outputs of the Model and of a file, by name, (N, C) or (N, C, H, W) each.

    Raises:
        FormatError: If an output is missing or has another shape.
    """
    for name, values in expected.items():
        shape = found[name].shape if name in found else None
        if shape != values.shape:
            raise FormatError(f"the written file gives {name} the shape {shape}; the Model gives {values.shape}")
    first = next(iter(expected))
    classes = [values[first].reshape(len(values[first]), -1).argmax(axis=1) for values in (expected, found)]
    return Agreement(
        images=len(expected[first]),
        largest_difference=max(float(np.abs(values - found[name]).max()) for name, values in expected.items()),
        largest_value=max(float(np.abs(values).max()) for values in expected.values()),
        top1=float((classes[0] == classes[1]).mean()),
    )


def expected_outputs(model: Model, pixels: Pixels) -> dict[str, Array]:
    """What the Model itself gives, by the reference operators, one image at a time for the sake of memory."""
    runs = [reference.run(model, pixels[number : number + 1]) for number in range(len(pixels))]
    return {name: np.concatenate([outputs[name] for outputs in runs]) for name in runs[0]}


# One function per format: the outputs of the file at ``path`` for uint8 pixels (N, height, width, channels), laid out
# as the reference's.


def run_onnx(model: Model, path: Path, pixels: Pixels, *, exact: bool = True) -> dict[str, Array]:
    """By ONNX Runtime, once onnx's checker has accepted the file.

    Args:
        model: What the file was made from.
        path: The file.
        pixels: See above.
        exact: Whether int8 networks are computed exactly on every processor, or as by default: see
            :data:`mobilenets.formats.onnx.run.EXACT_INTEGERS`.

    Raises:
        FormatError: If the checker or the runtime refuses the file.
        MissingDependencyError: If onnx or onnxruntime is not installed.
    """
    try:
        import onnx
    except ImportError:
        raise MissingDependencyError("onnx", RUNTIMES_EXTRA) from None
    options = session_options(exact=exact)
    try:
        onnx.checker.check_model(str(path), full_check=True)
    except onnx.checker.ValidationError as error:
        raise FormatError(f"onnx's checker refuses {path.name}: {error}") from None
    running = session(str(path), options=options)
    (source,) = running.get_inputs()
    values: Array = pixels
    if source.type == "tensor(float)":
        values = np.ascontiguousarray(model.preprocessing.normalize(pixels).transpose(0, 3, 1, 2))
    names = [output.name for output in running.get_outputs()]
    return dict(zip(names, running.run(None, {source.name: values}), strict=True))


def run_onnx_at_defaults(model: Model, path: Path, pixels: Pixels) -> dict[str, Array]:
    """By ONNX Runtime as most programs call it; raises as :func:`run_onnx` does."""
    return run_onnx(model, path, pixels, exact=False)


def run_litert(model: Model, path: Path, pixels: Pixels) -> dict[str, Array]:
    """By LiteRT's interpreter.

    Raises:
        MissingDependencyError: If ai-edge-litert is not installed.
    """
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError:
        raise MissingDependencyError("ai-edge-litert", RUNTIMES_EXTRA) from None
    values = litert_input(model, pixels)
    interpreter = Interpreter(str(path))
    (source,) = interpreter.get_input_details()
    interpreter.resize_tensor_input(source["index"], values.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(source["index"], values)
    interpreter.invoke()
    found = {output["name"]: interpreter.get_tensor(output["index"]) for output in interpreter.get_output_details()}
    return {name: value if value.ndim == 2 else value.transpose(0, 3, 1, 2) for name, value in found.items()}


def run_c(model: Model, path: Path, pixels: Pixels) -> dict[str, Array]:
    """By this machine's C compiler.

    Raises:
        FormatError: If the file does not compile without a warning.
        NoCompilerError: If there is nothing to compile it with.
    """
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        raise NoCompilerError("there is no C compiler here (cc, gcc or clang)")
    name = _c_name(path)
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "model.so"
        strict = ["-std=c99", "-Wall", "-Wextra", "-pedantic", "-Werror"]
        fast = ["-O3", "-pipe"]  # as the file is, so that it is run as the file is; only sooner
        command = [compiler, *strict, *fast, "-shared", "-fPIC", str(path), "-o", str(target), "-lm"]
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


def run_openvino(model: Model, path: Path, pixels: Pixels) -> dict[str, Array]:
    """By OpenVINO on the processor, in float32 and int8: nothing is rounded to bfloat16 on the way.

    Raises:
        MissingDependencyError: If openvino is not installed.
    """
    try:
        import openvino
    except ImportError:
        raise MissingDependencyError("openvino", RUNTIMES_EXTRA) from None
    core = openvino.Core()
    compiled = core.compile_model(core.read_model(path), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    results = compiled({0: pixels})
    return {name: np.array(results[name]) for name in model.network.outputs}
