"""What a person may say about a training run."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import torch

from mobilenets.architecture.catalog import Specification
from mobilenets.base.processors import cores
from mobilenets.data.augmentation import Flip
from mobilenets.errors import TrainingError
from mobilenets.model.model import Model
from mobilenets.training import defaults
from mobilenets.training.recipes import Recipe, recipe_named


@dataclass(frozen=True)
class Settings:
    """What a person may say about a run; None leaves it to :mod:`mobilenets.training.defaults`.

    Attributes:
        architecture: A name of the catalogue, alone or with its width and resolution: ``mobilenet_v1@0.5-160``.
        width: α; goes before the one in the name.
        resolution: Side of the input in pixels; goes before the one in the name.
        epochs: Passes over the training images.
        seed: Of the split of the data, the initial weights and all chances of training.
        recipe: How to train: a name, or a recipe of one's own.
        flip: Which mirror images are taken.
        weights: A Model, or the path of a Model file, to start from.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        precision: ``auto``, ``float32`` or ``bfloat16``.
        threads: Threads on the CPU.
        batch_norm: Put a batch norm after every convolution of an architecture that has none of its own: AlexNet,
            VGG16, GoogLeNet and SqueezeNet are older than it and hardly learn by the default recipe without.
        validation_apart: Never train on the validation images. A run that starts from ``weights`` else does so in its
            last third, when they have said how well it goes: few images are what limits such a run most.
    """

    architecture: str = "mobilenet_v1"
    width: float | None = None
    resolution: int | None = None
    epochs: int | None = None
    seed: int = 0
    recipe: str | Recipe = "default"
    flip: Flip | None = None
    weights: Model | str | Path | None = None
    device: str = "auto"
    precision: str = "auto"
    threads: int | None = None
    batch_norm: bool = False
    validation_apart: bool = False


def specification(settings: Settings) -> Specification:
    """What is to be trained, as far as somebody said so."""
    named = Specification.parse(settings.architecture)
    widths = (settings.width, named.width_multiplier, defaults.WIDTH)
    return replace(
        named,
        width_multiplier=next(width for width in widths if width is not None),
        resolution=named.resolution if settings.resolution is None else settings.resolution,
    )


def set_up(settings: Settings) -> tuple[Recipe, torch.device, str]:
    """The recipe, device and precision of training, with PyTorch set to its threads.

    Raises:
        TrainingError: If the settings contradict each other or name what is not there.
    """
    recipe = recipe_named(settings.recipe) if isinstance(settings.recipe, str) else settings.recipe
    device = defaults.choose_device(settings.device)
    precision = defaults.choose_precision(settings.precision, device)
    if settings.epochs is not None and settings.epochs < 1:
        raise TrainingError(f"epochs must be at least 1, not {settings.epochs}")
    if settings.threads is not None and settings.threads < 1:
        raise TrainingError(f"threads must be at least 1, not {settings.threads}")
    torch.set_num_threads(settings.threads or cores())
    torch.backends.cudnn.deterministic = True  # the same seed gives the same Model on a GPU too
    return recipe, device, precision
