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
from mobilenets.training.fine_tuning_plan import FEWEST_STEPS, FEWEST_TELLING, Plan, gives_the_same, steps_per_epoch
from mobilenets.training.image_cache import cache_images
from mobilenets.training.loop import Trained, train
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
    ready = _Ready.of(start, dataset, plan, progress)
    module, before = ready.module(), ready.rival(limited=seconds is not None)
    resumed = resume and checkpoint is not None and checkpoint.exists()

    def tell(done: int) -> None:
        for one in extensions.callbacks:
            one.on_start(Begun(ready.model, plan.run.epochs, done, plan.training.metric))

    def announce(done: int) -> None:
        tell(done)
        if ready.score is not None and first is not None and not resumed:
            first(ready.model, ready.score)

    spent = time.monotonic() - begun
    hurried = seconds is not None and not resumed and spent > HURRIED_SHARE * seconds
    if ready.score is not None and once(lambda: hurried):
        tell(0)
        progress.note("there is no time to train the whole network: the classifier on its features is kept")
        return ready.kept(ready.score, [])
    batches = _batches(dataset, plan, settings, extensions, progress)
    run = plan.run
    if seconds is not None:
        left = (1 - FINISHING_SHARE) * seconds - (time.monotonic() - begun)
        run = replace(run, seconds=max(left, 0.1))
    if run.held_out_epochs:
        progress.note(
            f"{plural(len(dataset.validation), 'validation image is', 'validation images are')} few: "
            f"{plural(run.held_out_epochs, 'epoch')} without them tell how accurate such a Model is, then "
            f"{run.epochs - run.held_out_epochs} begin again on all"
        )
    settled = plan.settled(dataset) | extensions.settled()
    trained = train(
        module,
        batches,
        plan.objective,
        plan.recipe,
        run,
        ready.validation,
        checkpoint=None if checkpoint is None else CheckpointFile(checkpoint, settled, resume),
        begun=announce,
        callbacks=extensions.callbacks,
        progress=progress,
    )
    return ready.better(trained, module, before, progress)


def _batches(dataset: Dataset, plan: Plan, settings: Settings, extensions: Extensions, progress: Progress) -> Batches:
    """The images that are trained on; the validation images, where they join, are left out until then."""
    side = max(plan.run.size or (plan.network.height, plan.network.width))
    shown = dataset.train if plan.run.joined is None else dataset.train + dataset.validation
    images = cache_images(shown, side, memory_share=settings.memory_share, progress=progress)
    return Batches(
        images,
        plan.training.channels,
        plan.preprocessing,
        plan.recipe,
        seed=plan.run.seed,
        device=plan.run.device,
        reserved=int((images.positions >= len(dataset.train)).sum()),
        augment=extensions.augment,
    )


@dataclass(frozen=True, eq=False)
class _Ready:
    """What there is before the first step, and what comes of it after the last.

    Attributes:
        plan: What will be done.
        model: What training begins from, with an output layer for the dataset's labels.
        score: Its score on the validation images, where its output layer was fitted on features.
        validation: Scores a network on the validation images.
        per_epoch: Steps of an epoch.
        same: Whether the start already gave what the targets are.
    """

    plan: Plan
    model: Model
    score: Totals | None
    validation: Validation
    per_epoch: int
    same: bool

    @classmethod
    def of(cls, start: Model, dataset: Dataset, plan: Plan, progress: Progress) -> _Ready:
        """Prepare the validation images, and fit the output layer on features where the network has some."""
        height, width = plan.network.height, plan.network.width
        prepared = prepare(dataset.validation, plan.preprocessing, height, width, progress=progress)
        validation = Validation(prepared, plan.preprocessing, plan.run, plan.training.score)
        model, score = _with_output(replace(start, preprocessing=plan.preprocessing), dataset, plan, progress)
        per_epoch = steps_per_epoch(dataset, plan.recipe)
        return cls(plan, model, score, validation, per_epoch, gives_the_same(start, dataset))

    def module(self) -> NetworkModule:
        """What is trained: in a run of some length from an output layer of zeros, where there is a fitted one."""
        from_zeros = self.score is not None and self.plan.run.epochs * self.per_epoch >= FEWEST_STEPS
        model = _without_classifier(self.model) if from_zeros else self.model
        return _module(model, self.plan.recipe, self.plan.run.seed)

    def rival(self, *, limited: bool) -> Totals | None:
        """The score of what may be better than a run of few steps makes it; None where that need not be known.

        Args:
            limited: Whether the time is limited, so that the steps may become few.
        """
        few = limited or self.plan.run.epochs * self.per_epoch < FEWEST_STEPS
        if self.score is not None or not (few and self.same and self.validation.images):
            return self.score
        module = _module(self.model, self.plan.recipe, self.plan.run.seed)
        return self.validation(placed(module, self.plan.run.device).eval())

    def better(self, trained: Trained, module: NetworkModule, before: Totals | None, progress: Progress) -> FineTuned:
        """The trained Model, or what it began from where that is better."""
        history, best = trained.history, trained.best_epoch
        validated = validated_epoch(history, best)
        few_steps = len(history) * self.per_epoch < FEWEST_STEPS  # as many as somebody said, or its time was over
        first = None if self.score is None else self.score.primary
        compared = before if few_steps or self.score is not None else None
        if compared is not None and _is_more_accurate(compared, validated.score(compared.images), few_steps=few_steps):
            kept = "what it began from" if self.score is None else "the classifier on its features"
            progress.note(f"training the whole network made it no better: {kept} is kept")
            return replace(self.kept(compared, history), first=first)
        held_out = self.plan.run.held_out_epochs
        held_out = held_out if trained.joined == held_out else 0
        run = replace(self.plan.run, joined=trained.joined, held_out_epochs=held_out)
        tuned = Model(self.plan.network, parameters_of(module), self.plan.training.task, self.plan.preprocessing)
        tuned = self._finished(tuned, validated.validation_temperature)
        if validated.number < best:  # the validation images were trained on since
            tuned = _with_energy(tuned, validated.validation_energy)
        return FineTuned(tuned, history, best, run, validated.validation_primary, self.plan.recipe, first)

    def kept(self, score: Totals, history: list[Epoch]) -> FineTuned:
        """What training began from, as what came of it all."""
        model = self._finished(self.model, score.temperature)
        run = replace(self.plan.run, joined=None, held_out_epochs=0)
        return FineTuned(model, history, -1, run, score.primary, self.plan.recipe, score.primary)

    def _finished(self, model: Model, temperature: float | None) -> Model:
        return finished(model, self.plan.training, temperature, self.validation.prepared, self.plan.run)


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
