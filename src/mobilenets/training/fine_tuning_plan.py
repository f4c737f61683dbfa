"""What fine-tuning will do, before anything is computed: for how long, at which rate, and which images train when."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import torch

from mobilenets.architecture.cost import cost
from mobilenets.architecture.network import Network
from mobilenets.architecture.rescale import with_resolution
from mobilenets.data.dataset import Dataset
from mobilenets.errors import DataError
from mobilenets.model.model import Model
from mobilenets.model.preprocessing import Preprocessing
from mobilenets.training import head
from mobilenets.training.extensions import Extensions, OwnLoss, checked_loss
from mobilenets.training.features import feature_network
from mobilenets.training.objectives import Objective, one_output
from mobilenets.training.recipe import Recipe, for_fine_tuning, suited_to, transfer_epochs
from mobilenets.training.run import TrainingRun, fixed
from mobilenets.training.settings import Settings, choose_device, fine_tuning_side, set_up
from mobilenets.training.task_training import TaskTraining, task_training
from mobilenets.training.teacher import taught

HEAD_SHARE = 0.15
"""Share of the epochs in which only the output layer is trained, where none could be fitted on features."""
JOINED_SHARE = 1 / 3
"""Share of the epochs, at the end, in which the validation images are trained on too."""
HELD_OUT_SHARE = 1 / 6
"""Share of the epochs, at the beginning, that hold the validation images out, where they are too few to tell when a run
has settled; then the network is refitted on all images."""
FEWEST_PATIENT = 4
"""Epochs without a better one before a run may be thought to have settled."""
FEWEST_TELLING = 50
"""Validation images that can tell whether a run has settled, or was no use."""
FEWEST_STEPS = 40
"""Steps that a network needs at least to become better from an output layer of zeros than from a fitted one."""
SMALL_NETWORK = 220_000
"""Parameters before the output layer up to which a network takes the recipe's whole learning rate: those of the
MobileNet of width 0.25, for which it was chosen."""
WITHOUT_BATCH_NORM = 0.15
"""Factor on the learning rate of networks whose batch norms are folded, as those of 8-bit weights are: nothing brings
their maps back to scale after a large step."""


@dataclass(frozen=True, eq=False)
class Plan:
    """What fine-tuning will do, before anything is computed.

    Attributes:
        network: With an output for each label.
        preprocessing: Of the start, uncropped.
        recipe: With the batch and the learning rate of this network and this many images.
        run: For how long, and which images train when.
        objective: What every step minimizes.
        training: How the task is trained.
    """

    network: Network
    preprocessing: Preprocessing
    recipe: Recipe
    run: TrainingRun
    objective: Objective
    training: TaskTraining

    @classmethod
    def of(
        cls, start: Model, dataset: Dataset, settings: Settings, teacher: Model | None, extensions: Extensions
    ) -> Plan:
        if len(dataset.train) < 2:
            raise DataError(f"there are {len(dataset.train)} training images; training needs two at least")
        recipe, device, precision = set_up(settings)
        recipe = suited_to(for_fine_tuning(recipe, len(dataset.train)), dataset.labels, settings.flip)
        if settings.batch_size is not None:
            recipe = replace(recipe, batch=settings.batch_size)
        training = task_training(dataset)
        recipe = training.suited(recipe)
        same = gives_the_same(start, dataset)
        network = start.network if same else head.with_classes(start.network, training.channels)
        recipe = replace(recipe, learning_rate=recipe.learning_rate * rate_factor(network))
        # Uncropped, as those that are trained from scratch: a thing that fills its image is seen whole.
        preprocessing = replace(start.preprocessing, crop_fraction=1.0, channels=network.channels)
        apart = settings.validation_apart or training.keeps_validation_apart
        run = _run(dataset, network, replace(settings, validation_apart=apart), recipe, start, device, precision)
        objective = objective_of(training, recipe, extensions.loss)
        if teacher is not None:
            objective = taught(teacher, preprocessing, network, run.device, recipe)
        return cls(network, preprocessing, recipe, run, objective, training)

    def settled(self, dataset: Dataset) -> dict[str, Any]:
        """What must be the same for a run to go on."""
        return fixed(dataset, self.network, self.recipe, self.run) | {
            "side": max(self.run.size or (self.network.height, self.network.width))
        }


def rate_factor(network: Network) -> float:
    """Factor on the learning rate of fine-tuning, which is smaller the wider a network is.

    A step of Adam changes every weight by as much, so the sum over twice as many channels changes by twice as much: the
    rate falls as the square root of the number of parameters, which grows as the square of the width. At the rate of
    the MobileNet of width 0.25 a MobileNetV2 forgets in an epoch most of what it knew (docs/experiments/fine-tuning.md;
    Yang et al. 2022, arXiv:2203.03466).

    Args:
        network: A classifier.

    >>> from mobilenets.architecture.catalog import Specification
    >>> [round(rate_factor(Specification.parse(name).network()), 2) for name in ("mobilenet_v1@0.25", "mobilenet_v2")]
    [1.0, 0.31]
    """
    if all(layer.batch_norm is None for layer in network.layers):
        return WITHOUT_BATCH_NORM
    output = f"{head.output_layer(network).name}."
    shapes = network.parameter_shapes()
    parameters = sum(math.prod(shape) for name, shape in shapes.items() if not name.startswith(output))
    return min(1.0, math.sqrt(SMALL_NETWORK / parameters))


def epochs_to_fine_tune(
    network: Network, images: int, settings: Settings, recipe: Recipe, device: torch.device | None = None
) -> int:
    """Epochs of a whole fine-tuning, as somebody has said or by what there is to train.

    Args:
        network: At the resolution at which it will be used.
        images: Images that it is trained on.
        settings: The epochs, and whether training has the resolution of use.
        recipe: How many images to show.
        device: Where; by default that of the settings.
    """
    if settings.epochs is not None:
        return settings.epochs
    side, trained = max(network.height, network.width), _trained_side(network, settings)
    shown = network if trained == side else with_resolution(network, trained, trained)
    on_cpu = (device or choose_device(settings.device)).type == "cpu"
    return transfer_epochs(images, recipe, cost(shown).macs if on_cpu else None)


def _trained_side(network: Network, settings: Settings) -> int:
    side = max(network.height, network.width)
    return side if settings.resolution is not None else fine_tuning_side(network, side)


def _run(
    dataset: Dataset,
    network: Network,
    settings: Settings,
    recipe: Recipe,
    start: Model,
    device: torch.device,
    precision: str,
) -> TrainingRun:
    joining = not settings.validation_apart
    images = len(dataset.train) + (len(dataset.validation) if joining else 0)
    side = max(network.height, network.width)
    trained = _trained_side(network, settings)
    epochs = epochs_to_fine_tune(network, images, settings, recipe, device)
    trains_head = not gives_the_same(start, dataset) and feature_network(network) is None
    joined = epochs - max(1, round(JOINED_SHARE * epochs))
    held_out_epochs = 0 if trains_head or not joining else _held_out_epochs(epochs, dataset, recipe)
    return TrainingRun(
        epochs,
        min(max(1, round(HEAD_SHARE * epochs)), epochs - 1) if trains_head else 0,
        head.early_layers(network, recipe.kept_stride),
        seed=settings.seed,
        precision=precision,
        device=device,
        joined=(held_out_epochs or joined) if joining and joined > 0 else None,
        held_out_epochs=held_out_epochs,
        size=None if trained == side else (trained, trained),
        frozen_statistics=not recipe.transfer_statistics,
        patience=max(FEWEST_PATIENT, round(recipe.transfer_patience * epochs))
        if len(dataset.validation) >= FEWEST_TELLING
        else None,
    )


def steps_per_epoch(dataset: Dataset, recipe: Recipe) -> int:
    """Steps of an epoch."""
    return max(1, len(dataset.train) // recipe.batch)


def _held_out_epochs(epochs: int, dataset: Dataset, recipe: Recipe) -> int:
    """Epochs of a short run first; none where it had too few steps, or the validation images are many enough."""
    held_out = round(HELD_OUT_SHARE * epochs)
    steps = held_out * steps_per_epoch(dataset, recipe)
    return held_out if len(dataset.validation) < FEWEST_TELLING and steps >= FEWEST_STEPS else 0


def gives_the_same(start: Model, dataset: Dataset) -> bool:
    """Whether a Model already gives what the targets of a dataset are: the same task over the same labels."""
    return start.task.kind == dataset.task and start.task.labels == dataset.labels


def objective_of(training: TaskTraining, recipe: Recipe, own: OwnLoss | None = None) -> Objective:
    """What a step minimizes: a task's loss, or a caller's."""
    loss = training.loss(recipe.label_smoothing) if own is None else checked_loss(own)
    return one_output(loss, counted=training.task.kind == "classification")
