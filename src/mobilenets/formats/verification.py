"""Whether a written file gives the Model's outputs: what it is run on, what is expected, and how the two compare."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from mobilenets.architecture.network import Network
from mobilenets.errors import FormatError
from mobilenets.model import reference
from mobilenets.model.model import Model
from mobilenets.model.preprocessing import Pixels
from mobilenets.tasks.classification import Classification
from mobilenets.tasks.logits import softmax
from mobilenets.tasks.task import Agreement, Task

Array = npt.NDArray[Any]


def compare_outputs(task: Task, expected: Mapping[str, Array], found: Mapping[str, Array]) -> Agreement:
    """Compare the outputs of a file with those of the Model that it was written from.

    Args:
        task: What the outputs mean.
        expected: The Model's outputs by name, (N, C) or (N, C, H, W) each, in the network's order.
        found: The file's outputs by name.

    Raises:
        FormatError: If an output is missing or has another shape.
    """
    for name, values in expected.items():
        shape = found[name].shape if name in found else None
        if shape != values.shape:
            raise FormatError(f"the written file gives {name} the shape {shape}; the Model gives {values.shape}")
    return task.compare([found[name] for name in expected], list(expected.values()))


def expected_outputs(model: Model, pixels: Pixels) -> dict[str, Array]:
    """Outputs of the Model by the reference operators, one image at a time to bound memory."""
    runs = [reference.run_reference(model, pixels[number : number + 1]) for number in range(len(pixels))]
    return {name: np.concatenate([outputs[name] for outputs in runs]) for name in runs[0]}


def output_temperature(model: Model) -> float:
    """What a classifier's logits are divided by before the softmax.

    Raises:
        FormatError: If the Model is no classifier, so that its outputs are no logits.
    """
    if not isinstance(model.task, Classification):
        raise FormatError(f"a Model whose task is {model.task.kind} has no probabilities to give")
    return model.task.temperature


def as_probabilities(model: Model, outputs: Mapping[str, Array]) -> dict[str, Array]:
    """A classifier's outputs with probabilities in place of the first one's logits."""
    name = model.network.outputs[0]
    return {**outputs, name: softmax(outputs[name] / output_temperature(model)).astype(np.float32)}


_NOISE = 2
_COARSENESS = (0, 3)
"""Halvings of the network's input from which the smooth images are enlarged."""


def synthetic_images(network: Network) -> Pixels:
    """Noise, and smooth patches from fine to coarse.

    Args:
        network: Whose input they fit.

    Returns:
        uint8, (4, height, width, channels); the same for every call.
    """
    rng = np.random.default_rng(2017)
    shape = (_NOISE + len(_COARSENESS), network.height, network.width, network.channels)
    images = rng.integers(0, 256, shape, dtype=np.uint8)
    for image, halvings in zip(images[_NOISE:], _COARSENESS, strict=True):
        side = max(2, min(network.height, network.width) >> halvings >> 1)
        for channel in range(network.channels):
            blots = Image.fromarray(rng.integers(0, 256, (side, side), dtype=np.uint8))
            grown = blots.resize((network.width, network.height), Image.Resampling.BICUBIC)
            image[:, :, channel] = np.asarray(grown)
    return images
