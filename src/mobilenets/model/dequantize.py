"""int8 Model → float32 Model with the same meaning, from which training can start."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mobilenets.model.model import Model, Tensor


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
    provenance = {**model.provenance, "dequantized": True}
    return replace(model, parameters=parameters, quantization=None, provenance=provenance)
