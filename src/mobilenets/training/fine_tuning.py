"""Fine-tuning: from a Model of any classes to one of a dataset's, in two stages.

First a linear layer on the frozen network's features (:mod:`mobilenets.training.features`), which is a usable Model
after seconds; then the whole network, from an output layer of zeros or, in a run of a few steps, from the fitted one.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from mobilenets.base.progress import SILENT, Progress
from mobilenets.base.text import plural
from mobilenets.compression.answers import DOUBT
from mobilenets.data.dataset import Dataset
from mobilenets.data.loading import Prepared, prepare
from mobilenets.model.model import Model
from mobilenets.tasks.classification import with_unknown_energy
from mobilenets.training import head
from mobilenets.training.batches import Batches
from mobilenets.training.callbacks import Begun
from mobilenets.training.checkpoint import CheckpointFile
from mobilenets.training.distributed import once
from mobilenets.training.extensions import Extensions
from mobilenets.training.features import feature_network, features_of, fit_head, with_head
from mobilenets.training.fine_tuning_plan import FEWEST_STEPS, FEWEST_TELLING, Plan, gives_the_same
from mobilenets.training.image_cache import cache_images
from mobilenets.training.loop import train
from mobilenets.training.network import NetworkModule, load_parameters, module_of, parameters_of, placed
from mobilenets.training.optimization import initialize, set_batch_norm_momentum
from mobilenets.training.recipe import Recipe
from mobilenets.training.run import TrainingRun
from mobilenets.training.selection import Epoch, Totals, Validation, module_logits, validated_epoch
from mobilenets.training.settings import Settings
from mobilenets.training.supernet import TrainedModel
from mobilenets.training.task_training import TaskTraining

FINISHING_SHARE = 0.05
"""Share of the time that is kept for what comes after training: evaluation and files."""
HURRIED_SHARE = 0.6
"""Where the classifier on features took this share of the time, nothing else is trained: decoding takes the rest."""


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
        dataset: Its training images train; its validation images choose, and are trained on too in the end, or
            after a short run where they are few (:mod:`mobilenets.training.fine_tuning_plan`).
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
    plan = Plan.of(start, dataset, settings, teacher, extensions)
    network, run, recipe = plan.network, plan.run, plan.recipe
    prepared = prepare(dataset.validation, plan.preprocessing, network.height, network.width, progress=progress)
    validation = Validation(prepared, plan.preprocessing, run, plan.training.score)
    model, score = _with_output(replace(start, preprocessing=plan.preprocessing), dataset, plan, progress)
    per_epoch = max(1, len(dataset.train) // recipe.batch)
    from_zeros = score is not None and run.epochs * per_epoch >= FEWEST_STEPS
    module = _module(_without_classifier(model) if from_zeros else model, recipe, run.seed)
    before = score  # of what may be better than a run of few steps makes it
    hasty = seconds is not None or run.epochs * per_epoch < FEWEST_STEPS
    if score is None and hasty and len(prepared.targets) and gives_the_same(start, dataset):
        before = validation(placed(_module(model, recipe, run.seed), run.device).eval())
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
        return _first_kept(model, score, plan, prepared, run, [])
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
    first_score = None if score is None else score.primary
    if (
        before is not None
        and (score is not None or few_steps)
        and _is_more_accurate(before, validated.score(before.images), few_steps=few_steps)
    ):
        kept = "what it began from" if score is None else "the classifier on its features"
        progress.note(f"training the whole network made it no better: {kept} is kept")
        return replace(_first_kept(model, before, plan, prepared, run, history), first=first_score)
    tuned = Model(network, parameters_of(module), plan.training.task, plan.preprocessing)
    tuned = finished(tuned, plan.training, validated.validation_temperature, prepared, run)
    if validated.number < best:  # the validation images were trained on since
        tuned = _with_energy(tuned, validated.validation_energy)
    return FineTuned(tuned, history, best, run, validated.validation_primary, recipe, first_score)


def _first_kept(
    model: Model, score: Totals, plan: Plan, validation: Prepared, run: TrainingRun, history: list[Epoch]
) -> FineTuned:
    """The classifier on features, or a Model that was begun from, as what came of it all."""
    model = finished(model, plan.training, score.temperature, validation, run)
    run = replace(run, joined=None, rehearsed=0)
    return FineTuned(model, history, -1, run, score.primary, plan.recipe, score.primary)


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


def _with_output(model: Model, dataset: Dataset, plan: Plan, progress: Progress) -> tuple[Model, Totals | None]:
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
