"""Techniques of quantization: the order in which they are tried, and what each contributes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import assert_never

from mobilenets.compression.config import QuantizationConfig
from mobilenets.compression.detector_evaluation import DetectorEvaluation
from mobilenets.compression.evaluation import EvaluationSet
from mobilenets.compression.quality import QualityReport
from mobilenets.compression.quantize import Quantized
from mobilenets.compression.ranges import RangeMethod
from mobilenets.compression.rounding import WeightRounding


class Technique(StrEnum):
    """What can be tried when an int8 Model lost too much, in the order in which it is tried."""

    PERCENTILE_RANGES = "percentile ranges"
    EQUALIZATION = "equalization"
    """Cross-layer equalization, absorption of high biases, and correction of means and standard deviations."""
    RECONSTRUCTED_ROUNDING = "reconstructed rounding"
    TRAINING = "quantization-aware training"


FALLBACK_ORDER = tuple(Technique)
MORE_EPOCHS, MORE_IMAGES, WIDER_WEIGHTS = "more epochs of training", "more calibration images", "8-bit weights"
"""What is left to try when all techniques are in use."""

SWITCHES: dict[str, dict[str, object]] = {
    "chosen ranges": {"ranges": RangeMethod.MIN_MAX},
    "equalization": {"equalize": False},
    "bias absorption": {"absorb": False},
    "bias correction": {"bias_correction": False},
    "deviation correction": {"deviation_correction": False},
    "reconstructed rounding": {"rounding": WeightRounding.NEAREST},
}
"""What can be switched off in a configuration, by name, and the fields that switch it off."""
DATA_FREE_SWITCHES = ("equalization", "bias absorption", "bias correction")
"""What can be switched off where there are no calibration images."""


def with_technique(config: QuantizationConfig, technique: Technique) -> QuantizationConfig:
    """The configuration with one more technique in use; training changes nothing in it.

    >>> with_technique(QuantizationConfig(), Technique.PERCENTILE_RANGES).ranges
    <RangeMethod.PERCENTILE: 'percentile'>
    """
    match technique:
        case Technique.PERCENTILE_RANGES:
            return replace(config, ranges=RangeMethod.PERCENTILE)
        case Technique.EQUALIZATION:
            return replace(config, equalize=True, absorb=True, bias_correction=True, deviation_correction=True)
        case Technique.RECONSTRUCTED_ROUNDING:
            return replace(config, rounding=WeightRounding.RECONSTRUCT)
        case Technique.TRAINING:
            return config
        case _:
            assert_never(technique)


def fallbacks(
    config: QuantizationConfig, techniques: Iterable[Technique] = FALLBACK_ORDER
) -> Iterator[tuple[Technique, QuantizationConfig]]:
    """Techniques that are left to try, each with the configuration that has it and all before it in use.

    Args:
        config: What has been tried. Techniques that it uses are left out; training never is.
        techniques: What may be tried, in order.

    >>> [str(technique) for technique, _ in fallbacks(QuantizationConfig(equalize=False))]
    ['percentile ranges', 'equalization', 'quantization-aware training']
    """
    for technique in techniques:
        changed = with_technique(config, technique)
        if changed != config or technique is Technique.TRAINING:
            config = changed
            yield technique, config


def next_steps(config: QuantizationConfig, *, trained: bool = False) -> list[str]:
    """What is left to try after a Model that was calibrated with images.

    Args:
        config: What it was made with.
        trained: Whether it was trained too.

    >>> next_steps(QuantizationConfig(ranges=RangeMethod.PERCENTILE))
    ['quantization-aware training', 'more calibration images']
    >>> next_steps(QuantizationConfig(ranges=RangeMethod.PERCENTILE, weight_bits=4), trained=True)
    ['more epochs of training', 'more calibration images', '8-bit weights']
    """
    *steps, training = (str(technique) for technique, _ in fallbacks(config))
    steps += [MORE_EPOCHS if trained else training, MORE_IMAGES]
    return steps if config.weight_bits == 8 else [*steps, WIDER_WEIGHTS]


@dataclass(frozen=True)
class Contribution:
    """What one technique contributes.

    Attributes:
        name: Its name, a key of :data:`SWITCHES`.
        without: Report of a Model that was made without it, and with everything else.
    """

    name: str
    without: QualityReport


def contributions(
    evaluation: EvaluationSet | DetectorEvaluation,
    make: Callable[[QuantizationConfig], Quantized],
    config: QuantizationConfig,
    names: Iterable[str] = tuple(SWITCHES),
) -> list[Contribution]:
    """Make the Model once without each technique that the configuration uses, and evaluate it.

    Args:
        evaluation: What to evaluate on.
        make: Quantizes the float Model with a configuration.
        config: What the Model was made with.
        names: Techniques to leave out, each alone, keys of :data:`SWITCHES`.
    """
    found = []
    for name in names:
        changed = replace(config, **SWITCHES[name])  # type: ignore[arg-type]
        if changed != config:
            made = make(changed)
            found.append(Contribution(name, evaluation.report(made.model, made.layers)))
    return found
