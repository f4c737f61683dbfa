"""From whole numbers back to a float Model with batch norms, which training in integers starts from."""

from __future__ import annotations

import numpy as np

from mobilenets.errors import CompressionError
from mobilenets.model.folding import along
from mobilenets.model.model import Model
from mobilenets.model.quantization import Quantization


def unfold(held: Model, model: Model, room: float = 0.0) -> Model:
    """The float Model whose weights and biases are those that an int8 Model stands for.

    Args:
        held: int8.
        model: float32, with batch norms or without; what ``held`` was made from.
        room: Steps, below a half, by which a weight may lie off its whole number, towards what it was before it was
            rounded: so training knows which weights are close to their next whole number.

    Returns:
        ``model`` with weights, and betas or biases, under which folding gives the real numbers of ``held``; weights to
        within their room.
    """
    parameters = dict(model.parameters)
    scales = numbers_of(held).activations
    for layer in model.network.layers:
        if not layer.has_weight:
            continue
        scale = held.parameters[f"{layer.name}.weight_scale"].astype(np.float64)
        whole = held.parameters[f"{layer.name}.weight"]
        step = along(scale, whole, axis=0)
        bias = held.parameters[f"{layer.name}.bias"] * (scale * scales[layer.inputs[0]].scale)
        batch_norm = layer.batch_norm
        if batch_norm is not None:
            gamma, mean, variance = (
                model.parameters[f"{layer.name}.batch_norm.{kind}"].astype(np.float64)
                for kind in ("weight", "running_mean", "running_var")
            )
            factor = gamma / np.sqrt(variance + batch_norm.epsilon)
            alive = np.abs(factor) > 1e-12
            step = step / along(np.where(alive, factor, 1.0), whole, axis=0)
            before = model.parameters[f"{layer.name}.bias"] if layer.bias else 0.0
            parameters[f"{layer.name}.batch_norm.bias"] = (bias + (mean - before) * factor).astype(np.float32)
        else:
            parameters[f"{layer.name}.bias"] = bias.astype(np.float32)
        wanted = model.parameters[f"{layer.name}.weight"] / step
        parameters[f"{layer.name}.weight"] = (wanted.clip(whole - room, whole + room) * step).astype(np.float32)
    return model.with_parameters(parameters)


def numbers_of(model: Model) -> Quantization:
    """The quantisation of an int8 Model.

    Raises:
        CompressionError: If it is a float one.
    """
    if model.quantization is None:
        raise CompressionError("the Model is float32; it holds no integers to train")
    return model.quantization
