"""What the features of a frozen network are worth: a linear head in closed form, judged on images that it did not see.

The first and cheapest way to tell networks apart. The network runs once over the images; the head is ridge regression
of the classes on the features, and the answers to every image are those of a head that was fitted without it
(leave-one-out), which the same decomposition gives at no cost. So all training and validation images count, where a few
dozen validation images alone would tell nothing apart.

Source of the identity: Cook and Weisberg 1982, section 2.2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mobilenets.data.subset import Targets
from mobilenets.data.targets import has_several
from mobilenets.errors import ModelError
from mobilenets.tasks.logits import top1
from mobilenets.tasks.multilabel_metrics import mean_precision_of_labels
from mobilenets.tasks.temperature import fit_temperature

PENALTIES = tuple(10.0**power for power in np.arange(-4, 2.5, 0.5))
"""Ridge penalties that are tried, each relative to the mean variance of the features times the number of images."""

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Probe:
    """What a linear head on the features of a frozen network is worth.

    Attributes:
        accuracy: Of heads on images that they were not fitted to: the share that is classified rightly; of images
            with several labels the mean average precision.
        loss: Mean negative log-likelihood of those answers, in nats; of several labels their mean squared error.
        images: Number of images.
    """

    accuracy: float
    loss: float
    images: int


def probe(
    features: npt.NDArray[np.float32], targets: Targets, classes: int, *, penalties: Sequence[float] = PENALTIES
) -> Probe:
    """Judge features by a linear head, with the penalty that answers best on images that are left out.

    Classes weigh the same, however many images they have; of images with several labels each image does.

    Args:
        features: (N, features).
        targets: int64 (N,), the classes; or (N, labels), 1 where an image has a label and else 0.
        classes: Number of classes or labels.
        penalties: Ridge penalties to try.

    Raises:
        ModelError: If a feature is NaN or infinite.

    >>> rng = np.random.default_rng(0)
    >>> targets = np.arange(60) % 3
    >>> features = rng.normal(np.eye(3)[targets] * 2, 1).astype(np.float32)
    >>> round(probe(features, targets, 3).accuracy, 2)
    0.82
    """
    if not np.isfinite(features).all():
        raise ModelError("the network's features are NaN or infinite on these images")
    several = has_several(targets)
    share = np.ones(len(targets)) if several else _share_of_classes(targets, classes)
    weights = np.sqrt(share)[:, None]  # rows of a weighted least-squares problem
    values = features.astype(np.float64)
    center = (share[:, None] * values).sum(axis=0) / share.sum()
    rows = weights * ((values - center) / (values.std(axis=0) + 1e-8))
    wanted = targets.astype(np.float64) if several else np.eye(classes)[targets]
    mean = (share[:, None] * wanted).sum(axis=0) / share.sum()
    sought = weights * (wanted - mean)
    solved = _Decomposition.of(rows)
    answers = [
        mean + solved.left_out(sought, penalty * len(rows), share / share.sum()) / weights for penalty in penalties
    ]
    if several:
        losses = [float(np.square(one - wanted).mean()) for one in answers]
        best = int(np.argmin(losses))
        return Probe(mean_precision_of_labels(answers[best], targets > 0), losses[best], len(targets))
    losses = [_loss(one, targets) for one in answers]
    best = int(np.argmin(losses))
    return Probe(top1(answers[best].astype(np.float32), targets).value, losses[best], len(targets))


def _share_of_classes(targets: Targets, classes: int) -> Floats:
    """What each image counts where classes weigh the same."""
    counts = np.bincount(targets, minlength=classes)
    return np.asarray((len(targets) / (np.maximum(counts, 1) * max(1, np.count_nonzero(counts))))[targets])


@dataclass(frozen=True, eq=False)
class _Decomposition:
    """The rows of a least-squares problem as U·S·Vᵀ without V, in which every penalty is a division."""

    left: Floats
    singular: Floats

    @classmethod
    def of(cls, rows: Floats) -> _Decomposition:
        """By the eigenvectors of the smaller of the two products, which is quicker than singular values."""
        tall = rows.shape[0] >= rows.shape[1]
        square, vectors = np.linalg.eigh(rows.T @ rows if tall else rows @ rows.T)
        kept = square > 1e-10 * max(square[-1], 1e-300)
        singular, vectors = np.sqrt(square[kept]), vectors[:, kept]
        return cls(rows @ vectors / singular if tall else vectors, singular)

    def left_out(self, sought: Floats, penalty: float, center_share: Floats) -> Floats:
        """For every row, what a fit without that row says of it."""
        shrunk = self.singular**2 / (self.singular**2 + penalty)
        fitted = self.left @ (shrunk[:, None] * (self.left.T @ sought))
        leverage = np.einsum("nd,d,nd->n", self.left, shrunk, self.left) + center_share
        return np.asarray(sought - (sought - fitted) / np.maximum(1 - leverage, 1e-6)[:, None])


def _loss(values: Floats, targets: Targets) -> float:
    """Mean negative log-likelihood of values, at the temperature that they need."""
    logits = values.astype(np.float32)
    scaled = values / fit_temperature(logits, targets, spread=None)
    scaled -= scaled.max(axis=1, keepdims=True)
    chosen = scaled[np.arange(len(targets)), targets]
    return float((np.log(np.exp(scaled).sum(axis=1)) - chosen).mean())
