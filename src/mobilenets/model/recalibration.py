"""Batch-norm recalibration in NumPy: running statistics measured anew on images, as a subnet needs them."""

from __future__ import annotations

import math

import numpy as np

from mobilenets.base.progress import SILENT, Progress
from mobilenets.errors import ModelError
from mobilenets.model.activations import activate
from mobilenets.model.float_layers import batch_norm, float_layer
from mobilenets.model.map_sums import Map, float_weighted_sum
from mobilenets.model.model import Model, Tensor
from mobilenets.model.numpy_runtime import input_map
from mobilenets.model.preprocessing import Pixels, check_pixels

BATCH = 64
"""Images that are measured together. Statistics are averaged over batches."""


def recalibrated(model: Model, pixels: Pixels, *, batch: int = BATCH, progress: Progress = SILENT) -> Model:
    """The Model with batch-norm statistics measured on images, layer by layer, as they will be used.

    Each batch runs on its own statistics, as in training; means and unbiased variances are averaged over batches.
    ``training.recalibration.recalibrated_with_torch`` gives the same numbers, quicker, where PyTorch is installed.

    Args:
        model: A float32 Model, such as a subnet.
        pixels: uint8 (N, height, width, 3) of training images, prepared as for evaluation; some hundreds suffice.
        batch: Images that are run together.
        progress: Receives progress updates.

    Raises:
        ModelError: If the Model is int8, the pixels do not fit it, or there are fewer than two.
    """
    if model.quantization is not None:
        raise ModelError("an int8 Model has no batch norm to measure statistics for")
    check_pixels(model.network, pixels)
    if len(pixels) < 2:
        raise ModelError(f"batch-norm statistics need two images at least, not {len(pixels)}")
    groups = np.array_split(np.arange(len(pixels)), math.ceil(len(pixels) / max(2, batch)))
    totals: dict[str, Tensor] = {}
    with progress.task("measuring statistics", len(pixels), "images") as task:
        for indices in groups:
            for name, values in _statistics(model, pixels[indices]).items():
                totals[name] = totals.get(name, 0.0) + values / len(groups)
            task.advance(len(indices))
    measured = {name: values.astype(np.float32) for name, values in totals.items()}
    return model.with_parameters({**model.parameters, **measured})


def _statistics(model: Model, pixels: Pixels) -> dict[str, Tensor]:
    """Mean and unbiased variance of every batch norm's input in one batch, by the names of a Model's parameters."""
    values = {"input": input_map(model, pixels)}
    found: dict[str, Tensor] = {}
    for layer in model.network.layers:
        sources = [values[name] for name in layer.inputs]
        if layer.batch_norm is None:
            values[layer.name] = float_layer(layer, sources, model.parameters)
            continue
        result: Map = float_weighted_sum(layer, sources[0], model.parameters[f"{layer.name}.weight"])
        if layer.bias:
            result += model.parameters[f"{layer.name}.bias"]
        rows = result.reshape(-1, result.shape[3])
        mean, variance = rows.mean(axis=0, dtype=np.float64), rows.var(axis=0, dtype=np.float64)
        *_, mean_name, variance_name = layer.batch_norm_names
        here = {mean_name: mean, variance_name: variance}
        batch_norm(layer, result, {**model.parameters, **here})
        values[layer.name] = activate(result, layer.activation, overwrite=True)
        found |= here | {variance_name: variance * len(rows) / max(1, len(rows) - 1)}
    return found
