"""int8 Models rewritten: without weight zero points, or as float32 Models."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mobilenets.model.model import Model, Tensor
from mobilenets.model.provenance import Provenance


def symmetric_weights(model: Model) -> Model:
    """Quantize weights that have zero points anew: symmetrically, with one scale per output channel.

    The official uint8 networks have weight zero points, for which OpenVINO has no integer kernels and ONNX Runtime only
    slow ones. Weights that fit in [-127, 127] once their zero point is taken off keep their values; those of other
    channels are rounded to a coarser grid, so the result answers almost but not exactly as the Model does.

    Args:
        model: int8; a Model without weight zero points is given back as it is.

    Returns:
        An int8 Model with the same activations.
    """
    quantization = model.quantization
    if quantization is None or not any(name.endswith(".weight_zero_point") for name in model.parameters):
        return model
    parameters: dict[str, Tensor] = dict(model.parameters)
    for layer in model.network.layers:
        zero_point = parameters.pop(f"{layer.name}.weight_zero_point", None)
        if zero_point is None:
            continue
        names = [f"{layer.name}.{kind}" for kind in ("weight", "weight_scale", "bias")]
        weight, scale, bias = (parameters[name] for name in names)
        axes = (-1, *[1] * (weight.ndim - 1))
        centered = weight.astype(np.int32) - zero_point.astype(np.int32).reshape(axes)
        largest = np.abs(centered.reshape(len(centered), -1)).max(axis=1)
        level = (1 << (quantization.bits(layer.name) - 1)) - 1
        coarser = (scale * np.maximum(largest / level, 1)).astype(np.float32)
        change = scale.astype(np.float64) / coarser
        rounded = np.rint(centered * change.reshape(axes)).clip(-level, level)
        parameters |= dict(
            zip(names, (rounded.astype(np.int8), coarser, np.rint(bias * change).astype(np.int32)), strict=True)
        )
    before = Provenance.of(model)
    provenance = replace(before, conversion=replace(before.conversion, symmetric_weights=True))
    return replace(model, parameters=parameters, provenance=provenance.encode())


def dequantize(model: Model) -> Model:
    """The real numbers that an int8 Model's integers stand for.

    Activations are no longer rounded, so the result answers almost but not exactly as the int8 Model does. Its network
    is the same: batch norms are folded, and every layer has a bias.

    Args:
        model: int8; a float32 Model is given back as it is.
    """
    if model.quantization is None:
        return model
    parameters: dict[str, Tensor] = {}
    for layer in model.network.layers:
        if not layer.has_weight:
            continue
        weight = model.parameters[f"{layer.name}.weight"].astype(np.float64)
        scale = model.parameters[f"{layer.name}.weight_scale"].astype(np.float64)
        axes = (-1, *[1] * (weight.ndim - 1))
        zero_point = model.parameters.get(f"{layer.name}.weight_zero_point")
        if zero_point is not None:
            weight = weight - zero_point.astype(np.float64).reshape(axes)
        source = model.quantization.activations[layer.inputs[0]].scale
        bias = model.parameters[f"{layer.name}.bias"] * (source * scale)
        parameters[f"{layer.name}.weight"] = (weight * scale.reshape(axes)).astype(np.float32)
        parameters[f"{layer.name}.bias"] = bias.astype(np.float32)
    before = Provenance.of(model)
    provenance = replace(before, conversion=replace(before.conversion, dequantized=True))
    return replace(model, parameters=parameters, quantization=None, provenance=provenance.encode())
