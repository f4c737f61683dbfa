"""A Model as the engine's WebAssembly reads it: what the plan is told, layer by layer.

Batch norms are folded and scales turned into multipliers as for a Session, so both halves compute the same numbers.
``native/web/model_reader.cpp`` is the other side.
"""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import numpy.typing as npt

from mobilenets.architecture.layers import Windowed
from mobilenets.engine.lowering import input_numbers, lowered_layers, lowered_outputs
from mobilenets.errors import FormatError
from mobilenets.model.model import Model
from mobilenets.model.preprocessing import Interpolation, ResizeMode
from mobilenets.native import _native

MAGIC = b"MNW1"
"""First bytes; the last of them is the version of the format."""
_FITS = (ResizeMode.CROP, ResizeMode.SQUASH, ResizeMode.LETTERBOX)
"""In the order of the enumeration of native/web/preprocessing.h."""
_INTERPOLATIONS = (Interpolation.BOX, Interpolation.BILINEAR, Interpolation.BICUBIC, Interpolation.LANCZOS)
"""In the order of the enumeration of native/resize.h."""


def model_bytes(model: Model) -> bytes:
    """A Model in the form that the engine's WebAssembly loads.

    Args:
        model: float32 or int8.

    Raises:
        EngineError: If the engine has no layer of a kind that is in it.
        FormatError: If a layer steps otherwise down than across.
    """
    network, preprocessing = model.network, model.preprocessing
    for layer in network.layers:
        if isinstance(layer, Windowed) and len(set(layer.strides)) > 1:
            steps = "{} pixels down and {} across".format(*layer.strides)
            raise FormatError(f"{layer.name} steps {steps}; web pages hold one stride a layer")
    parts = [
        MAGIC,
        struct.pack("<iiii", model.quantization is None, network.channels, network.height, network.width),
        struct.pack("<id", _FITS.index(preprocessing.fit), preprocessing.crop_fraction),
        struct.pack("<ii", _INTERPOLATIONS.index(preprocessing.interpolation), preprocessing.channels),
        struct.pack("<3i", *np.round(255 * np.clip(preprocessing.mean, 0, 1)).astype(int)),
        *(values.astype("<f4").tobytes() for values in input_numbers(model)),
        struct.pack("<i", len(network.layers)),
    ]
    for lowered in lowered_layers(model):
        parts += _layer(lowered)
    outputs = lowered_outputs(model)
    parts.append(struct.pack("<i", len(outputs)))
    parts += (struct.pack("<ifi", *output) for output in outputs)
    return b"".join(parts)


def _layer(layer: _native.Layer) -> list[bytes]:
    inputs = list(layer.inputs)
    numbers = (
        layer.kernel,
        layer.stride,
        layer.pad_top,
        layer.pad_bottom,
        layer.pad_left,
        layer.pad_right,
        layer.groups,
        layer.out_channels,
        layer.in_zero_point,
        layer.out_zero_point,
        layer.low,
        layer.high,
        int(layer.real_output),
        int(layer.bounded),
    )
    return [
        struct.pack(f"<iii{len(inputs)}i", layer.kind.value, layer.activation.value, len(inputs), *inputs),
        struct.pack(f"<{len(numbers)}i", *numbers),
        *(
            _array(values)
            for values in (layer.weight, layer.bias, layer.multiplier, layer.weight_zero_point, layer.table)
        ),
    ]


def _array(values: npt.NDArray[Any] | None) -> bytes:
    """The number of values, and the values, up to a multiple of four bytes."""
    if values is None:
        return struct.pack("<i", 0)
    content = np.ascontiguousarray(values).astype(values.dtype.newbyteorder("<"), copy=False).tobytes()
    return struct.pack("<i", values.size) + content + bytes(-len(content) % 4)
