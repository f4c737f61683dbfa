"""Evidence of how pixels were scaled in training: the batch-norm statistics of the first layer.

A running mean and variance are those of the first convolution's results on the training images. Of a guess at the
scaling, together with what colors photographs have, both can be predicted, and for common scalings the predictions lie
far apart. Statistics of images that are no photographs fit none of them, and then nothing is concluded.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from mobilenets.architecture.layers import INPUT, Convolution
from mobilenets.formats.assumed import SCALINGS, scaling_name
from mobilenets.model.model import Model

COLOR_MEANS = np.array([0.485, 0.456, 0.406])
"""Mean of red, green and blue over the images of ImageNet, where white is 1."""
COLOR_DEVIATIONS = np.array([0.27, 0.265, 0.275])
"""Their standard deviations over all pixels of all images."""
COLOR_CORRELATIONS = np.array([[1, 0.95, 0.88], [0.95, 1, 0.95], [0.88, 0.95, 1]])
NEIGHBOR_CORRELATION = 0.97
"""Of two pixels side by side; it falls with a power of their distance."""

LARGEST_MEAN_ERROR = 0.08
"""Of a scaling that fits, the mean error of the predicted means, in standard deviations of each channel."""
LARGEST_VARIANCE_ERROR = 0.9
"""The median error of the logarithms of the predicted variances."""
LARGEST_SPREAD = 0.5
"""The median distance of those logarithms from their median: weights that no images made spread further."""
MARGIN = 2.0
"""How many times the error of the best scaling that of every other must be."""
VARIANCE_WEIGHT = 0.25
"""Weight of the second error beside the first. The variance depends on contrast, which differs more between sets."""
FEWEST_CHANNELS = 16
"""Live channels that overrule the scaling that a format usually has, where the means alone do not: random means near 0
of 8 channels fit a scaling that predicts means near 0 in 3 of 100 networks."""
EXPLAINED = 3.0
"""How many times their error means are that overrule it with fewer channels."""
LIVE = 1e-4
"""Share of the largest variance below which a channel is dead and says nothing."""


def scaling_by_statistics(model: Model) -> str | None:
    """The name of the scaling that the statistics of a Model's first layer fit, if they fit one and no other.

    Another than its preprocessing has, which is what its format usually has, needs more evidence.

    Args:
        model: As it was read; one whose batch norms are folded, or that is int8, has no statistics.
    """
    found = _first_layer(model)
    if found is None:
        return None
    errors = {name: _errors(*found, np.array(mean), np.array(std)) for name, (mean, std) in SCALINGS.items()}
    total = {name: one.mean + VARIANCE_WEIGHT * one.variance for name, one in errors.items()}
    best, second = sorted(total, key=lambda name: total[name])[:2]
    if not errors[best].fit or total[second] < MARGIN * total[best]:
        return None
    if best == scaling_name(model.preprocessing) or len(found[0]) >= FEWEST_CHANNELS:
        return best
    _, mean, variance = found
    return best if np.mean(np.abs(mean) / np.sqrt(variance)) >= EXPLAINED * errors[best].mean else None


class Errors(NamedTuple):
    """How far statistics lie from those that a scaling predicts; see the constants above."""

    mean: float
    variance: float
    spread: float

    @property
    def fit(self) -> bool:
        """Whether the scaling may be that of the training images."""
        return (
            self.mean <= LARGEST_MEAN_ERROR
            and self.variance <= LARGEST_VARIANCE_ERROR
            and self.spread <= LARGEST_SPREAD
        )


Values = npt.NDArray[np.float64]


def _first_layer(model: Model) -> tuple[Values, Values, Values] | None:
    """Weight, running mean and running variance of the convolution that alone reads an RGB image."""
    readers = model.network.consumers[INPUT]
    layer = model.network[readers[0]] if len(readers) == 1 else None
    if model.network.channels != len(COLOR_MEANS) or not isinstance(layer, Convolution) or layer.batch_norm is None:
        return None
    if layer.bias or model.quantization is not None:
        return None
    weight = model.parameters[f"{layer.name}.weight"]
    mean, variance = (model.parameters[f"{layer.name}.batch_norm.running_{kind}"] for kind in ("mean", "var"))
    live = variance > LIVE * variance.max(initial=0)
    if weight.shape[1] != model.network.channels or not live.any():
        return None
    return weight[live].astype(np.float64), mean[live].astype(np.float64), variance[live].astype(np.float64)


def _errors(weight: Values, mean: Values, variance: Values, shift: Values, scale: Values) -> Errors:
    """What a scaling predicts, compared with the statistics."""
    expected = weight.sum(axis=(2, 3)) @ ((COLOR_MEANS - shift) / scale)
    rows, columns = np.mgrid[: weight.shape[2], : weight.shape[3]].reshape(2, -1)
    distances = np.hypot(rows[:, None] - rows, columns[:, None] - columns)
    deviations = COLOR_DEVIATIONS / scale
    covariance = np.kron(COLOR_CORRELATIONS * np.outer(deviations, deviations), NEIGHBOR_CORRELATION**distances)
    flat = weight.reshape(len(weight), -1)
    predicted = np.einsum("oi,ij,oj->o", flat, covariance, flat)
    ratios = np.log(np.maximum(predicted, 1e-30) / variance)
    middle = float(np.median(ratios))
    mean_error = float(np.mean(np.abs(expected - mean) / np.sqrt(variance)))
    return Errors(mean_error, abs(middle), float(np.median(np.abs(ratios - middle))))
