"""A Model run on thousands of images: the operators of :mod:`mobilenets.model.reference`, arranged for speed in NumPy.

float32 Models are computed in float32; int8 Models give the reference's answer, byte for byte.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from mobilenets.architecture.layers import (
    INPUT,
)
from mobilenets.base.progress import SILENT, Progress
from mobilenets.model.float_layers import float_result
from mobilenets.model.integer_layers import arithmetic, integer_result
from mobilenets.model.map_sums import LayerResult, Map
from mobilenets.model.model import Model
from mobilenets.model.preprocessing import Pixels, check_pixels

BATCH = 16
"""Images that are computed at once, unless told otherwise: more no longer helps, and costs memory."""


def run_numpy(model: Model, pixels: Pixels, *, batch: int = BATCH, progress: Progress = SILENT) -> dict[str, Map]:
    """Outputs of a Model for any number of images.

    Args:
        model: float32 (computed in float32) or int8 (equal to the reference byte for byte).
        pixels: uint8, (N, height, width, 3).
        batch: Images at once; memory grows with it.
        progress: Receives progress updates.

    Returns:
        By output name, as :func:`mobilenets.model.reference.run_reference`: (N, C) where the output is 1×1, else
        (N, C, H, W).

    Raises:
        ModelError: If the pixels do not fit the network's input.
    """
    check_pixels(model.network, pixels)
    parts: dict[str, list[Map]] = {name: [] for name in model.network.outputs}
    with progress.task("running", len(pixels), "images") as task:
        for begin in range(0, max(len(pixels), 1), batch):
            for name, value in layers(model, pixels[begin : begin + batch]):
                if name in parts:
                    parts[name].append(_leave(model, name, value))
            task.advance(len(pixels[begin : begin + batch]))
    return {name: np.concatenate(values) for name, values in parts.items()}


def layers(model: Model, pixels: Pixels) -> Iterator[tuple[str, Map]]:
    """``"input"`` and every layer's result for one batch, each as soon as it is there, freed once nobody reads it.

    Args:
        model: float32, with batch norms or without, or int8.
        pixels: uint8, (N, height, width, 3).

    Yields:
        Name and map: float32 for a float Model; uint8 (float32 for real outputs) for an int8 one.

    Raises:
        ModelError: If the pixels do not fit the network's input.
    """
    for result in layer_results(model, pixels):
        yield result.name, result.value


def layer_results(model: Model, pixels: Pixels) -> Iterator[LayerResult]:
    """What :func:`layers` yields, with what the activation functions read.

    Raises:
        ModelError: If the pixels do not fit the network's input.
    """
    network = model.network
    check_pixels(network, pixels)
    values = {INPUT: input_map(model, pixels)}
    yield LayerResult(INPUT, values[INPUT])
    last_reader = {source: layer.name for layer in network.layers for source in layer.inputs}
    for layer in network.layers:
        sources = [values[name] for name in layer.inputs]
        if model.quantization is None:
            result = float_result(layer, sources, model.parameters)
        else:
            result = integer_result(layer, sources, arithmetic(model, layer))
        values[layer.name] = result.value
        yield result
        for name in set(layer.inputs):
            if last_reader[name] == layer.name:
                del values[name]


def input_map(model: Model, pixels: Pixels) -> Map:
    """What the first layer reads: normalized float32 for a float Model, the bytes themselves for an int8 one."""
    values: Map = pixels
    if model.quantization is None:
        values = model.preprocessing.normalize(pixels)
    return np.ascontiguousarray(values.transpose(1, 2, 0, 3))


def _leave(model: Model, name: str, value: Map) -> Map:
    if model.quantization is not None and value.dtype == np.uint8:
        numbers = model.quantization.activations[name]
        value = (value.astype(np.float32) - np.float32(numbers.zero_point)) * np.float32(numbers.scale)
    maps = np.ascontiguousarray(value.transpose(2, 3, 0, 1))
    return maps[:, :, 0, 0] if maps.shape[2:] == (1, 1) else maps
