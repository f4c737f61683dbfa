"""Model → OpenVINO (``.xml`` and ``.bin``), through OpenVINO's own converter of ONNX."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mobilenets.errors import FormatError, MissingDependencyError
from mobilenets.formats.detections import DETECTIONS
from mobilenets.formats.format import PROBABILITIES, SYMMETRIC, Options, option
from mobilenets.formats.onnx.detections import OUTPUTS
from mobilenets.formats.onnx.run import RUNTIMES_EXTRA
from mobilenets.formats.onnx.write import onnx_graph
from mobilenets.model.integer_weights import symmetric_weights
from mobilenets.model.model import Model
from mobilenets.model.preprocessing import Pixels

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class OpenVINOOptions(Options):
    """Options of :func:`to_openvino`."""

    half: bool = option(False, "Store float weights as float16", float32_only=True)
    symmetric_weights: bool = option(False, SYMMETRIC)
    probabilities: bool = option(False, PROBABILITIES)
    detections: bool = option(False, DETECTIONS)


def write_openvino(model: Model, path: Path, options: OpenVINOOptions) -> None:
    """:func:`to_openvino`, as the registry of formats calls it."""
    written = symmetric_weights(model) if options.symmetric_weights else model
    to_openvino(written, path, half=options.half, probabilities=options.probabilities, detections=options.detections)


def to_openvino(
    model: Model, path: str | Path, *, half: bool = False, probabilities: bool = False, detections: bool = False
) -> None:
    """Write a Model as OpenVINO's intermediate representation, which reads uint8 pixels (N, height, width, 3).

    Args:
        model: float32 or int8.
        path: The ``.xml`` file; the weights go beside it, into a ``.bin`` file.
        half: Store float weights as float16.
        probabilities: Whether a classifier's file gives probabilities, ``softmax(logits / temperature)``.
        detections: Whether a detector's file decodes and suppresses boxes, as that of
            :func:`~mobilenets.formats.onnx.write.to_onnx` does.

    Raises:
        FormatError: If the path does not end in ``.xml``, no classifier is to give probabilities, or no detector with
            anchors is to give detections.
        MissingDependencyError: If openvino or onnx is not installed.
        OSError: If a file cannot be written.
    """
    path = Path(path)
    if path.suffix != ".xml":
        raise FormatError(f"OpenVINO files end in .xml, not {path.suffix or 'in nothing'!r}: {path.name}")
    try:
        import openvino
    except ImportError:
        raise MissingDependencyError("openvino", "openvino") from None
    proto = onnx_graph(model, integer_units=True, probabilities=probabilities, detections=detections)
    graph = openvino.Core().read_model(proto.SerializeToString())
    if model.task.labels is not None:
        graph.set_rt_info(list(model.task.labels), ["model_info", "labels"])
    openvino.save_model(graph, path, compress_to_fp16=half)


def run_openvino(model: Model, path: Path, pixels: Pixels) -> dict[str, Array]:
    """By OpenVINO on the processor, in float32 and int8: nothing is rounded to bfloat16 on the way.

    Raises:
        MissingDependencyError: If openvino is not installed.
    """
    try:
        import openvino
    except ImportError:
        raise MissingDependencyError("openvino", RUNTIMES_EXTRA, alone=True) from None
    core = openvino.Core()
    compiled = core.compile_model(core.read_model(path), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    results = compiled({0: pixels})
    known = set[str]().union(*(output.get_names() for output in compiled.outputs))
    names = OUTPUTS if known.issuperset(OUTPUTS) else model.network.outputs
    return {name: np.array(results[name]) for name in names}
