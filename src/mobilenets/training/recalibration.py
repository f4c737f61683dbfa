"""Batch-norm recalibration in PyTorch: running statistics measured anew on images."""

from __future__ import annotations

import math

import numpy as np
import torch

from mobilenets.errors import TrainingError
from mobilenets.model.model import Model
from mobilenets.model.preprocessing import Pixels
from mobilenets.training.batches import normalized
from mobilenets.training.network import module_of, parameters_of


def recalibrated_with_torch(
    model: Model, pixels: Pixels, *, batch: int = 64, device: torch.device | None = None
) -> Model:
    """A Model with batch-norm statistics measured on images, layer by layer, as they will be used.

    Args:
        model: A float32 Model, such as a subnet of a supernet.
        pixels: uint8 (N, height, width, 3) of training images, prepared as for evaluation; some hundreds suffice.
        batch: Images that are run together; statistics are averaged over batches, the variance unbiased.
        device: Device that runs the network; the CPU if None.

    Returns:
        The same Model with new running means and variances.

    Raises:
        TrainingError: If there are fewer than two images.
    """
    if len(pixels) < 2:
        raise TrainingError(f"batch-norm statistics need two images at least, not {len(pixels)}")
    device = device or torch.device("cpu")
    module = module_of(model).to(device).train()
    for layer in module.layer_modules():
        if layer.batch_norm is not None:
            layer.batch_norm.reset_running_stats()
            layer.batch_norm.momentum = None  # a plain average over batches
    groups = np.array_split(np.arange(len(pixels)), math.ceil(len(pixels) / max(2, batch)))
    with torch.no_grad():
        for indices in groups:
            module(normalized(pixels[indices], model.preprocessing, device))
    return model.with_parameters(parameters_of(module))
