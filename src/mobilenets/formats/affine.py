"""Scaling of the image inside a graph: one factor and one offset for each channel."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from mobilenets.errors import FormatError
from mobilenets.model.preprocessing import Preprocessing
from mobilenets.model.quantization import TensorQuantization

Vector = npt.NDArray[np.float64]
LARGEST_FACTOR = 0.2
"""Largest factor that bytes of pixels are multiplied by; one above it multiplies values from 0 to 1."""


LARGEST_MEAN = 2.0
"""Largest mean, as a share of white, that is subtracted of values from 0 to 1; 103.939 is subtracted of bytes."""


@dataclass(frozen=True, eq=False)
class Affine:
    """``factor · x + offset`` for each channel.

    Attributes:
        factor: (channels,).
        offset: (channels,).
        of_bytes: Whether x is known to be a byte, and not merely likely to be one.
    """

    factor: Vector
    offset: Vector
    of_bytes: bool = False

    @staticmethod
    def identity(channels: int, *, of_bytes: bool = False) -> Affine:
        """x itself."""
        return Affine(np.ones(channels), np.zeros(channels), of_bytes)

    def times(self, value: Vector) -> Affine:
        """The result, multiplied by a constant."""
        return replace(self, factor=self.factor * value, offset=self.offset * value)

    def plus(self, value: Vector) -> Affine:
        """The result and a constant."""
        return replace(self, offset=self.offset + value)

    @property
    def of_pixels(self) -> Affine:
        """The same of bytes of pixels, where it was made for values from 0 to 1."""
        with np.errstate(divide="ignore", invalid="ignore"):
            of_light = (np.abs(self.offset / self.factor) <= LARGEST_MEAN).all()
        from_0_to_1 = not self.of_bytes and self.factor.min() > LARGEST_FACTOR and bool(of_light)
        return replace(self, factor=self.factor / 255) if from_0_to_1 else self

    def preprocessing(self) -> Preprocessing:
        """The preprocessing that computes the same of bytes of pixels.

        Raises:
            FormatError: If a factor is not a positive number.
        """
        if not (np.isfinite(self.factor).all() and np.isfinite(self.offset).all() and self.factor.min() > 0):
            raise FormatError(f"the image is multiplied by {self.factor.tolist()}; positive numbers were expected")
        std = [_of_float32(value) for value in np.broadcast_to(1 / (255 * self.factor), (3,))]
        mean = [_of_float32(value) for value in np.broadcast_to(-self.offset / (255 * self.factor), (3,))]
        return Preprocessing(mean=(mean[0], mean[1], mean[2]), std=(std[0], std[1], std[2]))

    def quantization(self) -> TensorQuantization:
        """The scale and zero point under which bytes of pixels are what is computed of them.

        Raises:
            FormatError: If the channels differ, or black or white would lie outside the bytes.
        """
        self.preprocessing()
        if np.ptp(self.factor) or np.ptp(self.offset):
            raise FormatError("the channels of the image are scaled differently, which bytes of pixels cannot say")
        factor, offset = float(self.factor[0]), float(self.offset[0])
        zero_point = round(-offset / factor)
        if not 0 <= zero_point <= 255:
            white = 255 * factor + offset
            raise FormatError(f"pixels become {offset:g} to {white:g}, which no zero point of bytes can say")
        return TensorQuantization(factor, zero_point)


def _of_float32(value: float) -> float:
    """A number without the digits that float32 did not hold: 0.49999998 is 0.5, and 1/255 keeps seven digits too."""
    return float(f"{value:.7g}")
