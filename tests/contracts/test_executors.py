"""Every executor computes every layer type and every activation: float32 as the reference does, int8 bit for bit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from tests.support.random_models import random_int8_model, random_model, random_pixels
from tests.support.samples import SAMPLES, TESTED, Sample, samples

from mobilenets.architecture.layers import LAYER_TYPES
from mobilenets.engine.session import INSTRUCTION_SET_VARIABLE, Session, instruction_sets
from mobilenets.model import numpy_runtime, reference
from mobilenets.model.integer_weights import dequantize
from mobilenets.model.model import Model
from mobilenets.model.preprocessing import Pixels

Outputs = Mapping[str, npt.NDArray[Any]]
Executor = Callable[[Model, Pixels], Outputs]


def engine(instruction_set: str) -> Executor:
    def run(model: Model, pixels: Pixels) -> Outputs:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv(INSTRUCTION_SET_VARIABLE, instruction_set)
            return Session(model, threads=1).outputs(pixels)

    return run


def training_module(model: Model, pixels: Pixels) -> Outputs:
    torch = pytest.importorskip("torch")
    from mobilenets.training.network import module_of

    planes = model.preprocessing.normalize(pixels).transpose(0, 3, 1, 2)
    with torch.inference_mode():
        outputs = module_of(model).outputs(torch.from_numpy(np.ascontiguousarray(planes)))
    return {name: value.numpy() for name, value in outputs.items()}


ENGINES = {f"engine-{name}": engine(name) for name, supported in instruction_sets().items() if supported}
FLOAT_EXECUTORS: dict[str, Executor] = {"numpy": numpy_runtime.run_numpy, "training": training_module, **ENGINES}
INT8_EXECUTORS: dict[str, Executor] = {"numpy": numpy_runtime.run_numpy, **ENGINES}


def test_every_layer_type_has_a_sample() -> None:
    assert SAMPLES.keys() == LAYER_TYPES.keys()
    for sample in samples():
        assert type(sample.network[TESTED]).__name__ == sample.kind
        assert sample.network[TESTED].activation is sample.activation


@pytest.mark.parametrize("executor", FLOAT_EXECUTORS)
@pytest.mark.parametrize("sample", samples(), ids=str)
def test_float32_is_the_reference_but_for_rounding(sample: Sample, executor: str) -> None:
    rng = sample.rng
    model = random_model(rng, sample.network)
    pixels = random_pixels(rng, sample.network, 3)
    found = FLOAT_EXECUTORS[executor](model, pixels)
    for name, expected in reference.run_reference(model, pixels).items():
        assert found[name].shape == expected.shape
        np.testing.assert_allclose(found[name], expected, rtol=0, atol=2e-5 * np.abs(expected).max())


@pytest.mark.parametrize("executor", INT8_EXECUTORS)
@pytest.mark.parametrize("sample", samples(), ids=str)
def test_int8_is_the_reference_bit_for_bit(sample: Sample, executor: str) -> None:
    rng = sample.rng
    model = random_int8_model(rng, sample.network)
    pixels = random_pixels(rng, sample.network, 3)
    found = INT8_EXECUTORS[executor](model, pixels)
    for name, expected in reference.run_reference(model, pixels).items():
        np.testing.assert_array_equal(found[name], expected, err_msg=name)


@pytest.mark.parametrize("sample", samples(), ids=str)
def test_the_integer_network_of_training_is_the_reference_bit_for_bit(sample: Sample) -> None:
    torch = pytest.importorskip("torch")
    from mobilenets.training.integer_network import IntegerNetwork, unfold

    rng = sample.rng
    model = random_int8_model(rng, sample.network)
    pixels = random_pixels(rng, sample.network, 3)
    start = dequantize(model)
    student = IntegerNetwork(unfold(model, start), model).eval()
    with torch.no_grad():
        values = student.activations(torch.from_numpy(np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))).float())
    made = student.to_model(start)  # its scales are bfloat16
    assert made.quantization is not None
    assert model.quantization is not None
    assert made.quantization.pre_activations.keys() == model.quantization.pre_activations.keys()
    for name, expected in reference.activations(made, pixels).items():
        np.testing.assert_array_equal(values[name].numpy(), expected.astype(np.float32), err_msg=name)


@pytest.mark.parametrize("sample", samples(), ids=str)
def test_the_integers_of_the_reference_stand_for_its_real_numbers(sample: Sample) -> None:
    """int8 is the float32 function but for quantization error: 17 dB below the signal at least."""
    rng = sample.rng
    model = random_int8_model(rng, sample.network, clamping=False)
    pixels = random_pixels(rng, sample.network, 8)
    name = TESTED if sample.last else "classifier"
    exact, found = (
        reference.run_reference(dequantize(model), pixels)[name],
        reference.run_reference(model, pixels)[name],
    )
    assert np.square(found - exact).mean() < 0.02 * np.square(exact).mean()
