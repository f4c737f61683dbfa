"""Training of a supernet, and fine-tuning of one of its subnets."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from mobilenets.architecture.cost import cost
from mobilenets.architecture.network import Network
from mobilenets.base.progress import SILENT, Progress
from mobilenets.data.dataset import Dataset
from mobilenets.data.loading import prepare
from mobilenets.model.model import Model
from mobilenets.model.provenance import Data, Provenance, Training
from mobilenets.model.subnet import extract_subnet
from mobilenets.tasks.classification import Classification, class_count
from mobilenets.training.batches import Batches
from mobilenets.training.checkpoint import CheckpointFile
from mobilenets.training.image_cache import CachedImages
from mobilenets.training.loop import Trained, train
from mobilenets.training.network import NetworkModule, module_of, parameters_of, placed
from mobilenets.training.objectives import Distillation, Objective, Sandwich
from mobilenets.training.optimization import initialize, set_batch_norm_momentum
from mobilenets.training.recipe import Recipe, default_epochs
from mobilenets.training.run import TrainingRun, fixed
from mobilenets.training.selection import Epoch, Validation, is_better
from mobilenets.training.settings import PREPROCESSING

SUPERNET_EPOCHS = 3.0
"""Of as many epochs as an ordinary run has: a step trains one subnet, on average for a little less than half the price
of the widest, and all have to learn."""
FINE_TUNING_MACS = 1.25
"""A subnet is fine-tuned for the Mult-Adds of so many ordinary runs of the supernet."""
MOST_FINE_TUNING = 12.0
"""And at most for so many times as many epochs as an ordinary run has."""
TAUGHT = 0.1
"""Share of the fine-tuning, from its beginning, in which the largest subnet is the teacher. Every such step costs
several of a small subnet's, and a subnet that was fine-tuned for long knows more than the largest."""


@dataclass(frozen=True)
class SupernetTraining:
    """How a supernet is trained and its subnets are fine-tuned.

    Attributes:
        recipe: How to train.
        widths: Every α that the search considers.
        resolutions: Every resolution that it considers, in pixels.
        device: Device that trains.
        precision: ``"float32"`` or ``"bfloat16"``.
        epochs: Of an ordinary run, which others are in proportion to; by the number of images, if None.
        seed: Random seed.
    """

    recipe: Recipe
    widths: tuple[float, ...]
    resolutions: tuple[int, ...]
    device: torch.device
    precision: str
    epochs: int | None
    seed: int

    def run(self, epochs: int, **how: Any) -> TrainingRun:
        """A training run of so many epochs."""
        return TrainingRun(epochs, seed=self.seed, precision=self.precision, device=self.device, **how)

    def usual_epochs(self, dataset: Dataset, supernet: Network) -> int:
        """Epochs of an ordinary run of the supernet's largest subnet."""
        return self.epochs or default_epochs(len(dataset.train), supernet.height, self.recipe)


@dataclass(frozen=True, eq=False)
class TrainedModel:
    """A Model that a training run made.

    Attributes:
        model: The Model.
        history: Figures of every epoch.
        best_epoch: The epoch that was kept, from 0; −1 where none was better than what it started from.
        run: How long it was, from which seed, on which device.
        validation_primary: Top-1 on the validation images, as a share of 1.
    """

    model: Model
    history: list[Epoch]
    best_epoch: int
    run: TrainingRun
    validation_primary: float | None


def supernet_epochs(usual: int) -> int:
    """How many epochs a supernet is trained for, where an ordinary run has so many."""
    return max(1, round(SUPERNET_EPOCHS * usual))


def fine_tuning_epochs(usual: int, supernet: Network, subnet: Network) -> int:
    """How many epochs a subnet is fine-tuned for.

    As many as take the Mult-Adds of one and a quarter ordinary runs of the supernet, up to a limit. So the small ones
    have the most epochs, for they have the most to gain, and none takes much longer than the supernet's training.

    Args:
        usual: Epochs of an ordinary run.
        supernet: The network of the largest subnet.
        subnet: The network that is fine-tuned.
    """
    return max(1, round(usual * min(FINE_TUNING_MACS * cost(supernet).macs / cost(subnet).macs, MOST_FINE_TUNING)))


@dataclass(frozen=True)
class FineTuning:
    """How a subnet is fine-tuned.

    Attributes:
        epochs: Passes over the training images.
        objective: The largest subnet is the teacher at first; then the labels alone count.
        size: (height, width) of the images while there is a teacher; the subnet is given them smaller.
        sized_epochs: For how many epochs. From then on images are made at the subnet's own size, as those are that it
            is used on: made smaller twice they are softer.
    """

    epochs: int
    objective: Distillation
    size: tuple[int, int]
    sized_epochs: int

    @classmethod
    def of(cls, module: NetworkModule, teacher: NetworkModule, recipe: Recipe, usual: int) -> FineTuning:
        """Plan the fine-tuning of a subnet.

        Args:
            module: The subnet.
            teacher: The largest subnet of the same supernet.
            recipe: What the supernet was trained by.
            usual: Epochs of an ordinary run.
        """
        epochs = fine_tuning_epochs(usual, teacher.network, module.network)
        taught = math.ceil(TAUGHT * epochs)
        objective = Distillation(teacher, module.network, until=taught / epochs, label_smoothing=recipe.label_smoothing)
        return cls(epochs, objective, (teacher.network.height, teacher.network.width), taught)


def train_supernet(
    network: Network,
    dataset: Dataset,
    images: CachedImages,
    how: SupernetTraining,
    *,
    seconds: float | None = None,
    checkpoint: Path | None = None,
    resume: bool = False,
    progress: Progress = SILENT,
) -> TrainedModel:
    """Train one network for all widths and resolutions that are no larger than its own.

    Args:
        network: The widest, at the largest resolution.
        dataset: Its training images train, its validation images choose nothing: the last epoch is kept.
        images: The training images, decoded.
        how: The recipe, and the sizes that the search considers.
        seconds: What training may take; the learning rate falls in time. None for no limit.
        checkpoint: File of the checkpoint; None for none.
        resume: Whether to go on from the checkpoint, if it is there.
        progress: Receives progress updates.

    Raises:
        TrainingError: If training diverges, or the checkpoint cannot be read or written.
    """
    narrowest, resolutions = min(how.widths), sorted(side for side in how.resolutions if side <= network.height)
    module = NetworkModule(network, dropout=how.recipe.dropout)
    initialize(module, how.recipe, how.seed)
    objective = Sandwich(
        network,
        narrowest=narrowest,
        resolutions=resolutions,
        label_smoothing=how.recipe.label_smoothing,
        seed=how.seed,
    )
    epochs = supernet_epochs(how.usual_epochs(dataset, network))
    run = how.run(epochs, keep_last=True)
    validation = _validation(dataset, network, run, progress)
    file = _checkpoint_file(checkpoint, dataset, network, network, run, how, resume)
    trained = _train(module, images, objective, how, replace(run, seconds=seconds), validation, file, progress)
    provenance = Provenance(
        data=Data(dataset.source, dataset.fingerprint, dataset.seed, dataset.reading.encode() or None),
        training=Training(
            made_by="fit",
            recipe=asdict(how.recipe),
            seed=how.seed,
            epochs=epochs,
            supernet={"narrowest": narrowest, "resolutions": resolutions},
        ),
    )
    history, best = trained.history, trained.best_epoch
    task = Classification(dataset.labels, history[best].validation_temperature or 1.0)
    model = Model(network, parameters_of(module), task, PREPROCESSING, provenance=provenance.encode())
    return TrainedModel(model, history, best, run, history[best].validation_primary)


def fine_tune_subnet(
    supernet: Model,
    size: tuple[float, int],
    dataset: Dataset,
    images: CachedImages,
    how: SupernetTraining,
    *,
    seconds: float | None = None,
    checkpoint: Path | None = None,
    resume: bool = False,
    progress: Progress = SILENT,
) -> TrainedModel:
    """Train a subnet by itself, with the largest subnet as its teacher at first.

    Args:
        supernet: With the batch-norm statistics of the subnet and of the largest.
        size: (α, resolution) of the subnet.
        dataset: Its training images train, its validation images choose the epoch.
        images: The training images, decoded.
        how: What the supernet was trained by.
        seconds: What training may take; the learning rate falls in time. None for no limit.
        checkpoint: File of the checkpoint; None for none.
        resume: Whether to go on from the checkpoint, if it is there.
        progress: Receives progress updates.

    Returns:
        The subnet, fine-tuned; as it was if no epoch made it better.

    Raises:
        ModelError: If the supernet lacks statistics of the subnet.
        TrainingError: If training diverges, or the checkpoint cannot be read or written.
    """
    start, largest = (
        extract_subnet(supernet, *size),
        extract_subnet(supernet, supernet.network.width_multiplier, supernet.network.height),
    )
    module = module_of(start)
    set_batch_norm_momentum(module, how.recipe)
    usual = how.usual_epochs(dataset, supernet.network)
    plan = FineTuning.of(module, module_of(largest).to(how.device), how.recipe, usual)
    run = how.run(plan.epochs, size=plan.size, sized_epochs=plan.sized_epochs)
    validation = _validation(dataset, module.network, run, progress)
    before = validation(placed(module, run.device).eval())
    file = _checkpoint_file(checkpoint, dataset, supernet.network, module.network, run, how, resume)
    trained = _train(module, images, plan.objective, how, replace(run, seconds=seconds), validation, file, progress)
    history, best = trained.history, trained.best_epoch
    if not is_better(before, history[best].score(before.images)):
        task = Classification(dataset.labels, history[best].validation_temperature or 1.0)
        model = replace(start.with_parameters(parameters_of(module)), task=task)
        return TrainedModel(model, history, best, run, history[best].validation_primary)
    progress.note("fine-tuning made it no better: the subnet is kept as it was")
    start = replace(start, task=Classification(dataset.labels, before.temperature or 1.0))
    return TrainedModel(start, history, -1, run, before.primary)


def _validation(dataset: Dataset, network: Network, run: TrainingRun, progress: Progress) -> Validation:
    prepared = prepare(dataset.validation, PREPROCESSING, network.height, network.width, progress=progress)
    return Validation(prepared, PREPROCESSING, run)


def _checkpoint_file(
    path: Path | None,
    dataset: Dataset,
    supernet: Network,
    network: Network,
    run: TrainingRun,
    how: SupernetTraining,
    resume: bool,
) -> CheckpointFile | None:
    if path is None:
        return None
    settled = fixed(dataset, network, how.recipe, run) | {
        "supernet": [supernet.width_multiplier, supernet.height],
        "sizes": [list(how.widths), list(how.resolutions)],
    }
    return CheckpointFile(path, settled, resume)


def _train(
    module: NetworkModule,
    images: CachedImages,
    objective: Objective,
    how: SupernetTraining,
    run: TrainingRun,
    validation: Validation,
    checkpoint: CheckpointFile | None,
    progress: Progress,
) -> Trained:
    batches = Batches(images, class_count(module.network), PREPROCESSING, how.recipe, seed=how.seed, device=how.device)
    return train(module, batches, objective, how.recipe, run, validation, checkpoint=checkpoint, progress=progress)
