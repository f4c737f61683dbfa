"""The int8 pipeline as a function: what it makes, keeps and refuses."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.support.fragile_models import make_fragile_place
from tests.support.provenance import untyped
from tests.support.quantization import Place, make_place, small_model

from mobilenets.base.progress import Progress
from mobilenets.compression.config import QuantizationConfig
from mobilenets.compression.detector_evaluation import DetectorEvaluation
from mobilenets.compression.evaluation import EvaluationSet
from mobilenets.compression.pipeline import TrainingImages, quantize_and_evaluate, quantize_quickly
from mobilenets.compression.quantize import Quantized, quantize_with_images
from mobilenets.compression.result import Method
from mobilenets.compression.rounding import WeightRounding
from mobilenets.compression.techniques import Technique
from mobilenets.data.dataset import load_dataset
from mobilenets.errors import CompressionError, GateError
from mobilenets.model.file import load
from mobilenets.model.model import Model
from mobilenets.model.provenance import Provenance
from mobilenets.tasks.classification import Classification


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return make_place(tmp_path)


class Trained:
    """A function that trains, which counts what it is given and trains nothing."""

    def __init__(self) -> None:
        self.images = 0
        self.evaluation: EvaluationSet | DetectorEvaluation | None = None

    def __call__(
        self,
        model: Model,
        images: TrainingImages,
        config: QuantizationConfig,
        *,
        progress: Progress,
    ) -> Quantized:
        self.images, self.evaluation = len(images.pixels), images.evaluation
        assert images.targets is not None
        assert len(images.targets) == len(images.pixels)
        made = quantize_with_images(model, images.calibration, config)
        return Quantized(made.model, made.float_model, made.layers, epoch=3)


def test_an_int8_model_has_the_temperature_that_its_own_logits_need(place: Place) -> None:
    cold = small_model()
    warm = replace(cold, task=replace(cold.task, temperature=0.5))  # type: ignore[type-var]
    images: dict[str, Any] = {"calibration": place.images, "calibration_images": 8, "max_drop": 100}
    refitted = quantize_and_evaluate(warm, data=place.images, **images).model.task
    assert isinstance(refitted, Classification)
    assert refitted.temperature not in (0.5, 1)
    kept = quantize_and_evaluate(warm, **images).model.task  # no labels to refit it on
    assert kept == warm.task
    assert quantize_and_evaluate(cold, data=place.images, **images).model.task == cold.task


def test_a_result_says_how_the_model_was_made_and_what_it_lost(place: Place) -> None:
    result = quantize_and_evaluate(
        small_model(), calibration=place.images, data=place.images, calibration_images=8, max_drop=100
    )
    assert result.model.precision == "int8"
    assert result.method is Method.CALIBRATED
    assert result.refusal is None
    result.check()
    assert result.report.agreement.total == 16
    assert result.report.bytes_after is not None
    entry = Provenance.of(result.model).quantization
    assert entry is not None
    assert (entry.made_by, entry.calibration_images, entry.trained) == ("calibrated", 8, False)
    assert entry.quality == result.report.provenance()
    assert untyped(result.model) == []


def test_the_parts_of_a_dataset_calibrate_evaluate_and_train(tmp_path: Path) -> None:
    place, train = make_fragile_place(tmp_path), Trained()
    dataset = load_dataset(place.images)
    dataset = replace(dataset, validation=dataset.train, train=dataset.validation + dataset.test)
    result = quantize_and_evaluate(
        load(place.model),
        data=dataset,
        techniques=(Technique.TRAINING,),
        max_drop=2,
        calibration_images=128,
        train=train,
    )
    assert train.images == len(dataset.train)
    assert train.evaluation is not None
    assert len(train.evaluation.pixels) == len(dataset.validation)
    with pytest.raises(
        GateError, match=r"at most 2 are allowed.*Try percentile ranges, more epochs of training or more"
    ):
        result.check()
    with pytest.raises(GateError, match=r"Try a wider network$"):
        result.check(["a wider network"])


def test_training_is_tried_only_if_the_model_lost_too_much(place: Place) -> None:
    dataset, train = load_dataset(place.images), Trained()
    result = quantize_and_evaluate(
        small_model(), data=dataset, techniques=(Technique.TRAINING,), max_drop=100, train=train
    )
    assert train.images == 0
    assert result.model.provenance["quantization"]["trained"] is False


def test_a_model_can_be_trained_right_away(place: Place) -> None:
    train = Trained()
    result = quantize_and_evaluate(small_model(), data=load_dataset(place.images), method=Method.TRAINED, train=train)
    assert result.method is Method.TRAINED
    assert result.model.provenance["quantization"]["epoch"] == 3


def test_the_data_free_model_of_no_images_is_refused_but_there(place: Place) -> None:
    result = quantize_and_evaluate(small_model(), method=Method.DATA_FREE)
    assert result.refusal == "there are no images to evaluate it on"
    assert result.next_steps == ("labeled images to evaluate on",)
    assert result.model.provenance["quantization"]["made_by"] == "data-free"
    evaluated = quantize_and_evaluate(small_model(), data=place.images, method=Method.DATA_FREE, max_drop=100)
    assert evaluated.report.agreement.total == 24
    assert len(evaluated.report.layers) == len(small_model().network.layers)


def test_arguments_that_contradict_each_other_are_refused(place: Place) -> None:
    model = small_model()
    with pytest.raises(CompressionError, match="calibration needs images"):
        quantize_and_evaluate(model)
    with pytest.raises(CompressionError, match="takes no calibration images"):
        quantize_and_evaluate(model, calibration=place.images, method=Method.DATA_FREE)
    with pytest.raises(CompressionError, match="cannot use percentile ranges"):
        quantize_and_evaluate(model, method=Method.DATA_FREE, techniques=tuple(Technique))
    for asked in ({"method": Method.TRAINED}, {"techniques": (Technique.TRAINING,)}):
        with pytest.raises(CompressionError, match="needs the argument train"):
            quantize_and_evaluate(model, calibration=place.images, **asked)


def test_words_may_be_given_as_text(place: Place) -> None:
    words: Any = {"method": "calibrated", "techniques": "equalization"}
    result = quantize_and_evaluate(small_model(), calibration=place.images, **words)
    assert result.method is Method.CALIBRATED
    words = {"method": "data-free", "techniques": ["percentile ranges"]}
    with pytest.raises(CompressionError, match="cannot use percentile ranges"):
        quantize_and_evaluate(small_model(), **words)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"method": "bogus"}, "no method is called 'bogus'; known are calibrated, trained, data-free"),
        ({"method": None}, "no method is called None"),
        ({"techniques": ("magic",)}, "no technique is called 'magic'; known are percentile ranges, equalization, "),
        ({"techniques": "magic"}, "no technique is called 'magic'"),
        ({"techniques": 3}, "techniques are some of percentile ranges, .*, not 3"),
        ({"calibration_images": 0}, "calibration_images must be at least 1, not 0"),
        ({"calibration_images": 2.5}, "calibration_images must be an integer, not 2.5"),
        ({"max_drop": float("nan")}, "max_drop must be a finite number, from 0 to 100, not nan"),
        ({"max_drop": -1}, "max_drop must be from 0 to 100, not -1"),
        ({"max_drop": 101}, "max_drop must be from 0 to 100, not 101"),
        ({"max_drop": "1"}, "max_drop must be a number, from 0 to 100, not '1'"),
    ],
)
def test_arguments_that_make_no_sense_are_refused_before_any_work(
    asked: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(CompressionError, match=message):
        quantize_and_evaluate(small_model(), **{"calibration": tmp_path / "missing", **asked})


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"ranges": "bogus"}, "no range method is called 'bogus'; known are min-max, percentile, mse"),
        ({"rounding": "up"}, "no rounding is called 'up'; known are nearest, reconstruct"),
        ({"percentile": 50}, "more than 50 and at most 100 % of values, not 50"),
        ({"percentile": float("nan")}, "not nan"),
        ({"weight_bits": 3}, "8 or 4 bits, not 3"),
    ],
)
def test_a_configuration_that_makes_no_sense_is_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(CompressionError, match=message):
        QuantizationConfig(**fields)


def test_models_are_compared_in_int8_with_64_images_and_nearest_rounding() -> None:
    rng = np.random.default_rng(0)
    model = small_model()
    pixels = rng.integers(0, 256, (100, 32, 32, 3), dtype=np.uint8)
    quick = quantize_quickly(model, pixels)
    chosen = np.unique(np.linspace(0, 99, 64).round().astype(int))
    same = quantize_with_images(model, pixels[chosen], QuantizationConfig(rounding=WeightRounding.NEAREST)).model
    for name, tensor in same.parameters.items():
        np.testing.assert_array_equal(quick.parameters[name], tensor)
