"""What training begins from: published weights by default, a Model that somebody names, or nothing."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

import torch

from mobilenets.architecture.catalog import Specification
from mobilenets.architecture.network import Network
from mobilenets.architecture.rescale import with_resolution
from mobilenets.base.progress import SILENT, Progress
from mobilenets.base.text import plural
from mobilenets.data.dataset import Dataset
from mobilenets.errors import FormatError, MissingDependencyError, TrainingError
from mobilenets.formats.available import available_weights, strongest
from mobilenets.formats.known_weights import KnownWeights
from mobilenets.formats.loading import load_model
from mobilenets.model.integer_weights import dequantize
from mobilenets.model.model import Model
from mobilenets.training import head
from mobilenets.training.recipe import (
    FEWEST_AFFORDED_EPOCHS,
    MOST_CPU_MACS,
    PAPER,
    TRAINING_MACS,
    Recipe,
    for_fine_tuning,
    transfer_epochs,
)
from mobilenets.training.settings import Settings, fine_tuning_side, image_side, working_side

MOST_GPU_MACS = 1e16
"""Mult-Adds that five epochs may take on a GPU where nobody chooses the weights."""
SMALLEST_SIDE = 32
"""Pixels below which images are nothing for published weights."""


@dataclass(frozen=True, eq=False)
class Start:
    """What training begins from.

    Attributes:
        model: The Model, float32, at the resolution at which it will be used; None to train from scratch.
        name: What it was called; empty for none.
        reason: Why, in a sentence; empty where somebody has chosen.
    """

    model: Model | None = None
    name: str = ""
    reason: str = ""


def choose_start(settings: Settings, dataset: Dataset, recipe: Recipe, *, progress: Progress = SILENT) -> Start:
    """Load what training begins from, and tell ``progress`` in one line what that is and why, where nobody has said.

    With ``"auto"`` it is the most accurate of the published weights in the cache that can be trained in good time; of
    those that can be fetched, where the cache holds none.

    Args:
        settings: What somebody has said: the weights, the architecture, the width and the resolution.
        dataset: What will be trained on.
        recipe: How training from scratch would be done.
        progress: Receives what was chosen.

    Raises:
        TrainingError: If the weights cannot be trained, or are of another width.
        ModelFileError: If what somebody named does not exist.
        FormatError: If it cannot be read.
    """
    match settings.weights:
        case None | "none":
            return Start()
        case "auto":
            start = _automatic(settings, dataset, recipe, progress)
            progress.note(start.reason)
            return start
        case named:
            return Start(starting_model(load_model(named, progress=progress), settings, dataset), str(named))


def starting_model(model: Model, settings: Settings, dataset: Dataset) -> Model:
    """A Model as training takes it: float32, and at the resolution at which it will be used.

    Raises:
        TrainingError: If it cannot be trained, or is of another architecture, width or number of channels than the
            settings say.
    """
    model = dequantize(model)
    head.check_trainable(model)
    network = model.network
    if settings.architecture is not None:
        _check_architecture(settings.architecture, network)
    if settings.channels not in (None, network.channels):
        raise TrainingError(
            f"the weights are of a network of {plural(network.channels, 'channel')}; {settings.channels} was asked for"
        )
    if settings.width is not None and settings.width != network.width_multiplier:
        present = network.width_multiplier
        raise TrainingError(f"the weights are of a network of width {present:g}; width {settings.width:g} was asked")
    return replace(model, network=_at_working_size(network, settings, dataset))


def _check_architecture(wanted: str | Network, network: Network) -> None:
    """Raise if weights are of another architecture than was asked for."""
    name = wanted.name if isinstance(wanted, Network) else Specification.parse(wanted).name
    if name != network.name:
        raise TrainingError(
            f"the weights are of a {network.name}, and the architecture {name} was asked for: leave one of the two out"
        )


def _at_working_size(network: Network, settings: Settings, dataset: Dataset) -> Network:
    side = settings.resolution or working_side(network, image_side(dataset.train))
    return network if side == network.height == network.width else with_resolution(network, side, side)


def _automatic(settings: Settings, dataset: Dataset, recipe: Recipe, progress: Progress) -> Start:
    reason = _reason_for_none(settings, dataset, recipe)
    if reason:
        return Start(reason=f"trains from scratch: {reason}")
    named = None if settings.architecture is None else Specification.parse(str(settings.architecture))
    family = None if named is None else named.name
    width = settings.width if settings.width is not None or named is None else named.width_multiplier
    known = available_weights(family=family, width=width)
    chosen = suited_weights(known, settings, dataset, recipe)
    if chosen is None:
        return Start(reason=f"trains from scratch: nobody has published weights of {settings.architecture or width}")
    where = "in the cache" if chosen.cached else "fetched"
    try:
        model = load_model(chosen.name, progress=progress)
    except (FormatError, MissingDependencyError) as error:
        return Start(
            reason=f"trains from scratch: no published weights are in the cache, and {_shortly(error)}. Weights make "
            "a better Model: mobilenets models fetch"
        )
    others = f"the most accurate of {plural(len(known), 'network')}" if len(known) > 1 else "the only ones"
    fitting = " that train in good time" if len(known) > 1 and chosen is not known[0] else ""
    return Start(
        starting_model(model, settings, dataset),
        chosen.short_name,
        f"begins from {chosen.short_name} ({where}): {others}{fitting}; weights='none' trains from scratch",
    )


def suited_weights(
    known: list[KnownWeights], settings: Settings, dataset: Dataset, recipe: Recipe
) -> KnownWeights | None:
    """The most accurate of some weights that can be trained on this dataset and device in good time; None of none."""
    side = image_side(dataset.train)
    on_cpu = settings.device in ("auto", "cpu") and not (settings.device == "auto" and torch.cuda.is_available())

    def trained_side(one: KnownWeights) -> int:
        network = one.specification.network()
        return settings.resolution or fine_tuning_side(network, working_side(network, side))

    images = len(dataset.train)
    epochs = settings.epochs or min(FEWEST_AFFORDED_EPOCHS, transfer_epochs(images, for_fine_tuning(recipe, images)))
    most = MOST_CPU_MACS if on_cpu else MOST_GPU_MACS
    return strongest(known, most_macs=most / (TRAINING_MACS * epochs * images), side=trained_side)


def _reason_for_none(settings: Settings, dataset: Dataset, recipe: Recipe) -> str:
    """Why published weights are of no use; empty if they are."""
    if isinstance(settings.architecture, Network):
        return "the network is one of your own"
    if recipe.name == PAPER.name:
        return "that is the paper's recipe"
    if settings.channels == 1:
        return "published weights are of color images, and the network shall read grey ones"
    if settings.batch_norm:
        return "published weights are of networks as they are, and batch norms shall be added"
    side = image_side(dataset.train)
    if (settings.resolution or side) < SMALLEST_SIDE:
        return f"images of {settings.resolution or side} pixels hold too little of what published weights know"
    return ""


def _shortly(error: Exception) -> str:
    """The first sentence of an error, without what was said already."""
    first = re.split(r"\. |; ", str(error), maxsplit=1)[0].rstrip(".")
    return re.sub(r"^\S+ is not in the cache, and ", "", first)
