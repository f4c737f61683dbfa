"""A few of many images."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def spread(total: int, count: int) -> npt.NDArray[np.int64]:
    """At most so many positions, spread evenly over all.

    >>> spread(10, 4).tolist()
    [0, 3, 6, 9]
    """
    return np.unique(np.linspace(0, total - 1, count).round().astype(np.int64))
