"""Quantization-aware training: the integer network learns to answer as the float one does.

The teacher is the float Model that all started from, so images need no labels; where there are some, they have a
share in the loss, and images are distorted as in ordinary training. Training may not end worse than it began: start
and epochs are compared on images that are not trained on, and one is kept: the latest that is better than the start,
unless an earlier one is better than it beyond doubt.

Source: Jacob et al. 2018, arXiv:1712.05877; Hinton et al. 2015, arXiv:1503.02531 (the teacher).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from mobilenets.base.arguments import check_integer
from mobilenets.base.progress import SILENT, Progress
from mobilenets.compression.answers import Answers
from mobilenets.compression.config import QuantizationConfig
from mobilenets.compression.evaluation import EvaluationSet
from mobilenets.compression.quality import measure_sqnr
from mobilenets.compression.quantize import LAYERWISE_IMAGES, Calibrated, Quantized, calibrate_ranges, quantize_layers
from mobilenets.data.subset import UNKNOWN, Targets
from mobilenets.engine.output_ranges import with_output_ranges
from mobilenets.errors import CompressionError, TrainingError
from mobilenets.model.folding import fold
from mobilenets.model.model import Model
from mobilenets.model.preprocessing import Pixels
from mobilenets.tasks.classification import class_count
from mobilenets.training import loop
from mobilenets.training.batches import BatchSource, Normalization, PixelBatches
from mobilenets.training.distributed import once
from mobilenets.training.integer_network import IntegerNetwork, unfold
from mobilenets.training.network import module_of
from mobilenets.training.objectives import Objective, QuantizationAware
from mobilenets.training.recipe import DEFAULT, Recipe, suited_to
from mobilenets.training.run import TrainingRun
from mobilenets.training.selection import Selection
from mobilenets.training.views import Views

_DIVERGED = "quantization-aware training diverged: its loss or weights are NaN or infinite; lower the learning rate"
EPOCHS = {8: 4, 4: 16}
LABELLED_EPOCHS = 16
"""Passes over the images: without labels by the bits of the weights, and with them."""
LEARNING_RATES = {8: 5e-5, 4: 3e-4}
"""Of weights, by their bits: the coarser the grid, the further a weight is from its next integer."""
LABELLED_LEARNING_RATES = {8: 2e-4, 4: 3e-4}
"""The same where there are labels: what they teach is further away than what rounding lost."""
LABELLED_ROOM = {8: 0.0, 4: 0.45}
"""Steps that weights may begin off their integers where there are labels (see :func:`unfold`). From the middle of
a coarse step hardly one in a hundred gets out; from that of a fine one so many do that the answers stray, as without
labels they do from anywhere but the middle."""
DOUBT = {8: 2.0, 4: 0.0}
"""Standard errors by which an epoch's loss must lie below the start's, by the bits of the weights: calibration loses so
little at 8 bits that what training changes needs proof."""
LABEL_SHARE = 0.5
"""Share of the labels in the loss, where there are labels; the rest is the teacher's."""
SHIFT = 0.06
"""Images without labels are moved by up to this share of their sides."""
HELD_OUT = 8
"""Without evaluation images, every so many-th training image is held out to choose by."""


def recipe_for(labels: tuple[str, ...], weight_bits: int = 8, *, labeled: bool = True) -> Recipe:
    """The recipe of quantization-aware training.

    Rates rise from zero, then fall to zero along a cosine: Adam's first steps are as large as any, whatever the
    gradient, and at the full rate two of them undo the calibration. Nothing is averaged: an average of weights is not
    what was rounded.

    Args:
        labels: Names of the classes, which say what images of them may be distorted by.
        weight_bits: 8 or 4.
        labeled: Whether images have labels.
    """
    return Recipe(
        name="quantization-aware",
        learning_rate=(LABELLED_LEARNING_RATES if labeled else LEARNING_RATES)[weight_bits],
        weight_decay=0.0,
        warmup=0.15,
        batch=32,
        label_smoothing=0.1,
        averaging=0.0,
        augmentation=suited_to(DEFAULT, labels).augmentation,
    )


def train_quantized(
    model: Model,
    pixels: Pixels,
    calibration: Pixels,
    config: QuantizationConfig = QuantizationConfig(),
    recipe: Recipe | None = None,
    *,
    epochs: int | None = None,
    seed: int = 0,
    label_share: float = LABEL_SHARE,
    shift: float = SHIFT,
    targets: Targets | None = None,
    evaluation: EvaluationSet | None = None,
    progress: Progress = SILENT,
) -> Quantized:
    """An int8 Model, trained to answer as the float one does; the start again, if no epoch is better than it.

    Args:
        model: float32: the start, and the teacher.
        pixels: Training images, uint8 (N, height, width, 3).
        calibration: Images that the first ranges come from.
        config: How the start is made, and the bits of the weights.
        recipe: How to train; :func:`recipe_for` what is at hand if None.
        epochs: Passes over the images; by :data:`EPOCHS` or :data:`LABELLED_EPOCHS` if None.
        seed: Random seed.
        label_share: Share of the labels in the loss, where there are labels; the rest is the teacher's.
        shift: Images without labels are moved by up to this share of their sides.
        targets: Their classes, (N,), :data:`UNKNOWN` where nobody knows; None if all are unknown.
        evaluation: Images, labeled or not, that start and epochs are compared on; training must not have seen them. If
            None, every eighth training image is held out for it.
        progress: Receives progress updates.

    Raises:
        CompressionError: If the Model is int8 already or broken, there are too few images, targets do not fit, or
            training diverges.
    """
    check_amounts(len(pixels), epochs)
    several = model.task.kind == "multilabel"
    targets = _checked(targets, len(pixels), class_count(model.network), several=several)
    bits, labeled = config.weight_bits, targets is not None
    begun = IntegerStart.of(model, calibration, config, progress=progress)
    if evaluation is None:
        chosen = held_out(len(pixels))
        pixels, evaluation = pixels[~chosen], EvaluationSet.of(model, pixels[chosen])
        targets = None if targets is None else targets[~chosen]
    recipe = recipe or recipe_for(model.labels, bits, labeled=labeled)
    student = IntegerNetwork(
        unfold(begun.start.model, begun.calibrated.unfolded, LABELLED_ROOM[bits] if labeled else 0.0),
        begun.start.model,
    )
    batches = PixelBatches(pixels, targets, class_count(model.network), recipe, seed=seed, shift=shift)
    objective = QuantizationAware(
        Teacher(model), label_share=label_share, label_smoothing=recipe.label_smoothing, several=several
    )
    views = Views(model, evaluation, recipe.augmentation, seed)
    return trained_integers(
        begun,
        student,
        batches,
        objective,
        recipe,
        TrainingRun(epochs or (LABELLED_EPOCHS if labeled else EPOCHS[bits]), seed=seed),
        IntegerValidation(model, views.images, views.score),
        doubt=DOUBT[bits],
        progress=progress,
    )


@dataclass(frozen=True, eq=False)
class IntegerStart:
    """What quantization-aware training begins from.

    Attributes:
        model: The float Model.
        start: The int8 Model that calibration alone makes of it.
        calibrated: The float Model made ready for int8.
        calibration: Images that the ranges came from.
    """

    model: Model
    start: Quantized
    calibrated: Calibrated
    calibration: Pixels

    @classmethod
    def of(
        cls, model: Model, calibration: Pixels, config: QuantizationConfig, *, progress: Progress = SILENT
    ) -> IntegerStart:
        """Calibrate a float Model, and quantize it by that.

        Args:
            model: float32.
            calibration: Images that the ranges come from.
            config: How the start is made, and the bits of the weights.
            progress: Receives progress updates.

        Raises:
            CompressionError: If the Model is int8 already or broken, or there are too few images.
        """
        calibrated = calibrate_ranges(model, calibration, config, progress=progress)
        start = quantize_layers(model, calibrated, calibration, config, progress=progress)
        return cls(model, start, calibrated, calibration)


def check_amounts(images: int, epochs: int | None) -> None:
    """Raise if there are too few images to train in integers with, or the epochs are no number of them.

    Args:
        images: How many train.
        epochs: As asked for; None where nobody did.

    Raises:
        CompressionError: Then.
    """
    if images < 2:
        raise CompressionError(f"quantization-aware training needs images; {images} are not enough")
    if epochs is not None:
        check_integer("epochs", epochs, CompressionError, least=1)


def trained_integers(
    begun: IntegerStart,
    student: IntegerNetwork,
    batches: BatchSource,
    objective: Objective,
    recipe: Recipe,
    run: TrainingRun,
    validation: IntegerValidation,
    *,
    doubt: float,
    progress: Progress = SILENT,
) -> Quantized:
    """Train an integer network, and keep the latest epoch that is better than the start.

    Args:
        begun: The start.
        student: The same as a network that can be trained.
        batches: Training images, as bytes.
        objective: What every step minimizes.
        recipe: How to train.
        run: How long, and from which seed.
        validation: What start and epochs are compared by.
        doubt: Standard errors by which an epoch's loss must lie below the start's.
        progress: Receives progress updates.

    Raises:
        CompressionError: If training diverges.
    """
    selection = Selection(validation.score(begun.start.model), doubt)
    try:
        trained = loop.train(
            student, batches, objective, recipe, run, validation, selection=selection, progress=progress
        )
    except TrainingError:
        raise CompressionError(_DIVERGED) from None
    if trained.best_epoch < 0:
        progress.note(f"no epoch of training beats its start on {validation.images} images: the start is kept")
        return replace(begun.start, epoch=0)
    best = with_output_ranges(student.to_model(begun.model), begun.calibration)
    layers = measure_sqnr(begun.calibrated.model, best, begun.calibration[:LAYERWISE_IMAGES])
    return Quantized(best, begun.calibrated.model, layers, begun.calibrated.absorbed_channels, trained.best_epoch + 1)


def held_out(count: int) -> npt.NDArray[np.bool_]:
    """Which of so many images are held out: every eighth, and one at least."""
    chosen = np.zeros(count, np.bool_)
    chosen[HELD_OUT - 1 :: HELD_OUT] = True
    chosen[-1] |= not chosen.any()
    return chosen


@dataclass(frozen=True, eq=False)
class IntegerValidation:
    """Scores an integer network by the int8 Model that comes of it.

    Attributes:
        model: The float Model that it began as.
        images: Number of images.
        score: Scores an int8 Model on them.
    """

    model: Model
    images: int
    score: Callable[[Model], Answers]

    def __call__(self, module: IntegerNetwork) -> Answers:
        """The score of a module in evaluation mode.

        Raises:
            CompressionError: If it holds what no int8 Model can hold.
        """
        if not module.is_sound:
            raise CompressionError(_DIVERGED)
        return once(lambda: self.score(module.to_model(self.model)))


def _checked(targets: Targets | None, count: int, classes: int, *, several: bool) -> Targets | None:
    """Targets that fit, or None where none is known."""
    if targets is None or not count:
        return None
    shape, most = ((count, classes), 1) if several else ((count,), classes - 1)
    if targets.shape != shape or targets.min() < UNKNOWN or targets.max() > most:
        raise CompressionError(
            f"{len(targets)} targets from {targets.min(initial=0)} to {targets.max(initial=0)} for {count} training "
            f"images; the Model has {classes} classes, and {UNKNOWN} stands for an unknown one"
        )
    return targets if (targets != UNKNOWN).any() else None


class Teacher:
    """Logits of a float Model, whose batch norms are folded once for all steps."""

    def __init__(self, model: Model) -> None:
        # mypy does not know this overload of Module.to
        self._module = module_of(fold(model)).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._module.requires_grad_(False)
        self._normal = Normalization(model.preprocessing, torch.device("cpu"))

    def __call__(self, maps: Tensor) -> Tensor:
        """float32 (N, C), of bytes as float32 (N, channels, height, width)."""
        return cast("Tensor", self._module(self._normal(maps)))
