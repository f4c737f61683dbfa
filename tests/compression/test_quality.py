"""The gate: what it measures, what it refuses, and what it says then."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from tests.support.random_models import random_model, random_pixels

from mobilenets.architecture.networks.mobilenet_v1 import mobilenet_v1
from mobilenets.compression.quality import (
    QAT_STEP,
    Jury,
    Share,
    Verdict,
    contributions,
    file_bytes,
    ladder,
    refuse,
    steps_after,
    unjudged,
)
from mobilenets.compression.quantize import Options, Quantized, Rounding, quantize
from mobilenets.compression.ranges import RangeMethod
from mobilenets.compression.sqnr import LayerNoise
from mobilenets.errors import CompressionError, GateError

NETWORK = mobilenet_v1(width_multiplier=0.25, resolution=32, classes=6)
GOOD = Verdict(
    agreement=Share(99, 100),
    sure_agreement=Share(50, 50),
    logits_snr_db=30.0,
    top1_before=None,
    top1_after=None,
    bytes_before=1000,
    bytes_after=260,
    layers=(
        LayerNoise("stem", "convolution", 50.0, 0),
        LayerNoise("block1.depthwise", "depthwise", 11.0, 2),
        LayerNoise("block1.pointwise", "pointwise", 20.0, 0),
        LayerNoise("classifier", "linear", 15.0, 0),
    ),
)


def test_without_labels_the_sure_images_decide() -> None:
    assert GOOD.refusal() is None
    assert replace(GOOD, agreement=Share(60, 100)).refusal() is None
    assert replace(GOOD, sure_agreement=Share(97, 100)).refusal() is None
    assert "without labels 97% are needed" in str(replace(GOOD, sure_agreement=Share(96, 100)).refusal())


def test_a_float_model_that_is_never_sure_must_be_followed_everywhere() -> None:
    unsure = replace(GOOD, sure_agreement=Share(0, 0))
    assert unsure.refusal() is None
    assert "agree on 90.0 % of 100" in str(replace(unsure, agreement=Share(90, 100)).refusal())


def test_with_labels_the_drop_decides() -> None:
    labelled = replace(GOOD, top1_before=Share(700, 1000), top1_after=Share(690, 1000), sure_agreement=Share(1, 50))
    assert labelled.drop == pytest.approx(1.0)
    assert replace(labelled, top1_after=Share(691, 1000)).refusal() is None
    assert "falls by 2.00 points; at most 1 are allowed" in str(
        replace(labelled, top1_after=Share(680, 1000)).refusal()
    )
    assert replace(labelled, top1_after=Share(680, 1000)).refusal(max_drop=2.5) is None


def test_the_refusal_names_the_worst_layers_and_what_to_try() -> None:
    bad = replace(GOOD, sure_agreement=Share(10, 50))
    with pytest.raises(GateError) as refusal:
        refuse(bad, steps_after(Options(rounding=Rounding.NEAREST)))
    message = str(refusal.value)
    assert "block1.depthwise (11.0 dB), classifier (15.0 dB), block1.pointwise (20.0 dB)" in message
    assert message.endswith(
        "Try percentile ranges, reconstructed rounding, quantisation-aware training or more calibration images"
    )
    refuse(GOOD, steps_after(Options()))


def test_the_ladder_goes_up_in_order_and_keeps_what_it_has_tried() -> None:
    plain = Options(ranges=RangeMethod.MIN_MAX, equalize=False, rounding=Rounding.NEAREST)
    steps = list(ladder(plain))
    assert [step for step, _ in steps] == ["percentile ranges", "equalisation", "reconstructed rounding", QAT_STEP]
    assert steps[-1][1] == Options(ranges=RangeMethod.PERCENTILE)
    assert [step for step, _ in ladder(steps[-1][1])] == [QAT_STEP]


def test_the_jury_counts() -> None:
    rng = np.random.default_rng(0)
    model, pixels = random_model(rng, NETWORK), random_pixels(rng, NETWORK, 12)
    jury = Jury.of(model, pixels)
    right = jury.logits.argmax(axis=1)
    jury = replace(jury, targets=np.where(np.arange(12) < 9, right, (right + 1) % 6))
    same = jury.judge(model)
    assert same.agreement == Share(12, 12)
    assert same.logits_snr_db == 200
    assert (same.top1_before, same.top1_after, same.drop) == (Share(9, 12), Share(9, 12), 0)
    made = quantize(model, pixels)
    verdict = jury.judge(made.model, made.layers)
    assert verdict.bytes_after == file_bytes(made.model) < verdict.bytes_before
    assert verdict.latency_before_ms is None
    assert {layer["name"] for layer in verdict.encode()["layers"]} == {layer.name for layer in NETWORK.layers}


def test_latency_is_measured_side_by_side_where_there_is_a_stopwatch() -> None:
    rng = np.random.default_rng(0)
    model, pixels = random_model(rng, NETWORK), random_pixels(rng, NETWORK, 4)
    verdict = Jury.of(model, pixels, latency_ms=lambda models: [float(len(models)), 1.5]).judge(model)
    assert (verdict.latency_before_ms, verdict.latency_after_ms) == (2.0, 1.5)


def test_what_each_lever_bought_is_asked_of_the_levers_in_use() -> None:
    rng = np.random.default_rng(0)
    model, pixels = random_model(rng, NETWORK), random_pixels(rng, NETWORK, 6)
    used = Options(absorb=False, rounding=Rounding.NEAREST)

    def make(options: Options) -> Quantized:
        return quantize(model, pixels, options)

    jury = Jury.of(model, pixels)
    found = contributions(jury, make, used)
    assert [item.lever for item in found] == [
        "chosen ranges",
        "equalisation",
        "bias correction",
        "deviation correction",
    ]
    assert found[1].without.logits_snr_db == jury.judge(make(replace(used, equalize=False)).model).logits_snr_db
    asked = contributions(jury, make, used, ["equalisation", "bias absorption"])
    assert [item.lever for item in asked] == ["equalisation"]


def test_a_model_that_nobody_judged_is_refused_in_other_words() -> None:
    rng = np.random.default_rng(0)
    model, pixels = random_model(rng, NETWORK), random_pixels(rng, NETWORK, 4)
    verdict = unjudged(model, quantize(model, pixels).model, lambda models: [3.0, 1.0])
    assert not verdict.judged
    assert (verdict.latency_before_ms, verdict.latency_after_ms) == (3.0, 1.0)
    assert verdict.bytes_after < verdict.bytes_before
    with pytest.raises(GateError, match=r"is not written unjudged: no images judged it\. Try labels"):
        refuse(verdict, ["labels"])


def test_a_jury_needs_images_and_labels_that_the_model_has() -> None:
    rng = np.random.default_rng(0)
    model, pixels = random_model(rng, NETWORK), random_pixels(rng, NETWORK, 3)
    with pytest.raises(CompressionError, match="no images"):
        Jury.of(model, pixels[:0])
    with pytest.raises(CompressionError, match="3 labels from 0 to 6 for 3 images; the Model has 6 classes"):
        Jury.of(model, pixels, np.array([0, 6, 2]))


def test_no_images_have_no_share() -> None:
    assert math.isnan(Share(0, 0).value)
    assert Share(0, 0).interval == (0.0, 1.0)
