"""From float weights to integers: to the nearest, or so that the layer's results change least.

A layer's results change by ``(w − ŵ) · x``. Over all inputs x that the layer meets, the mean square of that is
``(w − ŵ) G (w − ŵ)ᵀ`` with G the covariance of the inputs (a constant part goes into the bias). Nearest rounding
ignores G; here each weight in turn is rounded and the ones not yet rounded compensate for its error, and then single
weights move up or down as long as that helps. Everything is batched over groups, so a depthwise layer is as many 9×9
problems as it has channels.
"""

from __future__ import annotations

from enum import StrEnum

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

_DAMPING = 0.01
"""Share of the mean variance that is added to all variances: inputs that never vary must not let weights drift."""
_SWEEPS = 4
_SHRINKS = np.linspace(0.5, 1.0, 26)
"""Shares of the largest weight that are tried as the end of the grid where it has few levels."""


class WeightRounding(StrEnum):
    """How weights become integers."""

    NEAREST = "nearest"
    """Each to the integer nearest to it."""
    RECONSTRUCT = "reconstruct"
    """So that the layer's results change least: see :func:`reconstruct`."""


def largest_level(bits: int) -> int:
    """The largest integer of a symmetric grid.

    >>> largest_level(8), largest_level(4)
    (127, 7)
    """
    return (1 << (bits - 1)) - 1


def weight_scales(weight: Array, bits: int, variance: Array | None = None) -> Array:
    """Scale of each output channel's grid.

    At 8 bits the grid ends at the largest weight. At fewer it ends where nearest rounding has the least squared error,
    for clipping one outlier may buy finer steps for all. Channels whose weights are all zero get the scale 1.

    Args:
        weight: (groups, out, in).
        bits: 8 or fewer.
        variance: Weight of each input's error, (groups, in); all equal if None.

    Returns:
        float64 (groups, out), each exactly a float32.
    """
    top = largest_level(bits)
    largest = np.abs(weight).max(axis=2)
    scales = np.where(largest > 0, largest / top, 1.0)
    if bits < 8:
        importance = np.ones_like(weight[:, :1]) if variance is None else variance[:, None, :] + 1e-12
        errors = []
        for share in _SHRINKS:
            step = (scales * share)[:, :, None]
            rounded = np.clip(np.rint(weight / step), -top, top) * step
            errors.append(((rounded - weight) ** 2 * importance).sum(axis=2))
        scales = scales * _SHRINKS[np.argmin(errors, axis=0)]
    return np.maximum(scales, 1e-30).astype(np.float32).astype(np.float64)


def nearest(weight: Array, scales: Array, bits: int) -> Array:
    """Integers nearest to ``weight / scales``.

    Args:
        weight: (groups, out, in).
        scales: (groups, out).
        bits: Bits of the grid.
    """
    top = largest_level(bits)
    rounded: Array = np.clip(np.rint(weight / scales[:, :, None]), -top, top)
    return rounded


def reconstruct(weight: Array, scales: Array, bits: int, covariance: Array) -> Array:
    """Integers whose layer gives nearly the same results.

    Args:
        weight: (groups, out, in).
        scales: (groups, out).
        bits: Bits of the grid.
        covariance: Of the layer's inputs, (groups, in, in).

    Returns:
        Integers (groups, out, in); for no row is ``(w − ŵ) G (w − ŵ)ᵀ`` larger than with nearest rounding.

    Source: the objective is equation 13 of Nagel et al. 2020, arXiv:2004.10568 (AdaRound). It is lowered by error
    feedback (Frantar et al. 2022, arXiv:2210.17323) and then by coordinate descent, for both of which the
    covariance is all that they need to know about the data.
    """
    size = covariance.shape[-1]
    mean_variance = np.trace(covariance, axis1=1, axis2=2) / size
    damped = covariance + (_DAMPING * mean_variance + 1e-12)[:, None, None] * np.eye(size)
    target = weight / scales[:, :, None]
    simple = nearest(weight, scales, bits)
    careful = _descend(target, _feed_back(target, bits, damped), bits, damped)
    better = _error(target - careful, covariance) < _error(target - simple, covariance)
    return np.where(better[:, :, None], careful, simple)


def _error(difference: Array, covariance: Array) -> Array:
    """``d G dᵀ`` of every row, (groups, out)."""
    error: Array = ((difference @ covariance) * difference).sum(axis=2)
    return error


def _feed_back(target: Array, bits: int, covariance: Array) -> Array:
    """Round column by column; the columns after it take up what a column's rounding spoils."""
    top = largest_level(bits)
    # The inputs that vary most are rounded first, while there is most left to make up for them.
    order = np.argsort(-np.diagonal(covariance, axis1=1, axis2=2).sum(axis=0))
    remaining = target[:, :, order].copy()
    inverse = np.linalg.inv(covariance[:, order][:, :, order])
    upper = np.linalg.cholesky(inverse).transpose(0, 2, 1)
    rounded = np.empty_like(remaining)
    for column in range(remaining.shape[2]):
        chosen = np.clip(np.rint(remaining[:, :, column]), -top, top)
        rounded[:, :, column] = chosen
        spoilt = (remaining[:, :, column] - chosen) / upper[:, column, column, None]
        remaining[:, :, column + 1 :] -= spoilt[:, :, None] * upper[:, None, column, column + 1 :]
    result = np.empty_like(rounded)
    result[:, :, order] = rounded
    return result


def _descend(target: Array, rounded: Array, bits: int, covariance: Array) -> Array:
    """Move single weights to where the error is least, column by column, until nothing moves."""
    top = largest_level(bits)
    rounded = rounded.copy()
    slope = (target - rounded) @ covariance
    for _ in range(_SWEEPS):
        moved = False
        for column in range(rounded.shape[2]):
            best = rounded[:, :, column] + slope[:, :, column] / covariance[:, column, column, None]
            step = np.clip(np.rint(best), -top, top) - rounded[:, :, column]
            if step.any():
                moved = True
                rounded[:, :, column] += step
                slope -= step[:, :, None] * covariance[:, None, column]
        if not moved:
            break
    return rounded
