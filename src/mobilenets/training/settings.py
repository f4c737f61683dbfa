"""Settings of a training run, and their defaults.

Defaults follow from the data and the machine's kind, never from a clock: the same command gives the same Model.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from mobilenets.architecture.catalog import Specification
from mobilenets.architecture.cost import cost
from mobilenets.architecture.layers import BatchNorm
from mobilenets.architecture.network import Network
from mobilenets.architecture.rescale import with_resolution, with_width
from mobilenets.base.arguments import check_fields, check_integer, check_number, word_of
from mobilenets.base.memory import memory_of_machine
from mobilenets.base.processors import cores
from mobilenets.base.text import size
from mobilenets.data.augmentation import Flip
from mobilenets.data.subset import Subset
from mobilenets.engine.session import MOST_THREADS
from mobilenets.errors import ArchitectureError, DataError, TrainingError
from mobilenets.model.model import Model
from mobilenets.model.preprocessing import GREY_CHANNELS, RGB_CHANNELS, Preprocessing
from mobilenets.training.beforehand import ARCHITECTURE, DEVICES, PRECISIONS, check_width
from mobilenets.training.distributed import launch
from mobilenets.training.head import check_channels, with_classes
from mobilenets.training.image_cache import MEMORY_SHARE
from mobilenets.training.recipe import Recipe, recipe_named

PREPROCESSING = Preprocessing(crop_fraction=1.0)
"""Of a network that is trained from scratch."""
WIDTH = 0.5
RESOLUTIONS = (32, 48, 64, 96, 128)
SMALLEST_FINE_TUNING, LARGEST_FINE_TUNING = 64, 176
"""Pixels of the images that a network is fine-tuned with, at least and at most."""
MAGNIFIED = 1.18
"""How many times as large whole images are that it is used on."""
GRID = 16
"""Sides are multiples of it."""
SPARE = 1.15
"""Images should be this much larger than the network's input, so that a crop is rarely blown up."""
TRAINED_BYTES = 16
"""Of a parameter in training: itself, its gradient, its momentum and its moving average."""
SAMPLED_IMAGES = 16
LARGEST_LOOK = 256


@dataclass(frozen=True)
class Settings:
    """Settings of a run; None leaves a choice to the defaults of this module.

    Attributes:
        architecture: A name of the catalog, alone or with its width and resolution: ``mobilenet_v1@0.5-160``. Or a
            Network: its layers, with an output for each class of the data. None for that of the weights, or
            ``mobilenet_v1`` from scratch.
        width: α; goes before the architecture's.
        resolution: Side of the input in pixels; goes before the architecture's.
        channels: 3, or 1 for a network of grey images; None for the given network's, else 3.
        batch_size: Images in a step; None for the recipe's. Fewer take less memory.
        epochs: Passes over the training images.
        seed: Random seed of the split of the data, the initial weights and training.
        recipe: How to train: a name, or a recipe of one's own.
        flip: Which mirror images are taken: a :class:`~mobilenets.data.augmentation.Flip`, or its text.
        weights: ``"auto"`` for published weights that suit the data, if they are to be had
            (:func:`~mobilenets.training.start.choose_start`); None or ``"none"`` to train from scratch; or a Model to
            start from, or what :func:`~mobilenets.formats.loading.load_model` reads as one: ``"keras:0.25-224"``, say.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        precision: ``auto``, ``float32`` or ``bfloat16``.
        threads: Threads on the CPU.
        batch_norm: Put a batch norm after every convolution of an architecture that has none of its own: AlexNet,
            VGG16, GoogLeNet and SqueezeNet are older than it and hardly learn by the default recipe without.
        validation_apart: Never train on the validation images. A run that starts from ``weights`` else does so in its
            last third, when they have measured how well it goes: few images are what limits such a run most.
        time: Seconds that all of it may take. A run that would take longer ends in time, with the best Model so far;
            another machine then gives another Model.
        memory_share: Share of this machine's memory that resized training images may take, from 0 to 1, for all
            processes that train together on it. More images are kept in a file of the cache.

    Raises:
        TrainingError: If ``flip`` is unknown, or a number is out of range. :func:`set_up` checks the other words.

    >>> Settings("mobilenet_v1@0.25-96", epochs=20).epochs
    20
    >>> Settings(epochs=0)
    Traceback (most recent call last):
    ...
    mobilenets.errors.TrainingError: epochs must be at least 1, not 0
    """

    architecture: str | Network | None = None
    width: float | None = None
    resolution: int | None = None
    channels: int | None = None
    batch_size: int | None = None
    epochs: int | None = None
    seed: int = 0
    recipe: str | Recipe = "default"
    flip: Flip | str | None = None
    weights: Model | str | Path | None = "auto"
    device: str = "auto"
    precision: str = "auto"
    threads: int | None = None
    batch_norm: bool = False
    validation_apart: bool = False
    time: float | None = None
    memory_share: float = MEMORY_SHARE

    def __post_init__(self) -> None:
        check_fields(self, TrainingError)
        if self.flip is not None:
            object.__setattr__(self, "flip", word_of(Flip, self.flip, "flip", TrainingError))
        check_integer("seed", self.seed, TrainingError, least=0)
        check_width(self.width)
        for name in ("resolution", "epochs", "threads"):
            if getattr(self, name) is not None:
                most = MOST_THREADS if name == "threads" else None
                check_integer(name, getattr(self, name), TrainingError, least=1, most=most)
        if self.channels not in (None, GREY_CHANNELS, RGB_CHANNELS):
            raise TrainingError(f"channels must be {RGB_CHANNELS}, or {GREY_CHANNELS} for grey, not {self.channels}")
        check_number("memory_share", self.memory_share, TrainingError, least=0, most=1)
        if self.time is not None:
            check_number("time", self.time, TrainingError, above=0)
        if self.batch_size is not None:
            check_integer("batch_size", self.batch_size, TrainingError, least=2)


def spelled_out(settings: Settings) -> Settings:
    """Settings whose width and resolution are those that the name of the architecture says, unless they say others.

    >>> spelled_out(Settings("mobilenet_v1@0.25-96", resolution=64)).width
    0.25
    >>> spelled_out(Settings("mobilenet_v1@0.25-96", resolution=64)).resolution
    64
    """
    if not isinstance(settings.architecture, str):
        return settings
    named = Specification.parse(settings.architecture)
    return replace(
        settings,
        width=named.width_multiplier if settings.width is None else settings.width,
        resolution=named.resolution if settings.resolution is None else settings.resolution,
    )


def specification(settings: Settings) -> Specification:
    """What is to be trained, as far as the settings name it.

    Raises:
        ArchitectureError: If the name is unknown.
        TrainingError: If they give a Network in place of a name.
    """
    if isinstance(settings.architecture, Network):
        raise TrainingError(f"a name of the catalog is needed here; {settings.architecture!r} was given")
    named = Specification.parse(settings.architecture or ARCHITECTURE)
    check_width(named.width_multiplier)
    widths = (settings.width, named.width_multiplier, WIDTH)
    return replace(
        named,
        width_multiplier=next(width for width in widths if width is not None),
        resolution=named.resolution if settings.resolution is None else settings.resolution,
    )


def network_for(settings: Settings, classes: int, images: Subset | None = None) -> Network:
    """The network that is trained from scratch.

    Args:
        settings: Say which, and at which width and resolution.
        classes: Its outputs.
        images: What the resolution follows where the settings leave it open; None for the architecture's own.

    Raises:
        ArchitectureError: If the name is unknown, or the width or resolution is out of range.
        TrainingError: If a Network was given that does not take images, or it is too large for this machine.
        DataError: If none of the images can be decoded.
    """
    network = _network_of(settings, classes, images)
    needed, there = TRAINED_BYTES * cost(network).parameters, memory_of_machine()
    if there is not None and needed > there:
        raise TrainingError(
            f"{network.name} has {cost(network).parameters:,} parameters, whose training takes {size(needed)} at "
            f"least; this machine has {size(there)} of memory. Lower the width"
        )
    return network


def _network_of(settings: Settings, classes: int, images: Subset | None) -> Network:
    if isinstance(settings.architecture, Network):
        return _given_network(settings.architecture, settings, classes)
    chosen = specification(settings)
    if chosen.resolution is None and images is not None:
        chosen = replace(chosen, resolution=default_resolution(images))
    network = chosen.network(classes=classes, batch_norm=BatchNorm() if settings.batch_norm else None)
    return network if settings.channels is None else replace(network, channels=settings.channels)


def _given_network(network: Network, settings: Settings, classes: int) -> Network:
    if settings.batch_norm:
        raise TrainingError("batch_norm goes with the name of an architecture; a Network has the layers that it has")
    check_channels(network)
    if settings.channels is not None and settings.channels != network.channels:
        raise TrainingError(f"channels is {settings.channels}, and {network.name} takes {network.channels}")
    if settings.width is not None:
        network = with_width(network, settings.width)
    if settings.resolution is not None:
        network = with_resolution(network, settings.resolution, settings.resolution)
    return with_classes(network, classes)


def set_up(settings: Settings) -> tuple[Recipe, torch.device, str]:
    """The recipe, device and precision of training, with PyTorch set to its threads.

    Raises:
        TrainingError: If the settings contradict each other or name what is not there.
    """
    recipe = recipe_named(settings.recipe) if isinstance(settings.recipe, str) else settings.recipe
    if settings.batch_size is not None:
        recipe = replace(recipe, batch=settings.batch_size)
    device = choose_device(settings.device)
    precision = choose_precision(settings.precision, device)
    torch.set_num_threads(settings.threads or max(1, cores() // launch().local_count))
    torch.backends.cudnn.deterministic = True  # the same seed gives the same Model on a GPU too
    return recipe, device, precision


def image_side(subset: Subset) -> int:
    """The usual shorter side of images in pixels, by a few of them; 256 of larger ones.

    Raises:
        DataError: If none of those can be decoded.
    """
    positions = np.unique(np.linspace(0, len(subset) - 1, SAMPLED_IMAGES).astype(int))
    sides = []
    for position in positions:
        try:
            sides.append(min(*subset.images[position].open(LARGEST_LOOK).size, LARGEST_LOOK))
        except DataError:
            continue  # named and counted when all are decoded
    if not sides:
        raise DataError(f"none of {len(positions)} images can be decoded")
    return int(np.median(sides))


def default_resolution(subset: Subset) -> int:
    """The largest usual resolution that the images fill with a little to spare, estimated from a few of them.

    Raises:
        DataError: If none of those can be decoded.
    """
    return usual_resolution(image_side(subset))


def usual_resolution(side: int) -> int:
    """The largest usual resolution that images of a side fill with a little to spare.

    >>> usual_resolution(8), usual_resolution(100), usual_resolution(256)
    (32, 64, 128)
    """
    return max((one for one in RESOLUTIONS if one * SPARE <= side), default=RESOLUTIONS[0])


def working_side(network: Network, side: int) -> int:
    """Side in pixels at which a network is used after fine-tuning: by what the images hold, not by what it has learned.

    Training is at the images' own size (:func:`fine_tuning_side`), with crops, which show things larger than whole
    images do. So a network that learnt from crops of 176 pixels knows whole images better at 208 than at 176, and
    learns faster than at 208 (docs/experiments/fine-tuning.md; Touvron et al. 2019, arXiv:1906.06423).

    Args:
        network: Of the weights.
        side: Of the images (:func:`image_side`).

    >>> from mobilenets.architecture.networks.mobilenet_v1 import mobilenet_v1
    >>> [working_side(mobilenet_v1(), side) for side in (40, 100, 128, 256)]
    [80, 112, 144, 208]
    """
    trained = min(max(side // GRID * GRID, SMALLEST_FINE_TUNING), LARGEST_FINE_TUNING)
    wanted = round(trained * MAGNIFIED / GRID) * GRID
    return wanted if network.height == network.width and takes_side(network, wanted) else network.height


def fine_tuning_side(network: Network, side: int) -> int:
    """Side in pixels of the images that a network is fine-tuned with, if it is used at another.

    >>> from mobilenets.architecture.networks.mobilenet_v1 import mobilenet_v1
    >>> [fine_tuning_side(mobilenet_v1(), side) for side in (80, 112, 144, 208)]
    [64, 96, 128, 176]
    """
    wanted = max(math.floor(side / MAGNIFIED / GRID + 0.5) * GRID, SMALLEST_FINE_TUNING)
    return wanted if wanted < side and network.height == network.width and takes_side(network, wanted) else side


def takes_side(network: Network, side: int) -> bool:
    """Whether the same weights take square images of another size."""
    try:
        return with_resolution(network, side, side).parameter_shapes() == network.parameter_shapes()
    except ArchitectureError:
        return False


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
    if name == "cuda" and launch().count > 1:  # each process has a GPU of its own
        torch.cuda.set_device(launch().local_rank)
        return torch.device(name, launch().local_rank)
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
