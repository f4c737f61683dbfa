"""The quality report: when it refuses a Model, and what it says then."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mobilenets.compression.config import QuantizationConfig
from mobilenets.compression.quality import LayerSqnr, QualityReport, refuse
from mobilenets.compression.rounding import WeightRounding
from mobilenets.compression.techniques import next_steps
from mobilenets.errors import GateError
from mobilenets.tasks.metrics import Share

GOOD = QualityReport(
    agreement=Share(99, 100),
    sure_agreement=Share(50, 50),
    logits_sqnr_db=30.0,
    layers=(
        LayerSqnr("stem", "convolution", 50.0, 0),
        LayerSqnr("block1.depthwise", "depthwise", 11.0, 2),
        LayerSqnr("block1.pointwise", "pointwise", 20.0, 0),
        LayerSqnr("classifier", "linear", 15.0, 0),
    ),
)


def test_without_labels_the_sure_images_decide() -> None:
    assert GOOD.refusal() is None
    assert replace(GOOD, agreement=Share(60, 100)).refusal() is None
    assert replace(GOOD, sure_agreement=Share(97, 100)).refusal() is None
    assert "without labels 97% are needed" in str(replace(GOOD, sure_agreement=Share(90, 100)).refusal())


def test_a_float_model_that_is_never_sure_must_be_followed_everywhere() -> None:
    unsure = replace(GOOD, sure_agreement=Share(0, 0))
    assert unsure.refusal() is None
    assert "agree on 90.0 % of 100" in str(replace(unsure, agreement=Share(90, 100)).refusal())


def test_with_labels_the_drop_decides() -> None:
    labeled = replace(GOOD, top1_before=Share(700, 1000), top1_after=Share(690, 1000), sure_agreement=Share(1, 50))
    assert labeled.drop == pytest.approx(1.0)
    assert replace(labeled, top1_after=Share(691, 1000)).refusal() is None
    assert "falls by 2.00 points; at most 1 are allowed" in str(replace(labeled, top1_after=Share(680, 1000)).refusal())
    assert replace(labeled, top1_after=Share(680, 1000)).refusal(max_drop=2.5) is None


def test_a_refusal_names_the_worst_layers_and_what_to_try() -> None:
    bad = replace(GOOD, sure_agreement=Share(10, 50))
    with pytest.raises(GateError) as refusal:
        refuse(bad, next_steps(QuantizationConfig(rounding=WeightRounding.NEAREST)))
    message = str(refusal.value)
    assert "block1.depthwise (11.0 dB), classifier (15.0 dB), block1.pointwise (20.0 dB)" in message
    assert message.endswith(
        "Try percentile ranges, reconstructed rounding, quantization-aware training or more calibration images"
    )
    refuse(GOOD, next_steps(QuantizationConfig()))


def test_a_model_that_was_not_evaluated_is_refused_in_other_words() -> None:
    report = QualityReport()
    assert not report.evaluated
    with pytest.raises(GateError, match=r"is not evaluated: there are no images to evaluate it on\. Try labels"):
        refuse(report, ["labels"])


def test_what_so_few_images_cannot_tell_is_no_refusal() -> None:
    """2 of 12 validation images: a run that refused its int8 Model for them left nothing usable."""
    few = replace(GOOD, agreement=Share(10, 12), top1_before=Share(11, 12), top1_after=Share(9, 12), lost=2, gained=0)
    assert few.drop == pytest.approx(100 / 6)
    assert "falls by 16.67 points" in str(few.shortfall())
    assert few.refusal() is None
    assert "(95 % interval -8.8 to 37.4); at most 1 are allowed, but 12 images cannot tell that from chance" in str(
        few.doubt()
    )
    many = replace(
        GOOD,
        agreement=Share(1000, 1200),
        top1_before=Share(1100, 1200),
        top1_after=Share(900, 1200),
        lost=200,
        gained=0,
    )
    assert many.drop == pytest.approx(few.drop)
    assert "falls by 16.67 points" in str(many.refusal())
    assert many.doubt() is None
    assert GOOD.doubt() is None


def test_agreement_on_few_images_is_judged_by_its_interval_too() -> None:
    few = replace(GOOD, sure_agreement=Share(14, 15))
    assert few.shortfall() is not None
    assert few.refusal() is None
    assert "cannot tell" in str(few.doubt())
    assert replace(GOOD, sure_agreement=Share(1400, 1500)).refusal() is not None


def test_an_interval_is_in_json() -> None:
    labeled = replace(GOOD, top1_before=Share(70, 100), top1_after=Share(68, 100), lost=3, gained=1)
    low, high = labeled.to_json()["drop_interval"]
    assert low < labeled.to_json()["drop"] < high
    assert (labeled.to_json()["lost"], labeled.to_json()["gained"]) == (3, 1)
