"""How fast a network trains on this machine, so that a number of minutes becomes a number of epochs."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

import torch

from mobilenets.architecture.network import Network
from mobilenets.architecture.rescale import takes
from mobilenets.base.processors import cores
from mobilenets.base.progress import SILENT, Progress
from mobilenets.base.text import duration
from mobilenets.data.dataset import Dataset
from mobilenets.data.subset import Subset
from mobilenets.errors import TrainingError
from mobilenets.tasks.classification import class_count
from mobilenets.training.batches import Batches
from mobilenets.training.image_cache import cache_images
from mobilenets.training.network import NetworkModule
from mobilenets.training.objectives import cross_entropy
from mobilenets.training.optimization import initialize
from mobilenets.training.recipe import MOST_EPOCHS, Recipe, default_epochs, recipe_named, suited_to
from mobilenets.training.run import TrainingRun
from mobilenets.training.settings import PREPROCESSING, Settings, choose_device
from mobilenets.training.state import TrainingState

StepTimer = Callable[[Network, Batches, Recipe, tuple[int, int], torch.device], float]
"""(network, batches, recipe, (height, width), device) → seconds of one step of training."""

LOOK_SECONDS = 1.5
"""How long the rate at one resolution is looked at."""
FEWEST_STEPS = 2
OVERHEAD = 1.1
"""What averaging, validation and checkpoints add to the steps."""


def planned_epochs(
    dataset: Dataset,
    networks: Mapping[str, Network],
    settings: Settings,
    minutes: float | None,
    *,
    progress: Progress = SILENT,
) -> dict[str, int]:
    """Epochs for networks that are to be compared.

    Args:
        dataset: What they are trained on.
        networks: By name.
        settings: Recipe, threads and device; its epochs, if given, are everybody's.
        minutes: What each may be trained for; None for the epochs of the settings, or else those that ``fit`` gives.
        progress: Receives what was found.

    Raises:
        TrainingError: If a network has no time for one epoch.
    """
    recipe = recipe_named(settings.recipe) if isinstance(settings.recipe, str) else settings.recipe
    recipe = suited_to(recipe, dataset.labels, settings.flip)
    device = choose_device(settings.device)
    torch.set_num_threads(settings.threads or cores())
    found = {}
    for name, network in networks.items():
        if settings.epochs is not None:
            found[name] = settings.epochs
        elif minutes is None:
            found[name] = default_epochs(len(dataset.train), network.height, recipe)
        else:
            found[name] = epochs_within(minutes, network, dataset.train, recipe, device=device)
            progress.note(f"{name}: {found[name]} epochs in {minutes:g} min")
    return found


def epochs_within(
    minutes: float,
    network: Network,
    train: Subset,
    recipe: Recipe,
    *,
    device: torch.device,
    step_seconds: StepTimer | None = None,
) -> int:
    """Epochs that a network can be trained for in some minutes here, by a few steps that are timed; 250 at most.

    It looks at a clock, so it may give another number the next time.

    Args:
        minutes: What there is.
        network: What is to be trained.
        train: The training images.
        recipe: How.
        device: Where.
        step_seconds: Times one step; :func:`fastest_step` if None.

    Raises:
        TrainingError: If not a single epoch would be over in time.
    """
    per_step = min(recipe.batch, len(train)) * seconds_per_image(
        network, train, recipe, device=device, step_seconds=step_seconds
    )
    per_epoch = per_step * (len(train) // min(recipe.batch, len(train)))
    if per_epoch > 60 * minutes:
        raise TrainingError(
            f"one epoch of {network.name} at {network.height} pixels takes about {duration(per_epoch)} here, more than "
            f"the {minutes:g} min that it has"
        )
    return min(math.floor(60 * minutes / per_epoch), MOST_EPOCHS)


def seconds_per_image(
    network: Network,
    train: Subset,
    recipe: Recipe,
    *,
    device: torch.device,
    step_seconds: StepTimer | None = None,
) -> float:
    """What one image of a long run takes here, by a few steps that are timed, with validation and checkpoints.

    Args:
        network: What is to be trained.
        train: The training images.
        recipe: How.
        device: Where.
        step_seconds: Times one step; :func:`fastest_step` if None.
    """
    step_seconds = step_seconds or fastest_step
    few = train.take(range(min(len(train), 3 * recipe.batch)))
    images = cache_images(few, max(network.height, network.width))
    preprocessing = replace(PREPROCESSING, channels=network.channels)
    batches = Batches(images, class_count(network), preprocessing, recipe, seed=0, device=device)
    per_step = 0.0
    for share, side in _sides(recipe, network):
        per_step += share * step_seconds(network, batches, recipe, (side, side), device)
    return OVERHEAD * per_step / min(recipe.batch, len(train))


def _sides(recipe: Recipe, network: Network) -> Iterator[tuple[float, int]]:
    """Shares of a long run and the resolutions that they are trained at."""
    passed, many = 0.0, 1000
    for share, _ in recipe.growth:
        side = recipe.resolution_at(round((passed + share / 2) * many), many, network.height)
        yield share, side if takes(network, side) else network.height
        passed += share


def fastest_step(
    network: Network, batches: Batches, recipe: Recipe, size: tuple[int, int], device: torch.device
) -> float:
    """Least time of one step among a few."""
    module = NetworkModule(network, dropout=recipe.dropout)
    initialize(module, recipe, 0)
    state = TrainingState(module, recipe, TrainingRun(MOST_EPOCHS, device=device), batches.steps_per_epoch)
    module.train()
    objective = cross_entropy(recipe.label_smoothing)
    times: list[float] = []
    end = time.perf_counter() + LOOK_SECONDS
    while len(times) <= FEWEST_STEPS or time.perf_counter() < end:
        begun = time.perf_counter()
        for batch in batches.epoch(len(times), size):
            state.train_step(batch, objective)
            times.append(time.perf_counter() - begun)
            begun = time.perf_counter()
    return min(times[1:])  # the first step prepares its operators
