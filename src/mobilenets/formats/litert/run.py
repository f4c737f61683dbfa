"""A written LiteRT file, run by LiteRT's interpreter."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mobilenets.errors import MissingDependencyError
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
        raise MissingDependencyError("ai-edge-litert", RUNTIMES_EXTRA) from None
    interpreter = Interpreter(str(path))
    (source,) = interpreter.get_input_details()
    values = litert_input(model, pixels, int8=source["dtype"] == np.int8)
    interpreter.resize_tensor_input(source["index"], values.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(source["index"], values)
    interpreter.invoke()
    found = {output["name"]: interpreter.get_tensor(output["index"]) for output in interpreter.get_output_details()}
    return {name: value if value.ndim == 2 else value.transpose(0, 3, 1, 2) for name, value in found.items()}
