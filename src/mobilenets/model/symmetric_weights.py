"""int8 Model with weight zero points → int8 Model without: what runtimes have fast kernels for."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mobilenets.model.model import Model, Tensor


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
    return replace(model, parameters=parameters, provenance={**model.provenance, "symmetric_weights": True})
