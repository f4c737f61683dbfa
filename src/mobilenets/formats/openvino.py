"""Model → OpenVINO (``.xml`` and ``.bin``), through OpenVINO's own converter of ONNX."""

from __future__ import annotations

from pathlib import Path

from mobilenets.errors import FormatError, MissingDependencyError
from mobilenets.formats.onnx.write import onnx_graph
from mobilenets.model.model import Model


def to_openvino(model: Model, path: str | Path, *, half: bool = False) -> None:
    """Write a Model as OpenVINO's intermediate representation, which reads uint8 pixels (N, height, width, 3).

    Args:
        model: float32 or int8.
        path: The ``.xml`` file; the weights go beside it, into a ``.bin`` file.
        half: Store float weights as float16.

    Raises:
        FormatError: If the path does not end in ``.xml``.
        MissingDependencyError: If openvino or onnx is not installed.
        OSError: If a file cannot be written.
    """
    path = Path(path)
    if path.suffix != ".xml":
        raise FormatError(f"OpenVINO files end in .xml, not {path.suffix or 'in nothing'!r}: {path}")
    try:
        import openvino
    except ImportError:
        raise MissingDependencyError("openvino", "openvino") from None
    graph = openvino.Core().read_model(onnx_graph(model, integer_units=True).SerializeToString())
    graph.set_rt_info(list(model.labels), ["model_info", "labels"])
    openvino.save_model(graph, path, compress_to_fp16=half)
