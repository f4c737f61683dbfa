"""Images made of nothing, for seeing what a network does where no photograph is at hand."""

from __future__ import annotations

import numpy as np
from PIL import Image

from mobilenets.architecture.network import Network
from mobilenets.model.preprocessing import Pixels

NOISE = 2
COARSENESS = (0, 3)
"""Smooth images are grown from so many halvings of the network's input."""


def synthetic_images(network: Network) -> Pixels:
    """Noise, and smooth blots from fine to coarse.

    Args:
        network: Whose input they fit.

    Returns:
        uint8, (4, height, width, channels); the same for every call.
    """
    rng = np.random.default_rng(2017)
    shape = (NOISE + len(COARSENESS), network.height, network.width, network.channels)
    images = rng.integers(0, 256, shape, dtype=np.uint8)
    for image, halvings in zip(images[NOISE:], COARSENESS, strict=True):
        side = max(2, min(network.height, network.width) >> halvings >> 1)
        for channel in range(network.channels):
            blots = Image.fromarray(rng.integers(0, 256, (side, side), dtype=np.uint8))
            grown = blots.resize((network.width, network.height), Image.Resampling.BICUBIC)
            image[:, :, channel] = np.asarray(grown)
    return images
