"""Activation functions on NumPy arrays, the definition that every executor and exporter follows."""

from __future__ import annotations

from typing import Any, assert_never

import numpy as np
import numpy.typing as npt

from mobilenets.architecture.layers import Activation

Array = npt.NDArray[Any]


def activate(values: Array, activation: Activation, *, overwrite: bool = False) -> Array:
    """Apply an activation function.

    Args:
        values: float32 or float64, of any shape; every step is computed in that type.
        activation: The function.
        overwrite: Whether the result may be written over the values.

    Returns:
        An array of the type and shape of the values; the values themselves for ``Activation.NONE``.

    >>> activate(np.array([-4.0, 0.0, 3.0]), Activation.HARD_SWISH).tolist()
    [-0.0, 0.0, 3.0]
    """
    out = values if overwrite else None
    match activation:
        case Activation.NONE:
            return values
        case Activation.RELU:
            return np.clip(values, 0, None, out=out)
        case Activation.RELU6:
            return np.clip(values, 0, 6, out=out)
        case Activation.HARD_SIGMOID:
            return _hard_sigmoid(values, out)
        case Activation.HARD_SWISH:
            return np.multiply(values, _hard_sigmoid(values), out=out)
        case _:
            assert_never(activation)


def _hard_sigmoid(values: Array, out: Array | None = None) -> Array:
    real = values.dtype.type
    line: Array = np.multiply(values, real(1 / 6), out=out)
    line += real(0.5)
    return np.clip(line, 0, 1, out=line)
