"""Temperature scaling: probabilities that are right as often as they say.

Training with label smoothing, or for long, gives logits whose softmax is less or more sure than the network is right.
Dividing the logits by one number, the temperature, that is fitted on images which trained nothing changes no answer and
mends most of that.

Source: Guo et al. 2017, arXiv:1706.04599.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mobilenets.errors import DataError
from mobilenets.tasks.metrics import Counts
from mobilenets.tasks.task import Array

SMALLEST_TEMPERATURE, LARGEST_TEMPERATURE = 0.05, 20.0
"""Temperatures beyond these are not fitted: what asks for one is no classifier yet."""
MOST_VALUES = 2_000_000
"""Of more logits than that, evenly spread images are fitted on."""
SPREAD = 0.5
"""Standard deviation of the logarithm of the temperatures that classifiers need, by which few images are weighed."""
_STEPS = 40


def fit_temperature(logits: Array, targets: Counts, *, spread: float | None = SPREAD) -> float:
    """The temperature that gives the right classes of some images the least negative log-likelihood.

    Targets are smoothed by one image in all: of twelve images that are all classified correctly it does not follow that
    the network is always right. Source of that: Platt 1999, section 2.2. And the temperature has a prior, whose
    logarithm is normal around 0: what six images prefer is chance, and may be 20 (docs/experiments/fine-tuning.md).
    Neither counts for much beside some hundred images.

    Args:
        logits: (N, classes), of images that the network was not trained on.
        targets: int64 (N,), their classes.
        spread: Standard deviation of the logarithm that the prior has; None for no prior, where logits are those of no
            trained classifier, and may have any scale.

    Raises:
        DataError: If there are no images.

    >>> logits = np.array([[2.0, 0.0], [2.0, 0.0], [0.0, 2.0], [2.0, 0.0]] * 100)
    >>> round(fit_temperature(logits, np.array([0, 0, 1, 1] * 100)), 2)  # 88 % sure, 75 % right
    1.79
    """
    if not len(targets):
        raise DataError("there are no images to fit a temperature on")
    classes = logits.shape[1]
    if classes < 2:
        return 1.0
    chosen = np.linspace(0, len(targets) - 1, min(len(targets), max(1, MOST_VALUES // classes))).astype(np.int64)
    values = logits[chosen].astype(np.float64)
    values -= values.max(axis=1, keepdims=True)
    smoothing = 1 / (len(chosen) + 2)
    right = values[np.arange(len(chosen)), targets[chosen]]
    others = (values.sum(axis=1) - right) / (classes - 1)
    wanted = float(((1 - smoothing) * right + smoothing * others).mean())
    # The likelihood is concave in the reciprocal of the temperature; its derivative is a difference of means.
    low, high = np.log(1 / LARGEST_TEMPERATURE), np.log(1 / SMALLEST_TEMPERATURE)
    for _ in range(_STEPS):
        middle = (low + high) / 2
        slope = np.exp(middle) * (_expected(values, np.exp(middle)) - wanted)
        slope += 0.0 if spread is None else middle / (len(chosen) * spread**2)
        low, high = (middle, high) if slope < 0 else (low, middle)
    return float(f"{np.exp(-(low + high) / 2):.6g}")


def _expected(values: npt.NDArray[np.float64], sharpness: float) -> float:
    """Mean over the images of the logit that is expected under the probabilities."""
    powers = np.exp(sharpness * values)
    return float(((powers * values).sum(axis=1) / powers.sum(axis=1)).mean())
