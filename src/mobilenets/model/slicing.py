"""A narrower Model out of a wide one, by keeping the first channels of every layer."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mobilenets.architecture.resizing import with_resolution, with_width
from mobilenets.errors import ModelError
from mobilenets.model.model import Model


def sliced(model: Model, *, width_multiplier: float | None = None, resolution: int | None = None) -> Model:
    """The Model of a smaller width, a different resolution or both, with the first weights of the wide one.

    What comes out is as good as the wide Model was trained to be at that width (see
    :mod:`mobilenets.training.slimmable`), and only after its batch-norm statistics have been estimated anew.

    Args:
        model: A float32 Model.
        width_multiplier: α, at most the Model's own; its own if None.
        resolution: Side of the square input in pixels; the Model's own size if None.

    Raises:
        ModelError: If the Model is int8.
        ArchitectureError: If the network cannot have that width or resolution.
    """
    if model.quantization is not None:
        raise ModelError(
            "an int8 Model cannot be sliced: its scales hold for its own width only; slice the float32 one"
        )
    network = model.network
    if resolution is not None:
        network = with_resolution(network, resolution, resolution)
    if width_multiplier is not None:
        network = with_width(network, width_multiplier)
    parameters = {
        name: np.ascontiguousarray(model.parameters[name][tuple(slice(size) for size in shape)])
        for name, shape in network.parameter_shapes().items()
    }
    return replace(model, network=network, parameters=parameters)
