"""Model → ONNX: float32 as it is, int8 as pairs of QuantizeLinear and DequantizeLinear.

The graph keeps everything that a Model's tensors hold, batch norms included, under the Model's own names, so that it
can be read back exactly: a node is named ``<layer>/<operator>`` and an initializer like the Model's tensor. Runtimes
fuse what can be fused themselves. In int8 every activation passes through QuantizeLinear and DequantizeLinear with the
Model's scale and zero point; that is the form which ONNX Runtime and OpenVINO turn into their integer kernels. ONNX
Runtime then answers bit for bit as the Model does.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mobilenets.architecture.layers import INPUT
from mobilenets.base.atomic_write import write_atomically
from mobilenets.errors import FormatError, MissingDependencyError
from mobilenets.formats.description import describe
from mobilenets.formats.detections import DETECTIONS
from mobilenets.formats.format import PROBABILITIES, SYMMETRIC, Options, option
from mobilenets.formats.onnx.detections import append_suppression
from mobilenets.formats.onnx.openvino_writer import OpenVINOWriter
from mobilenets.formats.onnx.writer import OPSET, OnnxWriter
from mobilenets.formats.verification import ending_of
from mobilenets.model.integer_weights import symmetric_weights
from mobilenets.model.model import Model

IR_VERSION = 8
"""The version of the file format that came with opset 17: the oldest runtimes that know the operators can read it."""
BATCH = "batch"


def to_onnx(
    model: Model,
    path: str | Path,
    *,
    pixel_input: bool = True,
    probabilities: bool = False,
    detections: bool = False,
) -> None:
    """Write a Model as an ONNX file.

    Args:
        model: float32 or int8.
        path: Where to.
        pixel_input: Whether the graph reads uint8 images (N, height, width, 3) and normalizes them itself. If not, it
            reads what the network reads, float32 (N, 3, height, width), which only a float32 Model can.
        probabilities: Whether a classifier's file gives probabilities, ``softmax(logits / temperature)``.
        detections: Whether a detector's file decodes and suppresses boxes: its outputs are then
            :data:`~mobilenets.formats.onnx.detections.OUTPUTS`.

    Raises:
        FormatError: If an int8 Model is asked to read anything but pixels, no classifier to give probabilities, or no
            detector with anchors to give detections.
        MissingDependencyError: If onnx is not installed.
        OSError: If the file cannot be written.
    """
    proto = onnx_graph(model, pixel_input=pixel_input, probabilities=probabilities, detections=detections)
    write_atomically(Path(path), proto.SerializeToString())


def onnx_graph(
    model: Model,
    *,
    pixel_input: bool = True,
    integer_units: bool = False,
    probabilities: bool = False,
    detections: bool = False,
) -> Any:
    """Build the ``onnx.ModelProto`` that :func:`to_onnx` writes.

    Args:
        model: float32 or int8.
        pixel_input: As in :func:`to_onnx`.
        integer_units: Whether the weighted layers of an int8 Model compute in units of their sums instead of real
            numbers: every scale before a sum is 1, and a product with one multiplier per channel and a Round follow it.
            OpenVINO otherwise rounds three times where the Model rounds once, and answers differently; ONNX Runtime has
            no integer kernels for this form.
        probabilities: As in :func:`to_onnx`.
        detections: As in :func:`to_onnx`.

    Returns:
        A model whose outputs are (N, C) where a map is 1×1, else (N, C, H, W).

    Raises:
        FormatError: If an int8 Model is asked to read anything but pixels.
        MissingDependencyError: If onnx is not installed.
    """
    try:
        import onnx
    except ImportError:
        raise MissingDependencyError("onnx", "formats") from None
    if model.quantization is not None and not pixel_input:
        raise FormatError("an int8 Model reads the bytes of pixels; it has no normalized float input to offer")
    network, helper = model.network, onnx.helper
    writer = (OpenVINOWriter if integer_units and model.quantization is not None else OnnxWriter)(model, onnx)
    writer.read_input(pixel_input)
    for layer in network.layers:
        writer.write(layer)
    writer.finish(ending_of(model) if probabilities else None)
    shape: list[Any] = [BATCH, network.height, network.width, network.channels]
    kind = onnx.TensorProto.UINT8
    if not pixel_input:
        shape, kind = [BATCH, network.channels, network.height, network.width], onnx.TensorProto.FLOAT
    outputs = []
    for name in network.outputs:
        made = network.shapes[name]
        sizes: list[Any] = [BATCH, made.channels] if made[1:] == (1, 1) else [BATCH, *made]
        outputs.append(helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, sizes))
    if detections:
        outputs = append_suppression(writer, model)
    graph = helper.make_graph(
        writer.nodes,
        network.name,
        [helper.make_tensor_value_info(INPUT, kind, shape)],
        outputs,
        initializer=list(writer.initializers.values()),
    )
    proto = helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="mobilenets",
    )
    helper.set_model_props(proto, describe(model))
    return proto


@dataclass(frozen=True)
class OnnxOptions(Options):
    """Options of :func:`write_onnx`."""

    normalized_input: bool = option(False, "Read normalized floats instead of pixels")
    symmetric_weights: bool = option(False, SYMMETRIC)
    probabilities: bool = option(False, PROBABILITIES)
    detections: bool = option(False, DETECTIONS)


def write_onnx(model: Model, path: Path, options: OnnxOptions) -> None:
    """:func:`to_onnx`, as the registry of formats calls it."""
    if options.symmetric_weights:
        model = symmetric_weights(model)
    to_onnx(
        model,
        path,
        pixel_input=not options.normalized_input,
        probabilities=options.probabilities,
        detections=options.detections,
    )
