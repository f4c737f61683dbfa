"""Whether a written file gives the Model's outputs: what it is run on, what is expected, and how the two compare."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
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
from mobilenets.tasks.multilabel import MultiLabel, sigmoid
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


@dataclass(frozen=True)
class Ending:
    """How the logits of a file's first output become probabilities.

    Attributes:
        sigmoid: Whether each label has a sigmoid of its own; else they have a softmax together.
        temperature: What logits are divided by before that.
    """

    sigmoid: bool
    temperature: float = 1.0


def ending_of(model: Model) -> Ending:
    """How the logits of a Model become probabilities.

    Raises:
        FormatError: If its outputs are no logits of classes or labels.
    """
    match model.task:
        case Classification(temperature=temperature):
            return Ending(sigmoid=False, temperature=temperature)
        case MultiLabel():
            return Ending(sigmoid=True)
        case task:
            raise FormatError(f"a Model whose task is {task.kind} has no probabilities to give")


def as_probabilities(model: Model, outputs: Mapping[str, Array]) -> dict[str, Array]:
    """A Model's outputs with probabilities in place of the first one's logits."""
    name, ending = model.network.outputs[0], ending_of(model)
    function = sigmoid if ending.sigmoid else softmax
    return {**outputs, name: function(outputs[name] / ending.temperature).astype(np.float32)}


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
