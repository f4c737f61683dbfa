"""A written LiteRT file, run by LiteRT's interpreter."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mobilenets.errors import MissingDependencyError
from mobilenets.formats.litert.detections import OUTPUTS as DETECTIONS
from mobilenets.formats.litert.write import litert_input
from mobilenets.formats.onnx.run import RUNTIMES_EXTRA
from mobilenets.model.model import Model
from mobilenets.model.preprocessing import Pixels

Array = npt.NDArray[Any]


def run_litert(model: Model, path: Path, pixels: Pixels) -> dict[str, Array]:
    """By LiteRT's interpreter.

    Raises:
        MissingDependencyError: If ai-edge-litert is not installed.
    """
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError:
        raise MissingDependencyError("ai-edge-litert", RUNTIMES_EXTRA, alone=True) from None
    interpreter = Interpreter(str(path))
    (source,) = interpreter.get_input_details()
    values = litert_input(model, pixels, uint8=source["dtype"] == np.uint8)
    if {output["name"] for output in interpreter.get_output_details()} == set(DETECTIONS):
        return _detections(interpreter, values)
    interpreter.resize_tensor_input(source["index"], values.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(source["index"], values)
    interpreter.invoke()
    found = {
        output["name"]: real_values(interpreter.get_tensor(output["index"]), *output["quantization"])
        for output in interpreter.get_output_details()
    }
    return {name: value if value.ndim == 2 else value.transpose(0, 3, 1, 2) for name, value in found.items()}


def real_values(output: Array, scale: float, zero_point: int) -> Array:
    """The real numbers of an output: of bytes by their scale and zero point, else what it is."""
    if output.dtype.kind == "f":
        return output
    real: Array = (output.astype(np.int32) - zero_point).astype(np.float32) * np.float32(scale)
    return real


def _detections(interpreter: Any, values: Array) -> dict[str, Array]:
    """What a file that gives detections finds, image by image: its last operator takes one at a time."""
    interpreter.allocate_tensors()
    (source,), outputs = interpreter.get_input_details(), interpreter.get_output_details()
    found: dict[str, list[Array]] = {output["name"]: [] for output in outputs}
    for value in values:
        interpreter.set_tensor(source["index"], value[None])
        interpreter.invoke()
        for output in outputs:
            found[output["name"]].append(interpreter.get_tensor(output["index"]))
    return {name: np.concatenate(parts) for name, parts in found.items()}
