"""What is done on the way from a float32 Model to an int8 one."""

from __future__ import annotations

from dataclasses import dataclass

from mobilenets.base.arguments import word_of
from mobilenets.compression.ranges import RangeMethod, check_percentile
from mobilenets.compression.rounding import WeightRounding
from mobilenets.errors import CompressionError


@dataclass(frozen=True)
class QuantizationConfig:
    """How a float32 Model is quantized. Each technique can be switched off.

    Attributes:
        ranges: How activation ranges are chosen; the text of a method will do.
        percentile: Share of values, in percent, that percentile ranges keep.
        equalize: Cross-layer equalization of channels.
        absorb: Absorption of high biases.
        bias_correction: Measured correction of each channel's mean.
        deviation_correction: Measured correction of each channel's standard deviation.
        rounding: How weights are rounded; its text will do.
        weight_bits: 8 or 4; see :func:`mobilenets.compression.weights.bits_by_layer`.

    Raises:
        CompressionError: If ``ranges`` or ``rounding`` is unknown, ``percentile`` is not in (50, 100], or
            ``weight_bits`` is neither 4 nor 8.
    """

    ranges: RangeMethod = RangeMethod.MSE
    percentile: float = 99.99
    equalize: bool = True
    absorb: bool = True
    bias_correction: bool = True
    deviation_correction: bool = True
    rounding: WeightRounding = WeightRounding.RECONSTRUCT
    weight_bits: int = 8

    def __post_init__(self) -> None:
        object.__setattr__(self, "ranges", word_of(RangeMethod, self.ranges, "range method", CompressionError))
        object.__setattr__(self, "rounding", word_of(WeightRounding, self.rounding, "rounding", CompressionError))
        check_percentile(self.percentile)
        if self.weight_bits not in (4, 8):
            raise CompressionError(f"weights take 8 or 4 bits, not {self.weight_bits!r}")
