"""What rounding does to each channel's mean and deviation over the calibration images, and what makes up for it.

A layer of the int8 Model reads other values than in float: what the layers before it rounded and clipped. Its bias
takes up the difference of the means, and its weights grow or shrink by a factor for each channel, so that it varies as
much as in float. Without the factor a little of what varies is lost at every layer, and over a network's depth the
logits lose several percent of their spread.

Source of the first: Nagel et al. 2019, arXiv:1906.04721, section 4.2; the second is its counterpart for second moments.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mobilenets.compression.filters import Rows

_LEAST_VARIANCE = 1e-10
"""Of a channel's results, under which it is a constant and has no deviation to keep."""
_LARGEST_GAIN = 1.25
"""Most that a channel grows or shrinks by: a larger difference is no loss of rounding, but chance."""


def deviation_gain(rows: Rows, real: Rows, held: Rows) -> Rows:
    """Factor on each channel's weights with which its results keep the deviation that they have in float.

    Args:
        rows: The float weights, (groups, out, in).
        real: Covariance of the layer's inputs in float, (groups, in, in).
        held: The same of the inputs that the int8 layers before it make.

    Returns:
        (groups, out); 1 for a channel that hardly varies on either side.
    """
    wanted, found = (((rows @ products) * rows).sum(axis=2) for products in (real, held))
    varies = (wanted > _LEAST_VARIANCE) & (found > _LEAST_VARIANCE)
    ratio = np.sqrt(np.where(varies, wanted, 1.0) / np.where(varies, found, 1.0))
    gain: Rows = ratio.clip(1 / _LARGEST_GAIN, _LARGEST_GAIN)
    return gain


def mean_shift(rows: Rows, rounded: Rows, real: npt.NDArray[np.float32], held: npt.NDArray[np.float32]) -> Rows:
    """What each bias must grow by for its channel to keep the mean that it has in float, (out,).

    Args:
        rows: The float weights, (groups, out, in).
        rounded: What the whole weights stand for, (groups, out, in).
        real: Inputs of the layer's filters in float, (groups, samples, in).
        held: The same of the int8 Model, at the same pixels.
    """
    before, after = (seen.mean(axis=1, dtype=np.float64)[:, :, None] for seen in (real, held))
    shift: Rows = (rows @ before - rounded @ after).reshape(-1)
    return shift
