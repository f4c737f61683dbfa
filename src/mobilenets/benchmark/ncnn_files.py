"""A float32 Model as ncnn's two files, for measuring against ncnn: sequential networks of V1's kinds of layers.

Source: ncnn's wiki, "param and model file structure" and "operation param weight table".
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import BinaryIO, assert_never

import numpy as np

from mobilenets.architecture.layers import (
    INPUT,
    Activation,
    Convolution,
    DepthwiseConvolution,
    GlobalAveragePool,
    Layer,
    Linear,
    Padding,
    PointwiseConvolution,
)
from mobilenets.errors import EngineError
from mobilenets.model.model import Model

_MAGIC = 7767517


def write_ncnn(model: Model, folder: Path) -> None:
    """Write ``model.param`` and ``model.bin``.

    Args:
        model: float32, batch norms folded.
        folder: Where to.

    Raises:
        EngineError: If a layer is of a kind that is not known here, or is read by more than one other.
    """
    network = model.network
    lines = [f"Input {INPUT} 0 1 {INPUT} 0={network.width} 1={network.height} 2={network.channels}"]
    with (folder / "model.bin").open("wb") as weights:
        for layer in network.layers:
            if len(network.consumers[layer.inputs[0]]) != 1:
                raise EngineError(f"{layer.inputs[0]} has several readers; only sequential networks go to ncnn here")
            lines.append(_line(model, layer))
            _write_weights(model, layer, weights)
    count = len(lines)
    (folder / "model.param").write_text(f"{_MAGIC}\n{count} {count}\n" + "\n".join(lines) + "\n", encoding="utf-8")


def _line(model: Model, layer: Layer) -> str:
    shape = layer.weight_shape(model.network.input_shapes(layer))
    size = int(np.prod(shape))
    activation = _activation(layer)
    match layer:
        case Convolution(groups=1) | DepthwiseConvolution() | PointwiseConvolution():
            (down, stride), padding = (
                ((1, 1), Padding()) if isinstance(layer, PointwiseConvolution) else (layer.strides, layer.padding)
            )
            numbers = (
                f"0={shape[0]} 1={shape[2]} 3={stride} 13={down} 4={padding.left} 14={padding.top} "
                f"15={padding.right} 16={padding.bottom} 5=1 6={size}{activation}"
            )
            depthwise = isinstance(layer, DepthwiseConvolution)
            kind = "ConvolutionDepthWise" if depthwise else "Convolution"
            numbers += f" 7={shape[0]}" if depthwise else ""
        case GlobalAveragePool():
            kind, numbers = "Pooling", "0=1 4=1"
        case Linear():
            kind, numbers = "InnerProduct", f"0={shape[0]} 1=1 2={size}{activation}"
        case _:
            raise EngineError(f"{layer.name} ({layer.kind}) is not written for ncnn")
    return f"{kind} {layer.name} 1 1 {layer.inputs[0]} {layer.name} {numbers}"


def _activation(layer: Layer) -> str:
    """The activation function as a parameter of the layer."""
    match layer.activation:
        case Activation.NONE:
            return ""
        case Activation.RELU:
            return " 9=1"
        case Activation.RELU6:
            return " 9=3 -23310=2,0.0,6.0"
        case Activation.HARD_SWISH:
            return " 9=6 -23310=2,0.16666667,0.5"
        case Activation.HARD_SIGMOID:
            raise EngineError(f"{layer.name} has a hard-sigmoid, which is not written for ncnn")
        case _:
            assert_never(layer.activation)


def _write_weights(model: Model, layer: Layer, file: BinaryIO) -> None:
    if not layer.has_weight:
        return
    file.write(struct.pack("<I", 0))  # what follows is plain float32
    file.write(model.parameters[f"{layer.name}.weight"].astype("<f4").tobytes())
    file.write(model.parameters[f"{layer.name}.bias"].astype("<f4").tobytes())
