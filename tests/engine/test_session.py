"""The Session's contract: what goes in, what comes out, and what is refused."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.support.random_models import (
    random_int8_model,
    random_model,
    random_network,
    random_pixels,
    without_batch_norm,
)
from tests.support.stub_task import StrongestChannel

from mobilenets.architecture.layers import INPUT, Activation, Convolution, Layer, Padding, PointwiseConvolution
from mobilenets.architecture.network import Network
from mobilenets.architecture.networks.mobilenet_v1 import mobilenet_v1
from mobilenets.engine.session import Session
from mobilenets.errors import EngineError, ModelError
from mobilenets.model import reference
from mobilenets.model.file import save


@pytest.mark.parametrize("seed", range(6))
def test_a_session_gives_the_reference_outputs(seed: int) -> None:
    rng = np.random.default_rng(seed)
    model = random_model(rng, random_network(rng))
    pixels = random_pixels(rng, model.network, 3)
    expected = reference.run_reference(model, pixels)
    outputs = Session(model, threads=2).outputs(pixels)
    assert set(outputs) == set(expected)
    for name, value in expected.items():
        assert outputs[name].dtype == np.float32
        assert np.abs(outputs[name] - value).max() <= 1e-5 * np.abs(value).max()


@pytest.mark.parametrize("seed", range(6))
def test_an_int8_session_gives_the_reference_bits(seed: int) -> None:
    rng = np.random.default_rng(seed)
    model = random_int8_model(rng, without_batch_norm(random_network(rng)))
    pixels = random_pixels(rng, model.network, 3)
    expected = reference.run_reference(model, pixels)
    for name, value in Session(model).outputs(pixels).items():
        assert np.array_equal(value, expected[name])


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_layers_as_detectors_have_them_give_the_reference_outputs(precision: str, threads: int) -> None:
    """Predictors whose last panel of channels is partly empty, and 3×3 convolutions of maps of a few pixels."""
    relu, around = Activation.RELU6, Padding(1, 1, 1, 1)
    layers: tuple[Layer, ...] = (
        Convolution("stem", (INPUT,), 3, 2, around, out_channels=128, activation=relu, bias=True),
        *(
            PointwiseConvolution(f"logits{count}", ("stem",), out_channels=count, bias=True)
            for count in (273, 290, 546)
        ),
        Convolution("small", ("stem",), 3, 2, around, out_channels=80, activation=relu, bias=True),
        Convolution("smaller", ("small",), 3, 2, around, out_channels=72, activation=relu, bias=True),
        PointwiseConvolution("last", ("smaller",), out_channels=300, bias=True),
    )
    network = Network("heads", 20, 22, layers, ("logits273", "logits290", "logits546", "last"))
    rng = np.random.default_rng(threads)
    make = random_model if precision == "float32" else random_int8_model
    model = make(rng, network, task=StrongestChannel())
    pixels = random_pixels(rng, network, 2)
    expected = reference.run_reference(model, pixels)
    for name, value in Session(model, threads).outputs(pixels).items():
        if precision == "int8":
            assert np.array_equal(value, expected[name]), name
        else:
            assert np.abs(value - expected[name]).max() <= 1e-5 * np.abs(expected[name]).max(), name


def test_pixels_of_another_memory_order_are_copied() -> None:
    rng = np.random.default_rng(0)
    model = random_model(rng, random_network(rng))
    pixels = random_pixels(rng, model.network, 2)
    turned = np.asfortranarray(pixels)
    assert np.array_equal(Session(model).run(turned), Session(model).run(pixels))


def test_an_empty_batch_gives_empty_logits() -> None:
    rng = np.random.default_rng(0)
    model = random_model(rng, random_network(rng))
    assert Session(model).run(random_pixels(rng, model.network, 0)).shape[0] == 0


def test_what_is_not_pixels_is_refused() -> None:
    rng = np.random.default_rng(0)
    model = random_model(rng, random_network(rng))
    session, pixels = Session(model), random_pixels(rng, model.network, 1)
    with pytest.raises(EngineError, match=r"pixels are float32 .*; random needs uint8 \(N, "):
        session.run(pixels.astype(np.float32))
    with pytest.raises(EngineError, match=r"pixels are uint8 .*; random needs uint8 \(N, "):
        session.run(pixels[0])
    with pytest.raises(EngineError, match=r"needs uint8"):
        session.run(pixels.transpose(0, 3, 1, 2)[..., :1])
    with pytest.raises(EngineError, match="not list"):
        session.run([1, 2, 3])  # type: ignore[arg-type]


@pytest.mark.parametrize("threads", [0, -1, 100_000])
def test_a_senseless_number_of_threads_is_refused(threads: int) -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(EngineError, match=f"not {threads}"):
        Session(random_model(rng, random_network(rng)), threads=threads)


@pytest.mark.parametrize("threads", [1.5, "2", True])
def test_a_number_of_threads_is_an_integer(threads: Any) -> None:
    rng = np.random.default_rng(0)
    network = random_network(rng)
    model = random_model(rng, network)
    with pytest.raises(EngineError, match=f"threads must be an integer, not {threads!r}"):
        Session(model, threads=threads)
    pixels = np.zeros((1, network.height, network.width, 3), np.uint8)
    with pytest.raises(EngineError, match=f"threads must be an integer, not {threads!r}"):
        Session(model).run(pixels, threads=threads)


@pytest.mark.parametrize("name", ["engine.predictor", "engine.evaluate", "data.resizing", "engine.session"])
def test_a_source_tree_that_was_not_built_says_what_to_do(name: str) -> None:
    program = f"""
import sys
sys.modules["mobilenets._native"] = None
from mobilenets.errors import EngineError
try:
    import mobilenets.{name}
except EngineError as error:
    print(error)
"""
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "run `make native` in a source tree" in result.stdout


@pytest.mark.parametrize("given", [None, "cat.jpg", b"...", [[0]], 3])
def test_pixels_of_another_kind_are_a_type_error(given: Any) -> None:
    rng = np.random.default_rng(4)
    session = Session(random_model(rng, random_network(rng)))
    with pytest.raises(
        TypeError, match=r"must be a NumPy array, uint8 \(N, height, width, 3\), not .*a Classifier takes"
    ):
        session.run(given)
    with pytest.raises(EngineError):
        session.outputs(given)


def test_a_single_image_is_told_to_be_a_batch() -> None:
    rng = np.random.default_rng(4)
    model = random_model(rng, random_network(rng))
    with pytest.raises(EngineError, match=r"give a single image as pixels\[None\]"):
        Session(model).run(random_pixels(rng, model.network, 1)[0])


@pytest.mark.parametrize("name", ["stem.weight", "block1.depthwise.batch_norm.bias", "classifier.bias"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_model_that_holds_what_is_no_number_answers_nothing(name: str, value: float, tmp_path: Path) -> None:
    """A ReLU would make numbers of it again, and nobody would know."""
    network = mobilenet_v1(width_multiplier=0.25, resolution=32, classes=3)
    model = random_model(np.random.default_rng(0), network)
    broken = model.parameters[name].copy()
    broken.flat[-1] = value
    model = model.with_parameters({**model.parameters, name: broken})
    with pytest.raises(EngineError, match=f"{name} holds NaN or infinite values"):
        Session(model)
    with pytest.raises(ModelError, match=f"{name} holds NaN or infinite values"):
        save(model, tmp_path / "model.safetensors")
    assert not list(tmp_path.iterdir())
