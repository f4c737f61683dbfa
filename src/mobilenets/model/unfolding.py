"""Batch norms put back into a network whose weights they were folded into, so that it can be trained further.

A folded network, such as one that was read from an int8 file, hardly trains: a step that suits one layer drives another
to infinity. With a batch norm after each layer, whose statistics are those of the layer's sums and whose factor and
offset undo them, it computes the same function and trains like any other.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from mobilenets.architecture.layers import BatchNorm, Convolution, DepthwiseConvolution, Layer, PointwiseConvolution
from mobilenets.architecture.network import Network
from mobilenets.errors import ModelError
from mobilenets.model.activations import activate
from mobilenets.model.float_layers import float_layer
from mobilenets.model.map_sums import Map, float_weighted_sum
from mobilenets.model.model import Model
from mobilenets.model.numpy_runtime import input_map
from mobilenets.model.preprocessing import Pixels, check_pixels

UNFOLDED = BatchNorm(epsilon=1e-3)
"""The batch norms that are put in."""


def with_batch_norms(model: Model, pixels: Pixels) -> Model:
    """The same function with a batch norm after every convolution that has a bias in its place.

    Layers that see a single pixel, such as those of a squeeze-and-excite, and the outputs stay as they are.

    Args:
        model: A float32 Model; one that has batch norms is given back as it is.
        pixels: uint8 (N, height, width, channels), some dozen images like those that it will be trained on.

    Raises:
        ModelError: If the Model is int8, or the pixels do not fit it.
    """
    if model.quantization is not None:
        raise ModelError("an int8 Model has no batch norms to put back; dequantize it first")
    if any(layer.batch_norm is not None for layer in model.network.layers):
        return model
    check_pixels(model.network, pixels)
    layers: list[Layer] = []
    parameters: dict[str, Any] = dict(model.parameters)
    values: dict[str, Map] = {"input": input_map(model, pixels)}
    for layer in model.network.layers:
        sources = [values[name] for name in layer.inputs]
        if not _takes_batch_norm(layer, model.network):
            values[layer.name] = float_layer(layer, sources, model.parameters)
            layers.append(layer)
            continue
        sums = float_weighted_sum(layer, sources[0], model.parameters[f"{layer.name}.weight"])
        rows = sums.reshape(-1, sums.shape[3])
        mean, variance = rows.mean(axis=0, dtype=np.float64), rows.var(axis=0, dtype=np.float64)
        bias = parameters.pop(f"{layer.name}.bias")
        values[layer.name] = activate(sums + bias, layer.activation, overwrite=True)
        assert isinstance(layer, Convolution | DepthwiseConvolution | PointwiseConvolution)  # others take no batch norm
        layers.append(replace(layer, batch_norm=UNFOLDED, bias=False))
        tensors = np.sqrt(variance + UNFOLDED.epsilon), bias + mean, mean, variance
        names = layers[-1].batch_norm_names
        parameters |= {name: tensor.astype(np.float32) for name, tensor in zip(names, tensors, strict=True)}
    network = replace(model.network, layers=tuple(layers))
    return replace(model, network=network, parameters=parameters, subnets={})


def _takes_batch_norm(layer: Layer, network: Network) -> bool:
    if not isinstance(layer, Convolution | DepthwiseConvolution | PointwiseConvolution) or not layer.bias:
        return False
    shape = network.shapes[layer.name]
    return layer.name not in network.outputs and shape.height * shape.width > 1
