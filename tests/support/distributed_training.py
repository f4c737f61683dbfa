"""Short trainings in float64, the same whether one process or several take part: run as a program, by torchrun too."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from tests.support.drawn_objects import drawn_dataset
from tests.support.integer_training import separating_model, varied_pixels
from torch import Tensor, nn

from mobilenets.architecture.networks.mobilenet_v1 import mobilenet_v1
from mobilenets.base.progress import Progress
from mobilenets.compression.config import QuantizationConfig
from mobilenets.compression.quantize import calibrate_ranges, quantize_layers
from mobilenets.errors import DataError
from mobilenets.model.preprocessing import ResizeMode
from mobilenets.training.batches import Batch, Batches, PixelBatches
from mobilenets.training.checkpoint import CheckpointFile
from mobilenets.training.detection.augmentation import BoxAugmentation
from mobilenets.training.detection.batches import DetectionBatches
from mobilenets.training.detection.distillation import DetectorDistillation
from mobilenets.training.detection.fit import box_sizes, detection_objective, detector_on, head_matcher
from mobilenets.training.detection.module import DetectorModule
from mobilenets.training.distributed import is_writer, joined_processes, process_count, summed
from mobilenets.training.image_cache import StoredImages, cache_images
from mobilenets.training.integer_network import IntegerNetwork, unfold
from mobilenets.training.leading import led, together
from mobilenets.training.loop import train
from mobilenets.training.network import NetworkModule
from mobilenets.training.objectives import Distillation, Objective, QuantizationAware, Sandwich, cross_entropy
from mobilenets.training.optimization import initialize
from mobilenets.training.quantization_aware import Teacher, recipe_for
from mobilenets.training.recipe import DEFAULT
from mobilenets.training.run import TrainingRun
from mobilenets.training.selection import Totals
from mobilenets.training.settings import PREPROCESSING

NETWORK = mobilenet_v1(width_multiplier=0.25, resolution=32, classes=3)
OBJECTIVES = ("cross-entropy", "distillation", "sandwich")
DETECTORS = ("ssdlite", "centres", "ssdlite taught", "centres taught")
CPU = torch.device("cpu")


class InFloat64:
    """An objective that computes in float64, so that what is compared does not drown in rounding."""

    def __init__(self, objective: Objective) -> None:
        self._objective = objective

    def __call__(self, module: nn.Module, batch: Batch) -> tuple[Tensor, Tensor | None]:
        exact = batch._replace(images=batch.images.double(), targets=batch.targets.double())
        with patch.object(Tensor, "float", Tensor.double):  # of the logits
            return self._objective(module, exact)


class Unscored:
    """A validation that prefers no epoch."""

    images = 10

    def __call__(self, module: object) -> Totals:
        return Totals(0.5, 1.0, self.images)


def objective_of(name: str) -> Objective:
    if name == "sandwich":
        return Sandwich(NETWORK, narrowest=0.125, resolutions=(32,))
    if name == "distillation":
        teacher = NetworkModule(NETWORK).double()
        initialize(teacher, DEFAULT, 1)
        return Distillation(teacher, NETWORK)
    return cross_entropy(0.1)


def trained(name: str, checkpoint: CheckpointFile | None = None) -> dict[str, Any]:
    """Losses of the epochs and sums of the weights after a short run."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (40, 40, 40, 3), np.uint8)
    aspects = rng.uniform(0.5, 2, 40).astype(np.float32)
    recipe = replace(DEFAULT, batch=10, mixup=0.2, cutmix=1.0, mixed=0.7, unmixed=0.0)
    module = NetworkModule(NETWORK)
    initialize(module, recipe, 0)
    module = module.double()
    batches = Batches(StoredImages(pixels, aspects, np.arange(40) % 3), 3, PREPROCESSING, recipe, seed=0, device=CPU)
    run = TrainingRun(3, seed=0)
    objective = InFloat64(objective_of(name))
    found = train(module, batches, objective, recipe, run, Unscored(), checkpoint=checkpoint)
    sums = {key: float(tensor.detach().abs().sum()) for key, tensor in module.tensors().items()}
    losses, right = zip(*((epoch.loss, epoch.primary) for epoch in found.history), strict=True)
    return {"losses": list(losses), "right": list(right), "sums": sums}


def trained_in_integers() -> list[float]:
    """Losses of the epochs of a short quantization-aware training, in float32 as always."""
    rng = np.random.default_rng(0)
    model = separating_model(rng)
    pixels = varied_pixels(rng, model, 40)
    calibrated = calibrate_ranges(model, pixels, QuantizationConfig())
    start = quantize_layers(model, calibrated, pixels, QuantizationConfig()).model
    recipe = replace(recipe_for(model.labels), batch=10)
    batches = PixelBatches(pixels, np.arange(40) % 6, 6, recipe, seed=0, shift=0.0)
    student = IntegerNetwork(unfold(start, calibrated.unfolded), start)
    found = train(student, batches, QuantizationAware(Teacher(model)), recipe, TrainingRun(3, seed=0), Unscored())
    return [epoch.loss for epoch in found.history]


def trained_detector(kind: str) -> dict[str, Any]:
    """The same of a detector on a backbone; shares of a step hold different numbers of objects."""
    data = drawn_dataset(train=15)
    preprocessing = replace(PREPROCESSING, fit=ResizeMode.SQUASH, crop_fraction=1.0)
    sizes = box_sizes(data.train.targets, preprocessing, 64, 64)
    network, head = detector_on(mobilenet_v1(width_multiplier=0.25, resolution=64), kind.split()[0], sizes, data)
    recipe = replace(DEFAULT, batch=5)
    module = DetectorModule(network)
    initialize(module, recipe, 0)
    images = cache_images(data.train, 64)
    batches = DetectionBatches(
        images,
        head_matcher(head),
        preprocessing,
        BoxAugmentation(),
        batch=recipe.batch,
        seed=0,
        device=CPU,
    )
    objective = InFloat64(detection_objective(head))
    if "taught" in kind:
        teacher = DetectorModule(network)
        initialize(teacher, recipe, 1)
        objective = InFloat64(DetectorDistillation(teacher.double().eval(), head))
    found = train(module.double(), batches, objective, recipe, TrainingRun(2, seed=0), Unscored())
    sums = {key: float(tensor.detach().abs().sum()) for key, tensor in module.tensors().items()}
    return {"losses": [epoch.loss for epoch in found.history], "sums": sums}


def processes_here(*, progress: Progress) -> list[int]:
    """How many processes work, and their sum over all of them."""
    return [process_count(), round(summed(1)[0])]


def failing(word: str, *, progress: Progress) -> None:
    """What fails in all processes alike."""
    raise DataError(word)


def led_work() -> dict[str, Any]:
    """What the first process does, with the others' help."""
    found: dict[str, Any] = {"alone": process_count(), "together": together(processes_here)}
    try:
        together(failing, "first")
    except DataError as error:
        found["failed"] = str(error)
    found["again"] = together(processes_here)
    return found


def led_to_fail() -> None:
    """What fails at last, in the first process."""
    together(failing, "second")


def main(path: str) -> None:
    """Train by every objective, and write the figures as JSON."""
    torch.set_num_threads(1)
    with joined_processes(CPU):
        found: dict[str, Any] = {name: trained(name) for name in OBJECTIVES}
        found["in integers"] = trained_in_integers()
        found |= {name: trained_detector(name) for name in DETECTORS}
    with patch.dict(os.environ, LOCAL_WORLD_SIZE="1"), joined_processes(CPU):  # as if each had a machine of its own
        found["on three machines"] = trained("cross-entropy")
    with joined_processes(CPU):  # another group of the same processes
        found["led"] = led(led_work)
        try:
            led(led_to_fail)
        except DataError as error:
            found["led to fail"] = str(error)
        everywhere: list[Any] = [None] * process_count()
        torch.distributed.all_gather_object(everywhere, [found["led"], found["led to fail"]])
        found["same everywhere"] = all(one == everywhere[0] for one in everywhere)
        if is_writer():
            Path(path).write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
