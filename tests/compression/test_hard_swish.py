"""Quantization of what MobileNet V3 adds: hard-swish, and squeeze-and-excite by a product with hard-sigmoids."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from tests.support.random_models import random_model, random_pixels

from mobilenets.architecture.layers import (
    INPUT,
    Activation,
    Add,
    BatchNorm,
    Convolution,
    DepthwiseConvolution,
    GlobalAveragePool,
    Layer,
    Linear,
    Multiply,
    Padding,
    PointwiseConvolution,
)
from mobilenets.architecture.network import Network
from mobilenets.compression.config import QuantizationConfig
from mobilenets.compression.data_free import expected_mean, quantize_without_images
from mobilenets.compression.equalize import equalize, links
from mobilenets.compression.evaluation import EvaluationSet
from mobilenets.compression.observation import observe
from mobilenets.compression.quantize import quantize_with_images
from mobilenets.compression.ranges import RangeMethod
from mobilenets.engine.session import Session
from mobilenets.errors import CompressionError
from mobilenets.model import numpy_runtime, reference
from mobilenets.model.activations import activate
from mobilenets.model.folding import fold_input
from mobilenets.model.model import Model
from mobilenets.model.preprocessing import Pixels

NORM = BatchNorm()
HARD_SWISH, HARD_SIGMOID = Activation.HARD_SWISH, Activation.HARD_SIGMOID


def v3_like(*, squeeze: bool = True) -> Network:
    """A stem, one inverted residual and a head, with the activations of MobileNet V3.

    Args:
        squeeze: Whether there is squeeze-and-excite, and a layer after the pool, both without batch norms.
    """
    excite: tuple[Layer, ...] = (
        GlobalAveragePool("squeeze", ("depthwise",)),
        PointwiseConvolution("reduce", ("squeeze",), out_channels=8, activation=Activation.RELU, bias=True),
        PointwiseConvolution("gate", ("reduce",), out_channels=32, activation=HARD_SIGMOID, bias=True),
        Multiply("scale", ("depthwise", "gate")),
    )
    layers: tuple[Layer, ...] = (
        Convolution("stem", (INPUT,), stride=2, out_channels=16, activation=HARD_SWISH, batch_norm=NORM),
        PointwiseConvolution("expand", ("stem",), out_channels=32, activation=HARD_SWISH, batch_norm=NORM),
        DepthwiseConvolution(
            "depthwise", ("expand",), padding=Padding(1, 1, 1, 1), activation=HARD_SWISH, batch_norm=NORM
        ),
        *(excite if squeeze else ()),
        PointwiseConvolution(
            "project",
            ("scale" if squeeze else "depthwise",),
            out_channels=16,
            activation=Activation.NONE,
            batch_norm=NORM,
        ),
        Add("residual", ("stem", "project")),
        PointwiseConvolution("head", ("residual",), out_channels=24, activation=HARD_SWISH, batch_norm=NORM),
        GlobalAveragePool("pool", ("head",)),
        PointwiseConvolution(
            "features",
            ("pool",),
            out_channels=20,
            activation=HARD_SWISH,
            bias=squeeze,
            batch_norm=None if squeeze else NORM,
        ),
        Linear("classifier", ("features",), out_features=6),
    )
    return Network("v3-like", 16, 16, layers, ("classifier",))


def some(seed: int, *, squeeze: bool = True) -> tuple[Model, Pixels]:
    """A random Model of that network, and images of different colours."""
    rng = np.random.default_rng(seed)
    model = random_model(rng, v3_like(squeeze=squeeze))
    pixels = random_pixels(rng, model.network, 48) * rng.uniform(0, 1, (48, 1, 1, 3))
    return model, pixels.astype(np.uint8)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("method", list(RangeMethod))
def test_a_network_like_mobilenet_v3_keeps_its_answers(seed: int, method: RangeMethod) -> None:
    model, pixels = some(seed)
    made = quantize_with_images(model, pixels[:32], QuantizationConfig(ranges=method))
    report = EvaluationSet.of(model, pixels).report(made.model)
    assert report.logits_sqnr_db > 20
    assert min(layer.sqnr_db for layer in made.layers) > 15
    assert made.model.quantization is not None
    assert set(made.model.quantization.pre_activations) == {"stem", "expand", "depthwise", "gate", "head", "features"}
    expected = reference.run_reference(made.model, pixels[:4])["classifier"]
    np.testing.assert_array_equal(numpy_runtime.run_numpy(made.model, pixels[:4])["classifier"], expected)
    np.testing.assert_array_equal(Session(made.model, 1).run(pixels[:4]), expected)


def test_a_pre_activation_spans_only_where_its_function_changes() -> None:
    """Nothing below −3 makes a difference to hard-swish, and nothing beyond 3 to hard-sigmoid either."""
    model, pixels = some(0)
    parameters = dict(model.parameters)
    parameters["gate.weight"] = 30 * parameters["gate.weight"]
    parameters["stem.batch_norm.weight"] = 8 * parameters["stem.batch_norm.weight"]
    made = quantize_with_images(
        model.with_parameters(parameters), pixels, QuantizationConfig(ranges=RangeMethod.MIN_MAX)
    )
    assert made.model.quantization is not None
    gate, stem = (made.model.quantization.pre_activations[name] for name in ("gate", "stem"))
    assert -3.05 <= -gate.zero_point * gate.scale < 0 < (255 - gate.zero_point) * gate.scale <= 3.05
    assert -3.05 <= -stem.zero_point * stem.scale <= -2.9
    assert (255 - stem.zero_point) * stem.scale > 3.05


def test_only_positively_homogeneous_activations_are_equalized() -> None:
    model, pixels = some(1)
    producers = [link.producer.name for link in links(model.network)]
    assert producers == ["reduce"]  # hard-swish and hard-sigmoid are not homogeneous, and a sum reads the projection
    ready, _ = fold_input(model)
    equalized, gains = equalize(ready, observe(ready, [pixels]))
    assert set(gains) == {"reduce"}
    before, after = (numpy_runtime.run_numpy(one, pixels)["classifier"] for one in (ready, equalized))
    np.testing.assert_allclose(after, before, rtol=1e-4, atol=1e-4 * np.abs(before).max())


def test_biases_keep_the_mean_of_what_a_table_reads() -> None:
    """Correction brings the mean of each channel's pre-activation closer to that in float."""
    model, pixels = some(2)
    off: dict[bool, float] = {}
    for corrects in (True, False):
        config = QuantizationConfig(weight_bits=4, bias_correction=corrects, deviation_correction=False)
        made = quantize_with_images(model, pixels, config)
        assert made.model.quantization is not None
        target = made.model.quantization.pre_activations["head"]
        steps = pre_activation(made.model, "head", pixels) - float(target.zero_point)
        real = np.clip(pre_activation(made.float_model, "head", pixels), -3, None)
        off[corrects] = float(np.abs((steps * target.scale - real).mean(axis=(0, 1, 2))).mean())
    assert off[True] < 0.7 * off[False]


def pre_activation(model: Model, name: str, pixels: Pixels) -> npt.NDArray[np.float64]:
    """What the activation function of a layer reads, (height, width, N, C)."""
    found = {result.name: result.pre_activation for result in numpy_runtime.layer_results(model, pixels)}[name]
    assert found is not None
    return found.astype(np.float64)


@pytest.mark.parametrize("activation", list(Activation))
def test_the_mean_of_an_activation_of_normal_values_is_that_of_many_drawn(activation: Activation) -> None:
    rng = np.random.default_rng(0)
    mean, deviation = rng.normal(0, 3, 12), rng.uniform(0, 3, 12)
    drawn = activate(mean + deviation * rng.normal(size=(200_000, 12)), activation).mean(axis=0)
    np.testing.assert_allclose(expected_mean(mean, deviation, activation), drawn, atol=0.03)


@pytest.mark.parametrize("seed", range(3))
def test_batch_norms_say_the_ranges_of_hard_swish(seed: int) -> None:
    model, pixels = some(seed, squeeze=False)
    made = quantize_without_images(model)
    assert EvaluationSet.of(model, pixels).report(made.model).logits_sqnr_db > 15
    expected = reference.run_reference(made.model, pixels[:2])["classifier"]
    np.testing.assert_array_equal(Session(made.model, 1).run(pixels[:2]), expected)


def test_squeeze_and_excite_without_batch_norms_needs_images() -> None:
    model, _ = some(0)
    with pytest.raises(CompressionError, match="reduce has no batch norm to tell its range from; calibrate with image"):
        quantize_without_images(model)
