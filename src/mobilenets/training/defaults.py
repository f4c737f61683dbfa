"""What to do where nobody said: width, resolution, how long to train, on which device.

All of it follows from the data and the machine's kind, never from a clock: the same command gives the same Model.
"""

from __future__ import annotations

import math

import numpy as np
import torch

from mobilenets.architecture.network import Network
from mobilenets.architecture.rescale import takes, with_resolution
from mobilenets.data.subset import Subset
from mobilenets.errors import ArchitectureError, DataError, TrainingError
from mobilenets.model.preprocessing import Preprocessing
from mobilenets.training.recipes import Recipe

PREPROCESSING = Preprocessing(crop_fraction=1.0)
"""Of a network that is trained from scratch."""
WIDTH = 0.5
RESOLUTIONS = (32, 48, 64, 96, 128)
LARGEST_FINE_TUNING, LARGEST_FINE_TUNED = 176, 208
"""Pixels at which a network is trained further at most, and those at which it is used afterwards at most."""
SPARE = 1.15
"""Images should be this much larger than the network's input, so that a crop is rarely blown up."""
SAMPLED_IMAGES = 16
LARGEST_LOOK = 256
FEWEST_EPOCHS, MOST_EPOCHS = 10, 250
REFERENCE_RESOLUTION = 128
DEVICES = ("auto", "cpu", "cuda", "mps")
PRECISIONS = ("auto", "float32", "bfloat16")


def default_resolution(subset: Subset) -> int:
    """The largest usual resolution that the images fill with a little to spare, judged by a few of them.

    Raises:
        DataError: If none of those can be decoded.
    """
    positions = np.unique(np.linspace(0, len(subset) - 1, SAMPLED_IMAGES).astype(int))
    sides = []
    for position in positions:
        try:
            sides.append(min(subset.images[position].open(LARGEST_LOOK).size))
        except DataError:
            continue  # named and counted when all are decoded
    if not sides:
        raise DataError(f"none of {len(positions)} images can be decoded")
    return max((side for side in RESOLUTIONS if side * SPARE <= np.median(sides)), default=RESOLUTIONS[0])


def fine_tuning_network(network: Network) -> Network:
    """A Model's network at the resolution at which it is used after more training: its own, 208 pixels at most.

    Small images are enlarged for it: a network knows things at the size at which it has learnt them.
    """
    if max(network.height, network.width) <= LARGEST_FINE_TUNED:
        return network
    try:
        return with_resolution(network, LARGEST_FINE_TUNED, LARGEST_FINE_TUNED)
    except ArchitectureError:  # it works at one size only
        return network


def fine_tuning_side(network: Network) -> int:
    """Side of the images that a network is trained further with: its own, 176 pixels at most where it takes those.

    Crops show things larger than whole images do, so a network that learnt from crops of 176 pixels knows whole
    images better at 208 than at 176, and learns faster than at 208 (docs/training.md; Touvron et al. 2019,
    arXiv:1906.06423).
    """
    side = max(network.height, network.width)
    if side <= LARGEST_FINE_TUNING or network.height != network.width or not takes(network, LARGEST_FINE_TUNING):
        return side
    return LARGEST_FINE_TUNING


def default_epochs(images: int, resolution: int, recipe: Recipe) -> int:
    """How long to train: so many images shown in all, in proportion to the resolution to the power of 1.25.

    Small images hold less, are learnt sooner, and overfit sooner. A data set of many images is seen ten times at
    least, and one of few 250 times at most.

    Args:
        images: Training images.
        resolution: Side of the network's input.
        recipe: Says how many images to show.
    """
    wanted = recipe.presentations * math.pow(resolution / REFERENCE_RESOLUTION, 1.25) / images
    return min(max(math.ceil(wanted), FEWEST_EPOCHS), MOST_EPOCHS)


def choose_device(name: str) -> torch.device:
    """The device of that name; ``auto`` takes CUDA, then Apple's, then the CPU.

    Raises:
        TrainingError: If it is not there.
    """
    if name not in DEVICES:
        raise TrainingError(f"no device is called {name!r}; known are {', '.join(DEVICES)}")
    present = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        name = next(kind for kind, there in present.items() if there)
    if not present[name]:
        raise TrainingError(f"there is no {name} device here; present: {', '.join(k for k, v in present.items() if v)}")
    return torch.device(name)


def choose_precision(name: str, device: torch.device) -> str:
    """``float32`` or ``bfloat16``; ``auto`` takes bfloat16 on CUDA only.

    On CPUs without matrix tiles bfloat16 is slower than float32 for these networks, AVX512_BF16 or not: of its
    convolutions' backward passes, the strided depthwise ones take four times as long (docs/training.md).

    Raises:
        TrainingError: If the name is unknown.
    """
    if name not in PRECISIONS:
        raise TrainingError(f"no precision is called {name!r}; known are {', '.join(PRECISIONS)}")
    if name == "auto":
        return "bfloat16" if device.type == "cuda" else "float32"
    return name
