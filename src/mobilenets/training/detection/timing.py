"""How fast a detector trains on this machine, so that it can be said beforehand how long it takes."""

from __future__ import annotations

import time

import torch

from mobilenets.architecture.network import Network
from mobilenets.tasks.detection import Detection
from mobilenets.training.batches import Batch
from mobilenets.training.detection.fit import DETECTION, detection_objective
from mobilenets.training.detection.matching import BACKGROUND, TARGET_NUMBERS
from mobilenets.training.detection.module import DetectorModule
from mobilenets.training.loop import set_trainable
from mobilenets.training.optimization import initialize
from mobilenets.training.run import TrainingRun
from mobilenets.training.state import TrainingState
from mobilenets.training.step_timing import OVERHEAD

STEPS = 3
"""Steps that are taken; the first prepares its operators."""


def detector_seconds_per_image(network: Network, task: Detection, run: TrainingRun) -> float:
    """What one image of a run takes here, by a few steps that are timed, with validation and checkpoints.

    Args:
        network: The detector.
        task: What its outputs mean.
        run: The device, and which layers are not trained.
    """
    module = DetectorModule(network)
    initialize(module, DETECTION, run.seed)
    state = TrainingState(module, DETECTION, run, STEPS)
    set_trainable(module, run, 0)
    batch, candidates = DETECTION.batch, task.head.count
    images = torch.zeros(batch, network.channels, network.height, network.width, device=run.device)
    targets = torch.full((batch, candidates, TARGET_NUMBERS), float(BACKGROUND), device=run.device)
    targets[:, 0] = torch.tensor([0.25, 0.25, 0.75, 0.75, 0.0])
    shown = Batch(images.contiguous(memory_format=torch.channels_last), targets)
    objective, times = detection_objective(task.head), list[float]()
    for _ in range(STEPS):
        begun = time.perf_counter()
        state.train_step(shown, objective)
        times.append(time.perf_counter() - begun)
    return OVERHEAD * min(times[1:]) / batch
