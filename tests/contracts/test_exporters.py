"""Every format holds every layer type and every activation, or refuses with the reason; the files are run here."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.support.random_models import random_int8_model, random_model, random_pixels
from tests.support.samples import Sample, samples
from tests.support.stub_task import StrongestChannel

from mobilenets.architecture.layers import GlobalAveragePool, PointwiseConvolution
from mobilenets.architecture.network import Network
from mobilenets.errors import FormatError, MissingDependencyError
from mobilenets.formats.exporting import Exported, export
from mobilenets.formats.registry import writable
from mobilenets.model.model import Model
from mobilenets.model.preprocessing import Pixels

FLOAT32_TOLERANCE = 1e-5
INT8_TOLERANCES = {"c": 0.0, "onnx": 0.0, "litert": 0.02, "openvino": 0.01}
"""Largest difference of a file's outputs from the reference's, as a share of the largest value."""

EXACT = [*(name for name, tolerance in INT8_TOLERANCES.items() if tolerance == 0), "web"]
SAMPLES = {
    name: [
        sample
        for sample in samples()
        if name in EXACT or not sample.last or sample.kind in ("PointwiseConvolution", "Linear")
    ]
    for name in writable()
}
"""By format. Formats that are exact have samples whose last layer makes real numbers of every kind."""


def written(model: Model, pixels: Pixels, name: str, folder: Path) -> Exported:
    if model.quantization is not None:  # the ranges of its outputs then come from the images that the file is run on
        model = replace(model, quantization=replace(model.quantization, outputs={}))
    suffix = writable()[name][0].suffixes[0]
    try:
        if name == "web":  # pages show classifiers only; tests/formats/web/test_engine.py runs them, all by one program
            return export(model, folder / "model", name, verify=False, module=True)
        return export(model, folder / f"model{suffix}", name, images=pixels)
    except MissingDependencyError as error:
        pytest.skip(str(error))


def refusal(name: str, sample: Sample, precision: str) -> str | None:
    """What the error says with which a format refuses a sample; None where it must hold it."""
    if name == "coreml" and precision == "int8":
        return "int8"
    if name == "coreml" and len(sample.network.outputs) != 1:
        return "takes classifiers with one output"
    return None


@pytest.mark.parametrize(("name", "sample"), [(name, sample) for name in SAMPLES for sample in SAMPLES[name]], ids=str)
@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_a_format_holds_it_or_says_why_not(sample: Sample, precision: str, name: str, tmp_path: Path) -> None:
    rng = sample.rng
    model = (random_model if precision == "float32" else random_int8_model)(rng, sample.network)
    pixels = random_pixels(rng, sample.network, 3)
    reason = refusal(name, sample, precision)
    if reason is not None:
        with pytest.raises(FormatError, match=reason):
            written(model, pixels, name, tmp_path)
        return
    exported = written(model, pixels, name, tmp_path)
    if exported.agreement is not None:
        allowed = FLOAT32_TOLERANCE if precision == "float32" else INT8_TOLERANCES[name]
        assert exported.agreement.relative_difference <= allowed


@pytest.mark.parametrize("name", writable())
@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_a_format_holds_a_model_of_any_task(precision: str, name: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    layers = (
        PointwiseConvolution("body", ("input",), out_channels=5),
        PointwiseConvolution("boxes", ("body",), out_channels=4),
        PointwiseConvolution("kinds", ("body",), out_channels=3),
        GlobalAveragePool("scores", ("kinds",)),
    )
    network = Network("finder", 8, 6, layers, ("boxes", "scores"))
    task = StrongestChannel()
    model = (
        random_model(rng, network, task=task) if precision == "float32" else random_int8_model(rng, network, task=task)
    )
    pixels = random_pixels(rng, network, 3)
    if (name, precision) == ("coreml", "int8"):
        with pytest.raises(FormatError, match="knows no int8 activations"):
            written(model, pixels, name, tmp_path)
        return
    exported = written(model, pixels, name, tmp_path)
    if exported.agreement is not None:
        allowed = FLOAT32_TOLERANCE if precision == "float32" else INT8_TOLERANCES[name]
        assert exported.agreement.relative_difference <= allowed
        assert exported.agreement.same.total == 7


def test_the_c_example_is_for_classifiers(tmp_path: Path) -> None:
    network = Network("finder", 8, 8, (PointwiseConvolution("body", ("input",), out_channels=5),), ("body",))
    model = random_model(np.random.default_rng(0), network, task=StrongestChannel())
    with pytest.raises(FormatError, match="the example classifies an image, and this Model's task is strongest-chan"):
        export(model, tmp_path / "model.c", example=True)
