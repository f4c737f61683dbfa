"""Quantization-aware training of detectors: all maps of the integer network learn to be those of the float one.

The float Model is the only teacher. It says of every anchor of every image, objects or none, what is to be answered,
which is more than boxes could teach, and images need none. Start and epochs are compared as those of classifiers are
(:mod:`mobilenets.training.quantization_aware`), by all outputs for images that are not trained on.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from mobilenets.base.progress import SILENT, Progress
from mobilenets.compression.answers import Answers
from mobilenets.compression.config import QuantizationConfig
from mobilenets.compression.detector_evaluation import DetectorEvaluation
from mobilenets.compression.quantize import Quantized
from mobilenets.errors import CompressionError
from mobilenets.model.folding import fold
from mobilenets.model.model import Model
from mobilenets.model.preprocessing import Pixels
from mobilenets.tasks.detection import Detection
from mobilenets.training.batches import Normalization, PixelBatches
from mobilenets.training.detection.distillation import DetectorDistillation
from mobilenets.training.detection.module import IntegerDetector, detector_module
from mobilenets.training.integer_network import unfold
from mobilenets.training.network import placed
from mobilenets.training.quantization_aware import (
    DOUBT,
    SHIFT,
    IntegerStart,
    IntegerValidation,
    check_amounts,
    held_out,
    recipe_for,
    trained_integers,
)
from mobilenets.training.recipe import Recipe
from mobilenets.training.run import TrainingRun

BATCH = 8
"""Images in a step: a map of a detector has many positions, each of which is asked for something."""
SHOWN = {8: 1200, 4: 4800}
"""Images shown in all, by the bits of the weights, where nobody gives a number of epochs."""
FEWEST_EPOCHS = 2


def train_quantized_detector(
    model: Model,
    pixels: Pixels,
    calibration: Pixels,
    config: QuantizationConfig = QuantizationConfig(),
    recipe: Recipe | None = None,
    *,
    epochs: int | None = None,
    seed: int = 0,
    shift: float = SHIFT,
    evaluation: DetectorEvaluation | None = None,
    progress: Progress = SILENT,
) -> Quantized:
    """An int8 detector, trained to answer as the float one does; the start again, if no epoch is better than it.

    Args:
        model: float32: the start, and the teacher.
        pixels: Training images, uint8 (N, height, width, 3).
        calibration: Images that the first ranges come from.
        config: How the start is made, and the bits of the weights.
        recipe: How to train; :func:`detector_recipe` if None.
        epochs: Passes over the images; as many as show :data:`SHOWN` of them if None.
        seed: Random seed.
        shift: Images are moved by up to this share of their sides.
        evaluation: Images that start and epochs are compared on; training must not have seen them. If None, every
            eighth training image is held out for it.
        progress: Receives progress updates.

    Raises:
        CompressionError: If the Model is no detector, int8 already or broken, there are too few images, or training
            diverges.
    """
    task = model.task
    if not isinstance(task, Detection):
        raise CompressionError(f"the Model is no detector: its task is {task.kind}")
    check_amounts(len(pixels), epochs)
    begun = IntegerStart.of(model, calibration, config, progress=progress)
    if evaluation is None:
        chosen = held_out(len(pixels))
        pixels, evaluation = pixels[~chosen], DetectorEvaluation.of(model, pixels[chosen])
    recipe = recipe or detector_recipe(model.labels, config.weight_bits)
    epochs = epochs or max(FEWEST_EPOCHS, math.ceil(SHOWN[config.weight_bits] / len(pixels)))
    return trained_integers(
        begun,
        IntegerDetector(unfold(begun.start.model, begun.calibrated.unfolded), begun.start.model),
        PixelBatches(pixels, None, 1, recipe, seed=seed, shift=shift),
        DetectorDistillation(_teacher(model), task.head),
        recipe,
        TrainingRun(epochs, seed=seed),
        IntegerValidation(model, len(evaluation.pixels), _scorer(evaluation)),
        doubt=DOUBT[config.weight_bits],
        progress=progress,
    )


def detector_recipe(labels: tuple[str, ...], weight_bits: int = 8) -> Recipe:
    """The recipe of quantization-aware training of detectors.

    Args:
        labels: Names of the classes.
        weight_bits: 8 or 4.
    """
    return replace(recipe_for(labels, weight_bits, labeled=False), batch=BATCH)


def _teacher(model: Model) -> Callable[[Tensor], Sequence[Tensor]]:
    """All outputs of a float Model for bytes as float32 (N, channels, height, width); batch norms are folded once."""
    device = torch.device("cpu")
    module = placed(detector_module(fold(model)), device)
    module.requires_grad_(False)
    normal = Normalization(model.preprocessing, device)

    def answers(maps: Tensor) -> Sequence[Tensor]:
        found: Sequence[Tensor] = module(normal(maps))
        return found

    return answers


def _scorer(evaluation: DetectorEvaluation) -> Callable[[Model], Answers]:
    return lambda made: evaluation.judge(made)[1]
