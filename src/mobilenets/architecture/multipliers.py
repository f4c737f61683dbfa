"""The width multiplier α, the resolution multiplier ρ, and what they leave to be decided: rounding and padding.

Source: arXiv:1704.04861, sections 3.3 and 3.4. Rounding and padding are where ports of the same network part ways,
so both are data of a Network and never a habit of the code that reads it.
"""

from __future__ import annotations

import math
from enum import StrEnum

from mobilenets.base.arguments import check_integer, is_integer, is_number
from mobilenets.base.records import record
from mobilenets.errors import ArchitectureError

PUBLISHED_WIDTHS = (1.0, 0.75, 0.5, 0.25)
PUBLISHED_RESOLUTIONS = (224, 192, 160, 128)
SMALLEST_RESOLUTION = 32


@record(frozen=True)
class Rounding:
    """How α·c becomes an integer number of channels.

    ``divisor=1, minimum=8`` is TF-slim's ``max(int(c·α), 8)``. With a larger divisor the product goes to the nearest
    multiple of it, and up one step if that would lose more than a tenth, as in later codebases.

    Attributes:
        divisor: Channel counts are multiples of this.
        minimum: No layer has fewer channels than this.
    """

    divisor: int = 1
    minimum: int = 8

    def __post_init__(self) -> None:
        check_integer("divisor of rounding", self.divisor, ArchitectureError, least=1)
        check_integer("minimum of rounding", self.minimum, ArchitectureError, least=1)

    def apply(self, channels: int, width_multiplier: float) -> int:
        """Channels of a layer that has ``channels`` of them at α = 1.

        >>> Rounding().apply(32, 0.75), Rounding().apply(32, 0.1), Rounding(divisor=8).apply(64, 0.3)
        (24, 8, 24)
        """
        if not (is_number(width_multiplier) and math.isfinite(width_multiplier) and width_multiplier > 0):
            raise ArchitectureError(f"width multiplier must be a positive number, not {width_multiplier!r}")
        # A hair is added because 0.29 · 100 is 28.999999999999996 in binary and every person means 29.
        product = channels * width_multiplier + 1e-9
        if self.divisor == 1:
            return max(int(product), self.minimum)
        rounded = int(product + self.divisor / 2) // self.divisor * self.divisor
        rounded = max(rounded, self.divisor, math.ceil(self.minimum / self.divisor) * self.divisor)
        return rounded + self.divisor if rounded < 0.9 * product else rounded


ONE_FOR_ONE = Rounding()


class PaddingPolicy(StrEnum):
    """How the zeros around a map are computed. The result is written into the layers as explicit numbers."""

    SAME = "same"
    """TensorFlow: output ⌈n / stride⌉; the odd zero, if any, goes below and to the right."""
    SYMMETRIC = "symmetric"
    """PyTorch: (kernel − 1) / 2 on every side, whatever the map."""

    def amounts(self, size: int, kernel: int, stride: int) -> tuple[int, int]:
        """Zeros before and after one axis of ``size`` pixels.

        >>> PaddingPolicy.SAME.amounts(224, 3, 2), PaddingPolicy.SAME.amounts(7, 3, 2)
        ((0, 1), (1, 1))
        >>> PaddingPolicy.SYMMETRIC.amounts(224, 3, 2)
        (1, 1)
        """
        if self is PaddingPolicy.SYMMETRIC:
            return (kernel - 1) // 2, (kernel - 1) // 2
        total = max((math.ceil(size / stride) - 1) * stride + kernel - size, 0)
        return total // 2, total - total // 2


def check_resolution(resolution: int | tuple[int, int], *, smallest: int = SMALLEST_RESOLUTION) -> tuple[int, int]:
    """Height and width of the input, if a network can be built for it.

    Args:
        resolution: Side of the square input in pixels, or (height, width).
        smallest: Fewest pixels that either side may have.

    Raises:
        ArchitectureError: If a side is no integer or smaller than ``smallest`` pixels.

    >>> check_resolution(224), check_resolution((96, 128))
    ((224, 224), (96, 128))
    """
    sides = tuple(resolution) if isinstance(resolution, tuple | list) else (resolution, resolution)
    if len(sides) != 2 or not all(is_integer(side) for side in sides):
        raise ArchitectureError(f"resolution must be an integer or (height, width) in pixels, not {resolution!r}")
    height, width = (int(side) for side in sides)
    for side in (height, width):
        if side < smallest:
            raise ArchitectureError(f"resolution must be at least {smallest} pixels, not {side}")
    return height, width
