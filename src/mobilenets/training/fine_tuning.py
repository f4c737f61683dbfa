"""Fine-tuning: from a Model of any classes to one of a dataset's, in two stages.

First a linear layer on the frozen network's features (:mod:`mobilenets.training.features`), which is a usable Model
after seconds; then the whole network, from an output layer of zeros or, in a run of a few steps, from the fitted one.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mobilenets.architecture.cost import cost
from mobilenets.architecture.network import Network
from mobilenets.architecture.rescale import with_resolution
from mobilenets.base.progress import SILENT, Progress
from mobilenets.base.text import plural
from mobilenets.compression.answers import DOUBT
from mobilenets.data.dataset import Dataset
from mobilenets.data.loading import Prepared, prepare
from mobilenets.errors import DataError
from mobilenets.model.model import Model
from mobilenets.model.preprocessing import Preprocessing
from mobilenets.tasks.classification import with_unknown_energy
from mobilenets.training import head
from mobilenets.training.batches import Batches, Normalization
from mobilenets.training.callbacks import Begun
from mobilenets.training.checkpoint import CheckpointFile
from mobilenets.training.distributed import once
from mobilenets.training.extensions import Extensions, OwnLoss, checked_loss
from mobilenets.training.features import feature_network, features_of, fit_head, with_head
from mobilenets.training.image_cache import cache_images
from mobilenets.training.loop import train
from mobilenets.training.network import NetworkModule, load_parameters, module_of, parameters_of, placed
from mobilenets.training.objectives import Distillation, Objective, one_output
from mobilenets.training.optimization import initialize, set_batch_norm_momentum
from mobilenets.training.recipe import Recipe, for_fine_tuning, suited_to, transfer_epochs
from mobilenets.training.run import TrainingRun, fixed
from mobilenets.training.selection import Totals, Validation, module_logits, validated_epoch
from mobilenets.training.settings import Settings, choose_device, fine_tuning_side, set_up
from mobilenets.training.supernet import TrainedModel
from mobilenets.training.task_training import TaskTraining, task_training

HEAD_SHARE = 0.15
"""Share of the epochs in which only the output layer is trained, where none could be fitted on features."""
JOINED_SHARE = 1 / 3
"""Share of the epochs, at the end, in which the validation images are trained on too."""
REHEARSED_SHARE = 1 / 6
"""Share of the epochs that rehearse, where validation images are too few to tell when a run has settled: what they say
of a short run without them takes the place of leaving them out of two thirds of a long one."""
FEWEST_PATIENT = 4
"""Epochs without a better one before a run may be thought to have settled."""
FEWEST_TELLING = 50
"""Validation images that can tell whether a run has settled, or was no use."""
FEWEST_STEPS = 40
"""Steps that a network needs at least to become better from an output layer of zeros than from a fitted one."""
FINISHING_SHARE = 0.05
"""Share of the time that is kept for what comes after training: evaluation and files."""
HURRIED_SHARE = 0.6
"""Where the classifier on features took this share of the time, nothing else is trained: decoding takes the rest."""
SMALL_NETWORK = 220_000
"""Parameters before the output layer up to which a network takes the recipe's whole learning rate: those of the
MobileNet of width 0.25, for which it was chosen."""
WITHOUT_BATCH_NORM = 0.15
"""Factor on the learning rate of networks whose batch norms are folded, as those of 8-bit weights are: nothing brings
their maps back to scale after a large step."""
TAUGHT = 0.5
"""Share of a teacher's answers in the targets, where there is one."""


@dataclass(frozen=True, eq=False)
class FineTuned(TrainedModel):
    """A Model that was fine-tuned.

    Attributes:
        recipe: How.
        first: Top-1 of the linear layer on frozen features, on the validation images, as a share of 1; None where the
            network has no features, or had these classes already.
    """

    recipe: Recipe
    first: float | None


def fine_tune(
    start: Model,
    dataset: Dataset,
    settings: Settings,
    *,
    seconds: float | None = None,
    teacher: Model | None = None,
    checkpoint: Path | None = None,
    resume: bool = False,
    first: Callable[[Model, Totals], None] | None = None,
    extensions: Extensions = Extensions(),
    progress: Progress = SILENT,
) -> FineTuned:
    """Train a Model further on other images, and of other classes where they are others.

    Args:
        start: A classifier, float32, at the resolution at which it will be used.
        dataset: Its training images train; its validation images choose, and join in the last third of the epochs.
        settings: Recipe, seed, epochs, device and threads. Its weights and architecture are not looked at.
        seconds: What all of it may take. The learning rate falls in time, and the best so far is what comes of it.
        teacher: A classifier of the same classes whose answers are half of the targets.
        checkpoint: File of the checkpoint; None for none.
        resume: Whether to go on from the checkpoint, if it is there.
        first: Called with the first usable Model, and its score on the validation images, before training begins.
        extensions: What the caller brings.
        progress: Receives progress updates.

    Raises:
        DataError: If the images cannot be used.
        TrainingError: If training diverges, or the checkpoint cannot be read or written.
    """
    begun = time.monotonic()
    plan = _Plan.of(start, dataset, settings, teacher, extensions)
    network, run, recipe = plan.network, plan.run, plan.recipe
    prepared = prepare(dataset.validation, plan.preprocessing, network.height, network.width, progress=progress)
    validation = Validation(prepared, plan.preprocessing, run, plan.training.score)
    model, score = _with_output(replace(start, preprocessing=plan.preprocessing), dataset, plan, progress)
    per_epoch = max(1, len(dataset.train) // recipe.batch)
    from_zeros = score is not None and run.epochs * per_epoch >= FEWEST_STEPS
    module = _module(_without_classifier(model) if from_zeros else model, recipe, run.seed)
    resumed = resume and checkpoint is not None and checkpoint.exists()

    def tell(done: int) -> None:
        for one in extensions.callbacks:
            one.on_start(Begun(model, run.epochs, done, plan.training.metric))

    def announce(done: int) -> None:
        tell(done)
        if score is not None and first is not None and not resumed:
            first(model, score)

    spent = time.monotonic() - begun
    hurried = seconds is not None and score is not None and not resumed and spent > HURRIED_SHARE * seconds
    if score is not None and once(lambda: hurried):
        tell(0)
        progress.note("there is no time to train the whole network: the classifier on its features is kept")
        model = finished(model, plan.training, score.temperature, prepared, run)
        return FineTuned(model, [], -1, replace(run, joined=None), score.primary, recipe, score.primary)
    side = max(run.size or (network.height, network.width))
    joining = run.joined is not None
    shown = dataset.train + dataset.validation if joining else dataset.train
    images = cache_images(shown, side, memory_share=settings.memory_share, progress=progress)
    reserved = int((images.positions >= len(dataset.train)).sum())
    if seconds is not None:
        left = (1 - FINISHING_SHARE) * seconds - (time.monotonic() - begun)
        run = replace(run, seconds=max(left, 0.1))
    if run.rehearsed:
        progress.note(
            f"{plural(len(prepared.targets), 'validation image is', 'validation images are')} few: "
            f"{plural(run.rehearsed, 'epoch')} without them tell how accurate such a Model is, then "
            f"{run.epochs - run.rehearsed} begin again on all"
        )
    trained = train(
        module,
        Batches(
            images,
            plan.training.channels,
            plan.preprocessing,
            recipe,
            seed=run.seed,
            device=run.device,
            reserved=reserved,
            augment=extensions.augment,
        ),
        plan.objective,
        recipe,
        run,
        validation,
        checkpoint=None
        if checkpoint is None
        else CheckpointFile(checkpoint, plan.settled(dataset) | extensions.settled(), resume),
        begun=announce,
        callbacks=extensions.callbacks,
        progress=progress,
    )
    history, best = trained.history, trained.best_epoch
    validated = validated_epoch(history, best)
    run = replace(run, joined=trained.joined, rehearsed=run.rehearsed if trained.joined == run.rehearsed else 0)
    few_steps = len(history) * per_epoch < FEWEST_STEPS  # as many as somebody said, or its time was over
    if score is not None and _is_more_accurate(score, validated.score(score.images), few_steps=few_steps):
        progress.note("training the whole network made it no better: the classifier on its features is kept")
        model = finished(model, plan.training, score.temperature, prepared, run)
        return FineTuned(model, history, -1, replace(run, joined=None), score.primary, recipe, score.primary)
    tuned = Model(network, parameters_of(module), plan.training.task, plan.preprocessing)
    tuned = finished(tuned, plan.training, validated.validation_temperature, prepared, run)
    if validated.number < best:  # the validation images were trained on since
        tuned = _with_energy(tuned, validated.validation_energy)
    return FineTuned(
        tuned, history, best, run, validated.validation_primary, recipe, None if score is None else score.primary
    )


def finished(
    model: Model, training: TaskTraining, temperature: float | None, validation: Prepared, run: TrainingRun
) -> Model:
    """A trained Model with what its task fits to its outputs, such as the thresholds of its labels.

    Args:
        model: The Model.
        training: How its task is trained.
        temperature: That the score of the epoch that was kept came with.
        validation: The validation images, at its size.
        run: The device and the precision.
    """
    module = placed(module_of(model), run.device).eval()
    outputs = module_logits(module, validation.pixels, model.preprocessing, run)
    return replace(model, task=training.finished(temperature, outputs, validation.targets))


def _with_energy(model: Model, energy: float | None) -> Model:
    """A classifier that answers unknown below an energy, which is higher on images that it was trained on."""
    return replace(model, task=with_unknown_energy(model.task, energy))


def _is_more_accurate(first: Totals, trained: Totals, *, few_steps: bool) -> bool:
    """Whether the first Model is more accurate than the trained one beyond two standard errors.

    Their losses are not compared: labels are smoothed, which makes the loss of a better network larger. And few images
    do not decide: training the whole network is better nearly always, but where it had few steps.
    """
    difference = first.minus(trained)
    if few_steps:
        return difference.primary > 0
    return first.images >= FEWEST_TELLING and difference.primary > 2 * DOUBT * difference.primary_error


@dataclass(frozen=True, eq=False)
class _Plan:
    """What fine-tuning will do, before anything is computed."""

    network: Network
    preprocessing: Preprocessing
    recipe: Recipe
    run: TrainingRun
    objective: Objective
    training: TaskTraining

    @classmethod
    def of(
        cls, start: Model, dataset: Dataset, settings: Settings, teacher: Model | None, extensions: Extensions
    ) -> _Plan:
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
            objective = _taught(teacher, preprocessing, network, run.device, recipe)
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
    rehearsed = 0 if trains_head or not joining else _rehearsed(epochs, dataset, recipe)
    return TrainingRun(
        epochs,
        min(max(1, round(HEAD_SHARE * epochs)), epochs - 1) if trains_head else 0,
        head.early_layers(network, recipe.kept_stride),
        seed=settings.seed,
        precision=precision,
        device=device,
        joined=(rehearsed or joined) if joining and joined > 0 else None,
        rehearsed=rehearsed,
        size=None if trained == side else (trained, trained),
        frozen_statistics=not recipe.transfer_statistics,
        patience=max(FEWEST_PATIENT, round(recipe.transfer_patience * epochs))
        if len(dataset.validation) >= FEWEST_TELLING
        else None,
    )


def _rehearsed(epochs: int, dataset: Dataset, recipe: Recipe) -> int:
    """Epochs of a rehearsal; none where it had too few steps to say anything, or the validation images suffice."""
    rehearsed = round(REHEARSED_SHARE * epochs)
    steps = rehearsed * max(1, len(dataset.train) // recipe.batch)
    return rehearsed if len(dataset.validation) < FEWEST_TELLING and steps >= FEWEST_STEPS else 0


def gives_the_same(start: Model, dataset: Dataset) -> bool:
    """Whether a Model already gives what the targets of a dataset are: the same task over the same labels."""
    return start.task.kind == dataset.task and start.task.labels == dataset.labels


def objective_of(training: TaskTraining, recipe: Recipe, own: OwnLoss | None = None) -> Objective:
    """What a step minimizes: a task's loss, or a caller's."""
    loss = training.loss(recipe.label_smoothing) if own is None else checked_loss(own)
    return one_output(loss, counted=training.task.kind == "classification")


def _with_output(model: Model, dataset: Dataset, plan: _Plan, progress: Progress) -> tuple[Model, Totals | None]:
    """The Model with an output layer for the dataset's labels, and its score where one was fitted."""
    if gives_the_same(model, dataset):
        return model, None
    training = plan.training
    if feature_network(plan.network) is None:
        output = head.output_layer(plan.network).name
        fresh = NetworkModule(plan.network)
        initialize(fresh, plan.recipe, plan.run.seed)
        random = {name: values for name, values in parameters_of(fresh).items() if name.startswith(f"{output}.")}
        return Model(plan.network, dict(model.parameters) | random, training.task, model.preprocessing), None
    features, targets = features_of(model, dataset.train, progress=progress)
    seen = features_of(model, dataset.validation, progress=progress)
    fitted = fit_head(features, targets, seen, training, label_smoothing=plan.recipe.label_smoothing)
    first = with_head(model, fitted, training.task)
    outputs = (seen[0] @ fitted.weight.T + fitted.bias).astype(np.float32)
    return replace(first, task=training.finished(fitted.score.temperature, outputs, seen[1])), fitted.score


def _without_classifier(model: Model) -> Model:
    """A Model whose output layer is zeros.

    One that was fitted to images knows most of them by heart, and leaves the layers before it little to learn: where it
    begins from zeros, fine-tuning from 100 images of ten signs gets 95 instead of 88 %
    (docs/experiments/fine-tuning.md).
    """
    output = head.output_layer(model.network).name
    zeros = {name: np.zeros_like(values) for name, values in model.parameters.items() if name.startswith(f"{output}.")}
    return replace(model, parameters=dict(model.parameters) | zeros)


def _module(model: Model, recipe: Recipe, seed: int) -> NetworkModule:
    module = NetworkModule(model.network, dropout=recipe.dropout)
    load_parameters(module, model.parameters)
    set_batch_norm_momentum(module, recipe)
    return module


class _Renormalized(nn.Module):
    """A teacher for images that are normalized for its student."""

    def __init__(self, teacher: Model, student: Preprocessing, device: torch.device) -> None:
        super().__init__()
        self.network = teacher.network
        self._module = placed(module_of(teacher), device).eval()
        own, other = Normalization(teacher.preprocessing, device), Normalization(student, device)
        self._scale = own.scale / other.scale
        self._offset = own.offset - other.offset * self._scale

    def forward(self, images: Tensor) -> Tensor:
        """Logits (N, classes)."""
        logits: Tensor = self._module(torch.addcmul(self._offset, images, self._scale))
        return logits


def _taught(
    teacher: Model, preprocessing: Preprocessing, student: Network, device: torch.device, recipe: Recipe
) -> Objective:
    module = _Renormalized(teacher, preprocessing, device)
    return Distillation(module, student, share=TAUGHT, label_smoothing=recipe.label_smoothing)
