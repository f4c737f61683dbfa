"""Ranges of an int8 Model's real outputs, for runtimes that know integers only.

The engine gives float32 outputs. A file in which everything is an integer needs a scale and a zero point for them, and
these come from what the Model answers for images.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mobilenets.data.splitting import spread
from mobilenets.engine.session import Session
from mobilenets.errors import ModelError
from mobilenets.model.model import Model
from mobilenets.model.preprocessing import Pixels
from mobilenets.model.quantization import TensorQuantization, real_outputs

MOST_IMAGES = 256
"""Images that are run; of more, a selection spread evenly."""
MARGIN = 0.125
"""Share of the range by which it is widened at either end: other images give somewhat larger values."""
_BATCH = 8


def with_output_ranges(model: Model, pixels: Pixels, *, margin: float = MARGIN) -> Model:
    """An int8 Model with a scale and a zero point for each of its real outputs.

    Args:
        model: int8. A scale that it has already is kept.
        pixels: Images like those that it will see, uint8 (N, height, width, channels).
        margin: Share of the range by which it is widened at either end.

    Returns:
        The Model with the field :attr:`~mobilenets.model.quantization.Quantization.outputs` filled.

    Raises:
        ModelError: If the Model is float32, the pixels do not fit, or an output is not finite.
    """
    quantization = model.quantization
    if quantization is None:
        raise ModelError("a float32 Model needs no scales of its outputs")
    missing = real_outputs(model.network) - set(quantization.outputs)
    if not missing or not len(pixels):
        return model
    session = Session(model)
    ends: dict[str, list[float]] = {name: [] for name in missing}
    chosen = pixels[spread(len(pixels), MOST_IMAGES)]
    for begin in range(0, len(chosen), _BATCH):
        found = session.outputs(chosen[begin : begin + _BATCH])
        for name, seen in ends.items():
            seen += [float(found[name].min()), float(found[name].max())]
    held = {name: _widened(model, name, min(seen), max(seen), margin) for name, seen in ends.items()}
    return replace(model, quantization=replace(quantization, outputs={**quantization.outputs, **held}))


def _widened(model: Model, name: str, low: float, high: float, margin: float) -> TensorQuantization:
    """Scale and zero point of one output, from the lowest and the highest value that was seen."""
    if not np.isfinite([low, high]).all():
        raise ModelError(f"the output {name} is NaN or infinite for an image, so it has no range")
    room = margin * (max(high, 0.0) - min(low, 0.0))
    bounds = model.network[name].activation.bounds
    least, most = bounds if bounds is not None else (-np.inf, np.inf)
    return TensorQuantization.spanning(max(low - room if low < 0 else low, least), min(high + room, most))
