"""Probable label errors: images whose own label is far less likely than chance, by all the other images.

Every image is judged by a classifier that was fitted without it: kernel ridge regression of the labels on the features
of a network, whose leave-one-out answers have a closed form. A temperature makes probabilities of them, and an image is
listed where its label gets less than a fraction of what chance would give it: the least self-confidence first, which
confident learning (Northcutt et al. 2021, arXiv:1911.00068) ranks by, too.

Source of the closed form: Cook and Weisberg 1982, section 2.2.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mobilenets.errors import DataError
from mobilenets.tasks.logits import softmax
from mobilenets.tasks.metrics import Counts
from mobilenets.tasks.temperature import fit_temperature

LESS_THAN_CHANCE = 0.3
"""Share of the probability of chance below which a label is taken for an error."""
SHARPNESS = 2.0
"""Of the kernel: exp(SHARPNESS · (cosine − 1))."""
PENALTIES = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
"""Ridge penalties that are tried, relative to the mean of the kernel's diagonal."""
MOST_TOGETHER = 2500
"""Images that are judged by each other; the work grows with the cube of their number, so more are split."""
FEWEST_IMAGES = 20

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class LabelError:
    """An image whose label is probably wrong.

    Attributes:
        position: Of the image, among those that were judged.
        label: Its class.
        own_probability: What that class gets.
        likelier: The likeliest class.
        probability: What that one gets.
    """

    position: int
    label: int
    own_probability: float
    likelier: int
    probability: float


def find_label_errors(features: npt.NDArray[np.float32], targets: Counts, classes: int) -> list[LabelError]:
    """Find images whose labels are probably wrong.

    Args:
        features: (N, C), of a network that was not trained on these labels, or not for long.
        targets: int64 (N,), the classes.
        classes: Number of classes.

    Returns:
        Surest first. Of images of very different kinds some are rare and rightly labeled: the list is to be looked at.

    Raises:
        DataError: If there are too few images, or features that are not finite.
    """
    if len(targets) < FEWEST_IMAGES:
        raise DataError(f"{len(targets)} images tell nothing of their labels; {FEWEST_IMAGES} are the fewest")
    if not np.isfinite(features).all():
        raise DataError("features are NaN or infinite")
    probabilities = np.empty((len(targets), classes))
    order = np.random.default_rng(0).permutation(len(targets))
    for part in np.array_split(order, -(-len(order) // MOST_TOGETHER)):
        probabilities[part] = left_out_probabilities(features[part], targets[part], classes)
    own = probabilities[np.arange(len(targets)), targets]
    likelier = probabilities.argmax(axis=1)
    found = [
        LabelError(
            int(place),
            int(targets[place]),
            float(own[place]),
            int(likelier[place]),
            float(probabilities[place, likelier[place]]),
        )
        for place in np.argsort(own, kind="stable")
        if own[place] < LESS_THAN_CHANCE / classes
    ]
    return [one for one in found if one.likelier != one.label]


def left_out_probabilities(features: npt.NDArray[np.float32], targets: Counts, classes: int) -> Floats:
    """Probability of each class for every image by a classifier that was fitted to the others, (N, classes).

    Args:
        features: (N, C).
        targets: int64 (N,).
        classes: Number of classes.
    """
    rows = features.astype(np.float64)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True) + 1e-12
    rows -= rows.mean(axis=0)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True) + 1e-12
    values, vectors = np.linalg.eigh(np.exp(SHARPNESS * (rows @ rows.T - 1)))
    wanted = np.eye(classes)[targets] - 1 / classes
    projected = vectors.T @ wanted
    best: tuple[float, Floats] | None = None
    for penalty in PENALTIES:
        shrunk = values / (values + penalty)
        leverage = np.square(vectors) @ shrunk
        answers = wanted - (wanted - vectors @ (shrunk[:, None] * projected)) / (1 - leverage)[:, None]
        probabilities = softmax(answers / fit_temperature(answers.astype(np.float32), targets, spread=None))
        loss = -float(np.log(probabilities[np.arange(len(targets)), targets] + 1e-12).mean())
        if best is None or loss < best[0]:
            best = loss, probabilities
    assert best is not None
    return best[1]
