"""Pictures made of nothing, for seeing what a network does where no photograph is at hand."""

from __future__ import annotations

import numpy as np
from PIL import Image

from mobilenets.architecture.layers import Network
from mobilenets.model.preprocessing import Pixels


def synthetic_pictures(network: Network, count: int = 4) -> Pixels:
    """Pictures that differ in what matters: brightness, contrast, and how fine their structure is.

    Args:
        network: Whose input they fit.
        count: How many.

    Returns:
        uint8, (count, height, width, channels); the same for every call.
    """
    rng = np.random.default_rng(2017)
    pictures = np.empty((count, network.height, network.width, network.channels), np.uint8)
    for number, picture in enumerate(pictures):
        coarse = max(2, min(network.height, network.width) >> (number % 6))
        for channel in range(network.channels):
            blots = Image.fromarray(rng.integers(0, 256, (coarse, coarse), dtype=np.uint8))
            grown = blots.resize((network.width, network.height), Image.Resampling.BICUBIC)
            picture[:, :, channel] = np.asarray(grown)
    return pictures
