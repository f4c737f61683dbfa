"""``mobilenets.quantize`` and ``fit --int8``: quantization-aware training where it is needed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from tests.support.fragile_models import fragile
from tests.support.random_models import random_model

from mobilenets.architecture.networks.mobilenet_v1 import mobilenet_v1
from mobilenets.base.progress import Progress
from mobilenets.data.dataset import Dataset
from mobilenets.data.image import ArrayImage
from mobilenets.data.subset import Subset
from mobilenets.errors import CompressionError, GateError
from mobilenets.training.quantize import quantize, quantize_fitted


def some(rng: np.random.Generator, count: int) -> Subset:
    images = (rng.integers(0, 256, (count, 32, 32, 3)) * rng.uniform(0, 1, (count, 1, 1, 3))).astype(np.uint8)
    named = tuple(ArrayImage(f"image {number}", image) for number, image in enumerate(images))
    return Subset(named, np.arange(count) % 3)


@pytest.fixture
def dataset() -> Dataset:
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    return Dataset(("0", "1", "2"), some(rng, 24), some(rng, 12), some(rng, 3), "fingerprint", "noise")


def test_the_int8_model_of_a_fitted_one_comes_with_its_report(dataset: Dataset) -> None:
    network = mobilenet_v1(width_multiplier=0.25, resolution=32, classes=3)
    model = random_model(np.random.default_rng(0), network)
    result = quantize_fitted(model, dataset, max_drop=100)
    assert result.model.precision == "int8"
    assert result.report.agreement.total == 12
    assert result.model.provenance["quantization"]["trained"] is False


def test_training_is_tried_before_the_model_is_refused(dataset: Dataset) -> None:
    model, dataset = fragile(dataset)
    result = quantize_fitted(model, dataset, max_drop=1, epochs=1)
    assert (result.report.top1_before, result.report.top1_after) != (None, None)
    with pytest.raises(GateError, match=r"at most 1 are allowed.*or a wider network"):
        result.check()
    assert quantize_fitted(model, dataset, max_drop=float("inf")).refusal is None


@pytest.mark.parametrize(("epochs", "message"), [(0, "at least 1, not 0"), (1.5, "an integer, not 1.5")])
def test_epochs_that_make_no_sense_are_refused_before_any_work(dataset: Dataset, epochs: Any, message: str) -> None:
    model = random_model(np.random.default_rng(0), mobilenet_v1(width_multiplier=0.25, resolution=32, classes=3))
    with pytest.raises(CompressionError, match=f"epochs must be {message}"):
        quantize(model, data=dataset, epochs=epochs)


class Notes(Progress):
    """Keeps what is said."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, message: str) -> None:
        """Keep a line."""
        self.notes.append(message)


def test_in_a_limited_time_fewer_images_calibrate_and_nothing_is_trained(dataset: Dataset) -> None:
    model, dataset = fragile(dataset)
    notes = Notes()
    hurried = quantize_fitted(model, dataset, max_drop=1, epochs=1, seconds=0.0, progress=notes)
    assert notes.notes == ["8 images calibrate int8, of 128: the time is short"]
    assert hurried.model.provenance["quantization"]["calibration_images"] == 8
    assert hurried.model.provenance["quantization"]["trained"] is False
    assert hurried.refusal is not None  # it loses too much, and says so
    notes = Notes()
    quantize_fitted(model, dataset, max_drop=100, seconds=1e6, progress=notes)
    assert notes.notes == []
