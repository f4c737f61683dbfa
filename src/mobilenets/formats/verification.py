"""Whether a written file answers like the Model: it is run, by the runtime that it is meant for, on images."""

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
from mobilenets.tasks.classification import best_class, logits_of

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Agreement:
    """How a file's answers compare to the Model's.

    Attributes:
        images: How many images were run.
        largest_difference: Between any two values of any output.
        largest_value: Largest magnitude that the Model gave: what the difference is to be seen against.
        top1: Share of images whose first output names the same class.
    """

    images: int
    largest_difference: float
    largest_value: float
    top1: float

    @property
    def relative(self) -> float:
        """The largest difference as a share of the largest value."""
        return self.largest_difference / max(self.largest_value, 1e-30)


def compare(expected: Mapping[str, Array], found: Mapping[str, Array]) -> Agreement:
    """Outputs of the Model and of a file, by name, (N, C) or (N, C, H, W) each.

    Raises:
        FormatError: If an output is missing or has another shape.
    """
    for name, values in expected.items():
        shape = found[name].shape if name in found else None
        if shape != values.shape:
            raise FormatError(f"the written file gives {name} the shape {shape}; the Model gives {values.shape}")
    first = next(iter(expected))
    same = best_class(logits_of([expected[first]])) == best_class(logits_of([found[first]]))
    return Agreement(
        images=len(expected[first]),
        largest_difference=max(float(np.abs(values - found[name]).max()) for name, values in expected.items()),
        largest_value=max(float(np.abs(values).max()) for values in expected.values()),
        top1=float(same.mean()),
    )


def expected_outputs(model: Model, pixels: Pixels) -> dict[str, Array]:
    """What the Model itself gives, by the reference operators, one image at a time for the sake of memory."""
    runs = [reference.run(model, pixels[number : number + 1]) for number in range(len(pixels))]
    return {name: np.concatenate([outputs[name] for outputs in runs]) for name in runs[0]}


_NOISE = 2
_COARSENESS = (0, 3)
"""Smooth images are grown from so many halvings of the network's input."""


def synthetic_images(network: Network) -> Pixels:
    """Noise, and smooth blots from fine to coarse.

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
