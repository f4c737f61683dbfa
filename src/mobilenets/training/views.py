"""Which of several int8 Models does best, on images that training has not seen and on distorted views of them.

Some hundred images tell a loss of a point from none only where it hits many of them. Distorted views of the same
images are further evidence: of the same things, so an image counts once, by the mean over its views.
"""

from __future__ import annotations

import numpy as np
import torch

from mobilenets.compression.answers import Answers, answers_to
from mobilenets.compression.evaluation import EvaluationSet, compute_logits
from mobilenets.data.augmentation import Augmentation
from mobilenets.engine.session import Session
from mobilenets.model.model import Model
from mobilenets.model.preprocessing import Pixels
from mobilenets.training.batches import distorted

MOST_VIEWS, MOST_VIEWED = 8, 2048
"""Views of each image, itself among them, and images of all views together: what time and memory allow."""
_TOGETHER = 64


class Views:
    """Images that int8 Models are compared on, each in several distorted views.

    Where they have labels a right answer is the label, and the loss its cross-entropy. Without, there is one view; a
    right answer is the float Model's, and the loss the divergence from it. See :class:`Answers`.

    Args:
        model: The float Model.
        evaluation: The images, and the float Model's answers.
        augmentation: How views are distorted.
        seed: Random seed of the views.
    """

    def __init__(self, model: Model, evaluation: EvaluationSet, augmentation: Augmentation, seed: int = 0) -> None:
        self._evaluation, self.images = evaluation, len(evaluation.pixels)
        views = min(MOST_VIEWS, max(1, MOST_VIEWED // self.images)) if evaluation.targets is not None else 1
        random = np.random.default_rng(seed)
        others = [_view(evaluation.pixels, augmentation, random) for _ in range(views - 1)]
        self._pixels = np.concatenate([evaluation.pixels, *others])
        self._views = views
        self._float_logits = np.concatenate([evaluation.logits, *(compute_logits(model, some) for some in others)])

    def score(self, model: Model) -> Answers:
        """The score of a Model, run by the engine."""
        targets = self._evaluation.targets
        given = Session(model, torch.get_num_threads()).run(self._pixels)
        repeated = None if targets is None else np.concatenate([targets] * self._views)
        several = model.task.kind == "multilabel"
        one = answers_to(given.reshape(len(given), -1), self._float_logits, repeated, several=several)
        shape = (self._views, self.images)
        means = [
            values.reshape(shape).mean(axis=0)
            for values in (one.right, one.losses, one.divergences)
            if values is not None
        ]
        return Answers(*means)


def _view(pixels: Pixels, augmentation: Augmentation, random: np.random.Generator) -> Pixels:
    seen = np.empty_like(pixels)
    for begin in range(0, len(pixels), _TOGETHER):
        maps = torch.from_numpy(pixels[begin : begin + _TOGETHER]).permute(0, 3, 1, 2).float()
        changed = distorted(maps, augmentation, random)
        seen[begin : begin + _TOGETHER] = changed.permute(0, 2, 3, 1).to(torch.uint8).numpy()
    return seen
