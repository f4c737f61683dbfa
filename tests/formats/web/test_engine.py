"""The engine's WebAssembly gives the engine's bits: of every layer, of every family, with and without relaxed dots."""

from __future__ import annotations

import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.support.random_models import random_int8_model, random_model, random_network, random_pixels
from tests.support.samples import samples
from tests.support.wasmtime_engine import WasmtimeEngine
from tests.support.web import RELAXED, WebRun, run_in_node

from mobilenets.architecture.catalog import Specification
from mobilenets.engine.session import INSTRUCTION_SET_VARIABLE, Session
from mobilenets.errors import EngineError
from mobilenets.formats.web.engine import FOLDER, web_engine
from mobilenets.formats.web.model_bytes import MAGIC, model_bytes
from mobilenets.model.model import Model
from mobilenets.model.preprocessing import Pixels

FAMILIES = (
    "mobilenet_v1@0.25-64",
    "mobilenet_v1_shallow@0.5-64",
    "mobilenet_v2@0.5-64",
    "mobilenet_v3_small@1-64",
    "mobilenet_v4_conv_small@1-64",
)
Case = tuple[Model, Pixels, tuple[()]]


def cases(precision: str) -> list[Case]:
    """Every kind of layer, random networks of all of them at once, and the families."""
    made = random_model if precision == "float32" else random_int8_model
    networks = [sample.network for sample in samples()]
    networks += [random_network(np.random.default_rng(seed), batch_norm=False) for seed in range(24)]
    networks += [Specification.parse(name).network() for name in FAMILIES]
    found: list[Case] = []
    for seed, network in enumerate(networks):
        rng = np.random.default_rng(seed)
        found.append((made(rng, network), random_pixels(rng, network, 2), ()))
    if precision == "int8":
        rng = np.random.default_rng(99)
        network = Specification.parse("mobilenet_v1@0.25-32").network()
        found.append((random_int8_model(rng, network, asymmetric_weights=True), random_pixels(rng, network, 2), ()))
    return found


def assert_same(runs: list[WebRun], given: list[Case]) -> None:
    for run, (model, pixels, _) in zip(runs, given, strict=True):
        for name, values in Session(model, threads=1).outputs(pixels).items():
            np.testing.assert_array_equal(run.outputs[name], values, err_msg=f"{model.network.name}, {name}")


@pytest.mark.parametrize(("engine", "flags"), [("wasm_relaxed_simd", (RELAXED,)), ("wasm_simd", ())])
def test_int8_is_bit_for_bit(engine: str, flags: tuple[str, ...], tmp_path: Path) -> None:
    given = cases("int8")
    runs = run_in_node(tmp_path, given, *flags)
    if runs[0].instruction_set != engine:
        pytest.skip(f"this Node.js runs {runs[0].instruction_set}")
    assert_same(runs, given)


def test_float32_has_the_bits_of_the_portable_kernels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = cases("float32")
    runs = run_in_node(tmp_path, given)
    if runs[0].instruction_set != "wasm_simd":
        pytest.skip("this Node.js always has relaxed arithmetic")
    monkeypatch.setenv(INSTRUCTION_SET_VARIABLE, "portable")
    assert_same(runs, given)


def test_float32_that_is_rounded_once_has_the_bits_of_avx2(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Networks that are small enough for no layer to be multiplied by Strassen's algorithm, which pages have not."""
    given = cases("float32")
    runs = run_in_node(tmp_path, given, RELAXED)
    if runs[0].instruction_set != "wasm_relaxed_simd":
        pytest.skip(f"this Node.js runs {runs[0].instruction_set}")
    monkeypatch.setenv(INSTRUCTION_SET_VARIABLE, "avx2")
    try:
        assert_same(runs, given)
    except EngineError as error:
        pytest.skip(str(error))


def test_int8_is_bit_for_bit_where_the_highest_bit_is_a_sign() -> None:
    """As on Arm. Wasmtime's deterministic mode takes the second factor of a relaxed dot product so everywhere."""
    if not FOLDER.is_dir():
        pytest.skip("the package was built without the engine for pages")
    engine = WasmtimeEngine(web_engine().relaxed)
    for model, pixels, _ in cases("int8"):
        expected = Session(model, threads=1).outputs(pixels)
        for name, values in engine.outputs(model, pixels).items():
            np.testing.assert_array_equal(values, expected[name], err_msg=f"{model.network.name}, {name}")
    assert "u8_pointwise_4x8_wasm_dot" in engine.kernels


def test_products_of_the_largest_bytes_are_exact(tmp_path: Path) -> None:
    """All weights at their largest, of one sign and of both, and all activations at theirs."""
    network = Specification.parse("mobilenet_v1@0.25-32").network()
    model = random_int8_model(np.random.default_rng(5), network)
    given: list[Case] = []
    for values in ((127,), (-127,), (127, 127, -127), (127, 2), (-128, -128), (65, 64, -64, -65)):
        parameters = {
            name: np.resize(np.array(values, np.int8), value.shape) if name.endswith("pointwise.weight") else value
            for name, value in model.parameters.items()
        }
        white = np.full((1, network.height, network.width, 3), 255, np.uint8)
        given.append((replace(model, parameters=parameters), white, ()))
    assert_same(run_in_node(tmp_path, given, RELAXED), given)


def test_kernels_of_the_browser_are_used(tmp_path: Path) -> None:
    model, pixels, _ = cases("int8")[-2]
    (run,) = run_in_node(tmp_path, [(model, pixels, ())], RELAXED)
    assert not [name for name in run.kernels if "portable" in name and "activation" not in name]
    assert all("wasm" in name for name in run.kernels if "pointwise" in name)


def test_a_damaged_model_is_refused_with_the_reason(tmp_path: Path) -> None:
    model = cases("int8")[0][0]
    content = model_bytes(model)
    damaged = {
        b"": "ends early",
        b"GIF8" + content[4:]: "no model for this engine",
        content[:-7]: "ends early",
        content[:12] + struct.pack("<i", -5) + content[16:]: "empty or too large",
        MAGIC + b"\xff" * 400: "out of range",
    }
    runs = run_in_node(tmp_path, [(each, None, ()) for each in damaged])
    for run, reason in zip(runs, damaged.values(), strict=True):
        assert reason in (run.error or "")
