"""The native engine gives the reference's answers: on every instruction set, at every number of threads, for everything
that a Network may hold."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.random_models import random_int8_model, random_model, random_network, random_pixels

from mobilenets.architecture.catalog import CATALOG
from mobilenets.architecture.layers import INPUT, DepthwiseConvolution, GlobalAveragePool, Layer, Padding
from mobilenets.architecture.network import Network
from mobilenets.engine.lowering import lower
from mobilenets.engine.session import Session, chosen_instruction_set, instruction_sets
from mobilenets.errors import EngineError
from mobilenets.model import reference
from mobilenets.model.model import Model
from mobilenets.model.preprocessing import Pixels

SETS = [name for name, supported in instruction_sets().items() if supported]


def assert_equal_to_reference(model: Model, session: Session, pixels: Pixels, *, tolerance: float = 1e-5) -> None:
    """Bit for bit for an int8 Model, within rounding of float64 for a float32 one."""
    outputs = session.outputs(pixels)
    for name, expected in reference.run_reference(model, pixels).items():
        assert outputs[name].shape == expected.shape
        if model.quantization is not None:
            assert np.array_equal(outputs[name], expected), name
        else:
            assert np.abs(outputs[name] - expected).max() <= tolerance * np.abs(expected).max(), name


@pytest.fixture(params=SETS)
def instruction_set(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("MOBILENETS_ISA", request.param)
    isa: str = request.param
    return isa


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 2**32 - 1), integer=st.booleans(), threads=st.integers(1, 4), isa=st.sampled_from(SETS))
def test_random_networks(seed: int, integer: bool, threads: int, isa: str) -> None:
    rng = np.random.default_rng(seed)
    network = random_network(rng)
    model = random_int8_model(rng, network, asymmetric_weights=seed % 3 == 0) if integer else random_model(rng, network)
    pixels = random_pixels(rng, network, 3)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MOBILENETS_ISA", isa)
        assert_equal_to_reference(model, Session(model, threads), pixels)


@pytest.mark.parametrize("name", CATALOG)
def test_every_architecture_of_the_catalogue(name: str) -> None:
    rng = np.random.default_rng(0)
    smallest = {"alexnet": 128, "vgg16": 64, "inception_v3": 139}.get(name, 64)
    network = CATALOG[name](width_multiplier=0.25, resolution=smallest, classes=7)
    pixels = random_pixels(rng, network, 1)
    for model in (random_model(rng, network), random_int8_model(rng, network)):
        assert_equal_to_reference(model, Session(model, 2), pixels, tolerance=3e-5)


@pytest.mark.parametrize("width", [0.25, 0.29, 0.75, 1.0])
def test_mobilenet_of_any_width_on_a_map_that_is_not_square(width: float, instruction_set: str) -> None:
    rng = np.random.default_rng(1)
    network = CATALOG["mobilenet_v1"](width_multiplier=width, resolution=(65, 34), classes=11)
    pixels = random_pixels(rng, network, 2)
    for model in (random_model(rng, network), random_int8_model(rng, network)):
        assert_equal_to_reference(model, Session(model, 2), pixels)


@pytest.mark.parametrize("resolution", [96, 160])  # whose last maps have 3 × 3 and 5 × 5 pixels
def test_the_bits_are_the_same_for_every_number_of_threads_and_every_batch(
    resolution: int, instruction_set: str
) -> None:
    rng = np.random.default_rng(2)
    network = CATALOG["mobilenet_v1"](width_multiplier=0.5, resolution=resolution, classes=10)
    model = random_model(rng, network)
    pixels = random_pixels(rng, network, 5)
    alone = np.concatenate([Session(model, 1).run(pixels[index : index + 1]) for index in range(5)])
    for threads in (1, 2, 3, 7):
        assert np.array_equal(Session(model, threads).run(pixels), alone)


def test_instruction_sets_give_the_same_int8_bits() -> None:
    rng = np.random.default_rng(3)
    network = CATALOG["mobilenet_v1"](width_multiplier=0.25, resolution=64, classes=10)
    model = random_int8_model(rng, network)
    pixels = random_pixels(rng, network, 1)
    results = set()
    for isa in SETS:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("MOBILENETS_ISA", isa)
            session = Session(model)
            assert session.instruction_set == isa
            results.add(session.run(pixels).tobytes())
    assert len(results) == 1


def test_an_unknown_instruction_set_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOBILENETS_ISA", "mmx")
    with pytest.raises(EngineError, match=r"MOBILENETS_ISA is 'mmx'; this build has .*portable"):
        chosen_instruction_set()


def test_an_instruction_set_that_the_processor_lacks_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOBILENETS_ISA", "future")
    with pytest.raises(EngineError, match=r"'future', which this processor lacks; it has \['portable'\]"):
        chosen_instruction_set({"future": False, "portable": True})


@settings(deadline=None, max_examples=10)
@given(seed=st.integers(0, 2**32 - 1), integer=st.booleans(), isa=st.sampled_from(SETS))
def test_nothing_is_written_between_activations_nor_read_before_it_is_written(
    seed: int, integer: bool, isa: str
) -> None:
    rng = np.random.default_rng(seed)
    network = random_network(rng)
    model = random_int8_model(rng, network) if integer else random_model(rng, network)
    pixels = random_pixels(rng, network, 1)
    runner = lower(model, instruction_set=isa, threads=2, processors=2, guarded=True)
    expected = [value.ravel() for value in Session(model, 1).outputs(pixels).values()]
    for byte in (0x00, 0xC5, 0xFF):  # as floats: zero, −6325, not a number
        results = [np.empty(value.shape, np.float32) for value in expected]
        assert runner.run_poisoned(pixels, results, byte)
        if isa == SETS[0]:
            assert all(np.array_equal(mine, value) for mine, value in zip(results, expected, strict=True))


def test_a_chain_of_fused_layers_may_be_long() -> None:
    layers: list[Layer] = []
    for index in range(150):
        before = layers[-1].name if layers else INPUT
        same = Padding(1, 1, 1, 1)
        layers.append(DepthwiseConvolution(f"layer{index}", (before,), kernel=3, padding=same, bias=True))
    layers.append(GlobalAveragePool("pool", (layers[-1].name,)))
    network = Network("deep", 5, 4, tuple(layers), ("pool",))
    rng = np.random.default_rng(0)
    model, pixels = random_model(rng, network), random_pixels(rng, network, 1)
    (expected,) = reference.run_reference(model, pixels).values()
    runner = lower(model, instruction_set=SETS[0], threads=1, processors=1, whole_map_bytes=1)
    result = np.empty(expected.shape, np.float32)
    runner.run(pixels, [result])
    assert np.abs(result - expected).max() <= 1e-4 * np.abs(expected).max()
    assert 1 < len(runner.describe()) < 10


def test_activations_take_little_more_memory_than_they_must() -> None:
    from mobilenets.architecture.cost import cost

    rng = np.random.default_rng(0)
    network = CATALOG["mobilenet_v1"](width_multiplier=0.5, resolution=128, classes=10)
    session = Session(random_int8_model(rng, network), 1)
    # The least that holds every step's input and output, and 64 KB for alignment and what lies between.
    assert session.arena_bytes <= cost(network, bytes_per_activation=1).peak_activation_bytes + (64 << 10)


def test_a_plan_names_every_layer_once() -> None:
    rng = np.random.default_rng(0)
    network = CATALOG["mobilenet_v1"](width_multiplier=0.25, resolution=64, classes=10)
    plan = Session(random_model(rng, network), 2).plan(repeats=2)
    layers = [layer for step in plan for layer in step.layers]
    assert [layer.name for layer in layers] == [layer.name for layer in network.layers]
    assert all(0 < layer.seconds < 10 for layer in layers)
    assert {step.split for step in plan} <= {"rows", "channels", "pixels"}
    assert any(len(step.layers) > 1 for step in plan), "depthwise and pointwise layers are fused"
