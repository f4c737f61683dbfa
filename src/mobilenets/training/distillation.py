"""Learning from a larger network: what a slice of a shared one is specialised with.

Source: Hinton et al. 2015, arXiv:1503.02531. The temperature is 1, as in the in-place distillation that the teacher
itself was trained with (:mod:`mobilenets.training.sandwich`).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from mobilenets.errors import TrainingError
from mobilenets.training.batches import Batch
from mobilenets.training.network import NetworkModule


class Distillation:
    """The objective of a student, for :class:`mobilenets.training.loop.Trainer`.

    Args:
        teacher: A trained module; it sees every image at the batch's size, and is not changed.
        share: Of the loss, how much is learnt from the teacher's answers; the rest is learnt from the labels.
        until: Part of the run, from its beginning, in which the teacher is asked; afterwards all is learnt from the
            labels, which takes a fraction of the time where the teacher is much larger, and images are taken as
            they come.
        label_smoothing: Of the labels.

    Raises:
        TrainingError: If a share is not between 0 and 1.
    """

    def __init__(
        self, teacher: NetworkModule, *, share: float = 0.5, until: float = 1.0, label_smoothing: float = 0.0
    ) -> None:
        if not 0 <= share <= 1:
            raise TrainingError(f"the teacher's share of the loss must be from 0 to 1, not {share:g}")
        if not 0 <= until <= 1:
            raise TrainingError(f"the teacher is asked until a part of the run from 0 to 1, not {until:g}")
        # mypy does not know this overload of Module.to
        self._teacher = teacher.to(memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
        self._share, self._until, self._label_smoothing = share, until, label_smoothing

    def __call__(self, module: NetworkModule, batch: Batch) -> tuple[Tensor, Tensor]:
        """(loss, logits of the student).

        While the teacher is asked, a batch comes at its size, or in proportion where training is at a smaller one just
        now, and the student sees it in its own proportion.
        """
        if batch.step >= round(self._until * batch.steps):
            logits = module(batch.images).float()
            return self._from_labels(logits, batch), logits
        side = proportional_side(module.network.height, batch.images.shape[2], self._teacher.network.height)
        logits = module(resized(batch.images, side)).float()
        with torch.no_grad():
            said = self._teacher(batch.images).float().softmax(dim=1)
        return torch.lerp(self._from_labels(logits, batch), functional.cross_entropy(logits, said), self._share), logits

    def _from_labels(self, logits: Tensor, batch: Batch) -> Tensor:
        return functional.cross_entropy(logits, batch.targets, label_smoothing=self._label_smoothing)


def proportional_side(wanted: int, side: int, largest: int) -> int:
    """The side that is to ``side`` as ``wanted`` is to ``largest``, and at least 32 pixels.

    >>> proportional_side(48, 64, 64), proportional_side(48, 48, 64), proportional_side(48, 32, 64)
    (48, 36, 32)
    """
    return max(32, round(wanted * side / largest))


def resized(images: Tensor, side: int) -> Tensor:
    """Images (N, 3, H, W) as (N, 3, side, side), without aliasing."""
    if tuple(images.shape[2:]) == (side, side):
        return images
    smaller = functional.interpolate(images, (side, side), mode="bilinear", antialias=True, align_corners=False)
    return smaller.contiguous(memory_format=torch.channels_last)
