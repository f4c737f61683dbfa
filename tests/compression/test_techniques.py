"""The order in which techniques are tried, and what each contributes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from tests.support.random_models import random_model, random_pixels

from mobilenets.architecture.networks.mobilenet_v1 import mobilenet_v1
from mobilenets.compression.config import QuantizationConfig
from mobilenets.compression.evaluation import EvaluationSet
from mobilenets.compression.quantize import Quantized, quantize_with_images
from mobilenets.compression.ranges import RangeMethod
from mobilenets.compression.rounding import WeightRounding
from mobilenets.compression.techniques import FALLBACK_ORDER, Technique, contributions, fallbacks

NETWORK = mobilenet_v1(width_multiplier=0.25, resolution=32, classes=6)


def test_techniques_are_tried_in_order_and_each_keeps_those_before_it() -> None:
    plain = QuantizationConfig(ranges=RangeMethod.MIN_MAX, equalize=False, rounding=WeightRounding.NEAREST)
    steps = list(fallbacks(plain))
    assert tuple(technique for technique, _ in steps) == FALLBACK_ORDER
    assert steps[-1][1] == QuantizationConfig(ranges=RangeMethod.PERCENTILE)
    assert [technique for technique, _ in fallbacks(steps[-1][1])] == [Technique.TRAINING]


def test_only_techniques_that_are_asked_for_are_tried() -> None:
    config = QuantizationConfig()
    assert list(fallbacks(config, [Technique.TRAINING])) == [(Technique.TRAINING, config)]
    assert list(fallbacks(config, [Technique.EQUALIZATION])) == []


def test_contributions_are_found_for_the_techniques_in_use() -> None:
    rng = np.random.default_rng(0)
    model, pixels = random_model(rng, NETWORK), random_pixels(rng, NETWORK, 6)
    used = QuantizationConfig(absorb=False, rounding=WeightRounding.NEAREST)

    def make(config: QuantizationConfig) -> Quantized:
        return quantize_with_images(model, pixels, config)

    evaluation = EvaluationSet.of(model, pixels)
    found = contributions(evaluation, make, used)
    assert [item.name for item in found] == [
        "chosen ranges",
        "equalization",
        "bias correction",
        "deviation correction",
    ]
    without = evaluation.report(make(replace(used, equalize=False)).model)
    assert found[1].without.logits_sqnr_db == without.logits_sqnr_db
    asked = contributions(evaluation, make, used, ["equalization", "bias absorption"])
    assert [item.name for item in asked] == ["equalization"]
