"""Ranges: what histograms keep, what each method chooses from them, and what cannot be calibrated."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.random_models import is_alive, random_model, random_network, random_pixels

from mobilenets.architecture.networks.mobilenet_v1 import mobilenet_v1
from mobilenets.compression.observation import BINS, Histogram, observe
from mobilenets.compression.ranges import RangeMethod, choose_ranges, least_squares_range
from mobilenets.errors import CompressionError
from mobilenets.model import reference
from mobilenets.model.folding import fold, fold_input
from mobilenets.model.quantization import TensorQuantization

NETWORK = mobilenet_v1(width_multiplier=0.25, resolution=32, classes=5)


def counted(*batches: object) -> Histogram:
    histogram = Histogram()
    for batch in batches:
        histogram.add(np.asarray(batch, np.float32))
    return histogram


@settings(deadline=None, max_examples=40)
@given(
    seed=st.integers(0, 2**32 - 1),
    sizes=st.lists(st.floats(1e-3, 1e4), min_size=1, max_size=6),
    signed=st.booleans(),
)
def test_a_histogram_that_widens_loses_no_value_and_moves_none_by_more_than_a_bin(
    seed: int, sizes: list[float], signed: bool
) -> None:
    rng = np.random.default_rng(seed)
    batches = [(rng.uniform(-1 if signed else 0, 1, 300) * size).astype(np.float32) for size in sizes]
    values = np.sort(np.concatenate(batches))
    histogram = counted(*batches)
    assert histogram.counts.sum() == len(values)
    assert (histogram.low, histogram.high) == (min(values.min(), 0), max(values.max(), 0))
    assert histogram.width <= 4 * np.abs(values).max() / (BINS - 2)
    binned = np.repeat(histogram.centres, histogram.counts)
    assert np.abs(binned - values).max() <= 0.51 * histogram.width


def test_percentiles_leave_the_rarest_out_and_never_the_zero() -> None:
    values = np.arange(1000, dtype=np.float32)
    histogram = counted(values)
    low, high = histogram.percentile(99)
    assert low == 0
    assert high == pytest.approx(990, abs=2 * histogram.width)
    assert histogram.percentile(100)[1] == 999


def test_the_least_squares_range_cuts_off_an_outlier_but_no_bulk() -> None:
    rng = np.random.default_rng(0)
    bulk = np.abs(rng.normal(0, 1, 1_000_000)).astype(np.float32)
    assert least_squares_range(counted(np.append(bulk, 10.0)))[1] < 7.5
    assert least_squares_range(counted(np.linspace(0, 1, 10_001)))[1] == pytest.approx(1)


def test_bytes_span_a_range_that_holds_zero() -> None:
    assert TensorQuantization.spanning(2.0, 4.0).scale == pytest.approx(4 / 255)
    assert TensorQuantization.spanning(-3.0, -1.0).zero_point == 255
    assert TensorQuantization.spanning(-0.5, 1.5).zero_point == 64


@pytest.mark.parametrize("method", list(RangeMethod))
def test_ranges_belong_to_the_network_they_were_chosen_for(method: RangeMethod) -> None:
    for seed in range(15):
        rng = np.random.default_rng(seed)
        network = random_network(rng)
        model, input_quantization = fold_input(fold(random_model(rng, network)))
        pixels = random_pixels(rng, network, 4)
        if not is_alive(model, pixels):
            continue
        seen = observe(model, [pixels])
        choose_ranges(model.network, seen, input_quantization, method=method).check(model.network)


def test_min_max_ranges_are_what_the_reference_sees() -> None:
    rng = np.random.default_rng(3)
    model, input_quantization = fold_input(fold(random_model(rng, NETWORK)))
    batches = [random_pixels(rng, NETWORK, 3), random_pixels(rng, NETWORK, 2)]
    ranges = choose_ranges(
        model.network, observe(model, batches), input_quantization, method=RangeMethod.MIN_MAX
    ).activations
    values = reference.activations(model, np.concatenate(batches))
    for name, tensor in ranges.items():
        if name != "input":
            assert 255 * tensor.scale == pytest.approx(values[name].max(), rel=1e-4)


def test_images_that_say_nothing_are_refused() -> None:
    model = random_model(np.random.default_rng(0), NETWORK)
    with pytest.raises(CompressionError, match="needs images; there are none"):
        observe(model, [])
    grey = np.full((3, 32, 32, 3), 90, np.uint8)
    with pytest.raises(CompressionError, match="all 3 calibration images are of a single colour"):
        observe(model, [grey[:2], grey[2:]])


def test_a_dead_layer_is_refused_by_name() -> None:
    rng = np.random.default_rng(0)
    model = random_model(rng, NETWORK)
    dead = {
        **model.parameters,
        "block3.depthwise.batch_norm.weight": np.zeros(32, np.float32),
        "block3.depthwise.batch_norm.bias": np.full(32, -1, np.float32),
    }
    with pytest.raises(CompressionError, match=r"block3.depthwise gives nothing but zero"):
        observe(model.with_parameters(dead), [random_pixels(rng, NETWORK)])


def test_values_that_overflow_are_refused_by_the_layers_name() -> None:
    rng = np.random.default_rng(0)
    model = random_model(rng, NETWORK)
    huge = {**model.parameters, "block1.pointwise.weight": np.full((16, 8, 1, 1), 3e38, np.float32)}
    with np.errstate(all="ignore"), pytest.raises(CompressionError, match=r"block1.pointwise gives NaN or infinite"):
        observe(model.with_parameters(huge), [random_pixels(rng, NETWORK)])


def test_a_percentile_must_be_one() -> None:
    model, input_quantization = fold_input(fold(random_model(np.random.default_rng(0), NETWORK)))
    with pytest.raises(CompressionError, match="not 30"):
        choose_ranges(model.network, {}, input_quantization, method=RangeMethod.PERCENTILE, percentile=30)
