"""Which of several int8 Models does best, on images that training has not seen.

Some hundred images tell a loss of a point from none only where it hits many of them. Distorted views of the same
images are further evidence: of the same things, so an image counts once, by the mean over its views.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from mobilenets.compression.quality import Jury
from mobilenets.data.augmentation import Augmentation
from mobilenets.engine.session import Session
from mobilenets.model.model import Model
from mobilenets.model.preprocessing import Pixels
from mobilenets.training.batches import change_colours, resample

MOST_VIEWS, MOST_VIEWED = 8, 2048
"""Views of each image, itself among them, and images of all views together: what time and memory allow."""
_TOGETHER = 64


@dataclass(frozen=True, eq=False)
class Standing:
    """How a Model does on images that choose.

    Attributes:
        right: Share of each image's views that are answered rightly, (N,).
        loss: Mean loss over each image's views, in nats, (N,).
    """

    right: npt.NDArray[np.float64]
    loss: npt.NDArray[np.float64]

    def is_better_than(self, other: Standing, errors: float = 2.0) -> bool:
        """Whether this Model is better than another that was judged on the same images.

        It is if it gains more right answers than it loses, by more than a standard error of that difference. Within
        it, counting tells nothing: then it is if its mean loss is lower.

        Args:
            other: The other Model's.
            errors: Standard errors that the mean loss must be lower by.
        """
        gained = self.right - other.right
        if abs(gained.sum()) > math.sqrt(np.square(gained).sum()):
            return bool(gained.sum() > 0)
        difference = self.loss - other.loss
        error = difference.std() / math.sqrt(len(difference))
        return bool(difference.mean() < -errors * error)


class Judges:
    """Images that Models are compared on.

    Where they have labels a right answer is the label, the loss its cross entropy, and distorted views of them judge
    too. Without, a right answer is the float Model's, and the loss the Kullback-Leibler divergence from it.

    Args:
        jury: The images, and the float Model's answers.
        augmentation: How views are distorted.
        seed: Of the views.
    """

    def __init__(self, jury: Jury, augmentation: Augmentation, seed: int = 0) -> None:
        self._jury, self.count = jury, len(jury.pixels)
        views = min(MOST_VIEWS, max(1, MOST_VIEWED // self.count)) if jury.targets is not None else 1
        random = np.random.default_rng(seed)
        others = [_view(jury.pixels, augmentation, random) for _ in range(views - 1)]
        self._pixels = np.concatenate([jury.pixels, *others])
        self._views = views

    def standing(self, model: Model) -> Standing:
        """Ask a Model, on the engine."""
        logits = Session(model, torch.get_num_threads()).run(self._pixels)
        given = _log_probabilities(logits)
        if self._jury.targets is not None:
            targets = np.tile(self._jury.targets, self._views)
            right, loss = logits.argmax(axis=1) == targets, -given[np.arange(len(given)), targets]
        else:
            wanted = _log_probabilities(self._jury.logits)
            right = logits.argmax(axis=1) == self._jury.logits.argmax(axis=1)
            loss = (np.exp(wanted) * (wanted - given)).sum(axis=1)
        shape = (self._views, self.count)
        return Standing(right.reshape(shape).mean(axis=0), loss.reshape(shape).mean(axis=0))


def distorted(maps: Tensor, augmentation: Augmentation, random: np.random.Generator) -> Tensor:
    """Images distorted as in ordinary training, and bytes again.

    Args:
        maps: Bytes as float32 (N, channels, height, width).
        augmentation: How.
        random: Draws what is done to each.

    Returns:
        The same shape, channels-last in memory.
    """
    height, width = maps.shape[2:]
    aspect = width / height
    drawn = augmentation.draw(np.full(len(maps), aspect, np.float32), aspect, random)
    changed = change_colours(resample(maps, drawn, (height, width)), drawn, augmentation)
    return changed.round_().clamp_(0, 255).contiguous(memory_format=torch.channels_last)


def _view(pixels: Pixels, augmentation: Augmentation, random: np.random.Generator) -> Pixels:
    seen = np.empty_like(pixels)
    for begin in range(0, len(pixels), _TOGETHER):
        maps = torch.from_numpy(pixels[begin : begin + _TOGETHER]).permute(0, 3, 1, 2).float()
        changed = distorted(maps, augmentation, random)
        seen[begin : begin + _TOGETHER] = changed.permute(0, 2, 3, 1).to(torch.uint8).numpy()
    return seen


def _log_probabilities(logits: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    logs: npt.NDArray[np.float64] = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return logs
