"""A caller's augmentation, in place of the recipe's."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from mobilenets.errors import TrainingError

OwnAugmentation = Callable[[Tensor], Tensor]
"""Images float32 (n, channels, height, width) from 0 to 255 → the same number of the same size."""


def augmented(augment: OwnAugmentation, images: Tensor, seed: int, step: int) -> Tensor:
    """Images as a caller's augmentation makes them; what it draws from PyTorch follows from seed and step.

    Args:
        augment: The caller's.
        images: float32 (n, channels, height, width), from 0 to 255.
        seed: Random seed of the run.
        step: Number of the step in the run.

    Raises:
        TrainingError: If it gives something else than images of the same shape.
    """
    torch.manual_seed((seed * 1_000_003 + step) & (2**63 - 1))
    made = augment(images)
    if not isinstance(made, Tensor) or made.shape != images.shape:
        got = tuple(made.shape) if isinstance(made, Tensor) else type(made).__name__
        raise TrainingError(f"the augmentation must give images of shape {tuple(images.shape)}, not {got}")
    return made.float()
