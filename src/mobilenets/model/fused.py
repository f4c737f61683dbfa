"""Fused multiplication and addition of float32, in NumPy, which has none: ``a · b + c``, rounded once."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt


def multiply_add(a: npt.ArrayLike, b: npt.ArrayLike, c: npt.ArrayLike) -> npt.NDArray[np.float32]:
    """``a · b + c`` as processors with FMA instructions compute it: the exact result, rounded to float32 once.

    Args:
        a: float32, finite.
        b: float32, finite.
        c: float32, finite; all three are broadcast.

    Returns:
        float32, of the common shape.

    Source: Boldo and Melquiond 2008, "Emulation of FMA and correctly rounded sums: proved algorithms using rounding to
    odd".

    >>> float(multiply_add(np.float32(3), np.float32(1 / 3), np.float32(-1)))
    2.9802322387695312e-08
    """
    # The product of two float32 is exact in float64. Their sum with c is rounded to float64, and to float32 after that,
    # which is one rounding too many where the first ends between two float32. So the first is made to odd: an inexact
    # sum whose last bit is even moves to its neighbor on the side of the exact one.
    product = np.multiply(a, b, dtype=np.float64)
    added = np.asarray(c, np.float64)
    total = np.atleast_1d(product + added)
    part = total - product
    error = (product - (total - part)) + (added - part)
    bits: npt.NDArray[Any] = total.view(np.int64)
    away = np.where((error > 0) == (total > 0), 1, -1)
    odd = np.where((error != 0) & (bits & 1 == 0), bits + away, bits).view(np.float64)
    return odd.astype(np.float32).reshape(np.broadcast_shapes(product.shape, added.shape))
