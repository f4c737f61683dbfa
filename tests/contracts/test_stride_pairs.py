"""Layers that step otherwise down than across: every executor computes them, and formats hold them or say that not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.support.random_models import random_int8_model, random_model, random_pixels

from mobilenets.architecture.encoding import decode_network, encode_network
from mobilenets.architecture.layers import (
    INPUT,
    Activation,
    Convolution,
    DepthwiseConvolution,
    GlobalAveragePool,
    Layer,
    Linear,
    MaxPool,
    Padding,
    PointwiseConvolution,
)
from mobilenets.architecture.network import Network
from mobilenets.engine.session import INSTRUCTION_SET_VARIABLE, Session, instruction_sets
from mobilenets.errors import ArchitectureError, FormatError
from mobilenets.formats.exporting import export
from mobilenets.formats.importing import import_model
from mobilenets.model import numpy_runtime, reference
from mobilenets.model.file import load, save
from mobilenets.model.model import Model

SETS = [name for name, supported in instruction_sets().items() if supported]
PAIRS = ((2, 1), (1, 2), (3, 1), (2, 3))


def network(pair: tuple[int, int], *, stem: tuple[int, int] = (1, 1), height: int = 23, width: int = 41) -> Network:
    """Every layer with a window, each with a stride pair, and pointwise layers that follow them in a chain."""
    down, across = pair
    relu = Activation.RELU6
    even, wide = Padding(1, 1, 1, 1), Padding(2, 2, 2, 2)
    layers: list[Layer] = [
        Convolution("stem", (INPUT,), 3, stem, even, out_channels=19, activation=relu, bias=True),
        DepthwiseConvolution("first", ("stem",), 3, (down, across), even, activation=relu, bias=True),
        PointwiseConvolution("mixed", ("first",), out_channels=24, activation=relu, bias=True),
        DepthwiseConvolution("second", ("mixed",), 5, (1, 2), wide, activation=relu, bias=True),
        Convolution("grouped", ("second",), 3, (2, 1), even, out_channels=16, groups=2, activation=relu, bias=True),
        MaxPool("largest", ("grouped",), 2, (across, down)),
        PointwiseConvolution("last", ("largest",), out_channels=8, bias=True),
        GlobalAveragePool("pool", ("last",)),
        Linear("classifier", ("pool",), out_features=3),
    ]
    return Network("pairs", height, width, tuple(layers), ("classifier",))


def engine(model: Model, pixels: np.ndarray, instruction_set: str, threads: int) -> np.ndarray:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(INSTRUCTION_SET_VARIABLE, instruction_set)
        return Session(model, threads=threads).run(pixels)


@pytest.mark.parametrize("pair", PAIRS)
@pytest.mark.parametrize("stem", [(1, 1), (2, 1), (1, 3)])
def test_float32_is_the_reference_but_for_rounding(pair: tuple[int, int], stem: tuple[int, int]) -> None:
    rng = np.random.default_rng(1)
    model = random_model(rng, network(pair, stem=stem))
    pixels = random_pixels(rng, model.network, 2)
    expected = reference.run_reference(model, pixels)["classifier"]
    found = [numpy_runtime.run_numpy(model, pixels)["classifier"]]
    found += [engine(model, pixels, name, threads) for name in SETS for threads in (1, 2)]
    for one in found:
        np.testing.assert_allclose(one, expected, rtol=0, atol=2e-5 * np.abs(expected).max())


@pytest.mark.parametrize("pair", PAIRS)
@pytest.mark.parametrize("stem", [(1, 1), (2, 1), (1, 3)])
def test_int8_is_the_reference_bit_for_bit(pair: tuple[int, int], stem: tuple[int, int]) -> None:
    rng = np.random.default_rng(2)
    model = random_int8_model(rng, network(pair, stem=stem))
    pixels = random_pixels(rng, model.network, 2)
    expected = reference.run_reference(model, pixels)["classifier"]
    np.testing.assert_array_equal(numpy_runtime.run_numpy(model, pixels)["classifier"], expected)
    for name in SETS:
        for threads in (1, 2):
            np.testing.assert_array_equal(engine(model, pixels, name, threads), expected, err_msg=name)


def test_training_computes_the_same() -> None:
    torch = pytest.importorskip("torch")
    from mobilenets.training.network import module_of

    rng = np.random.default_rng(3)
    model = random_model(rng, network((2, 1)))
    pixels = random_pixels(rng, model.network, 2)
    planes = model.preprocessing.normalize(pixels).transpose(0, 3, 1, 2)
    with torch.inference_mode():
        found = module_of(model).outputs(torch.from_numpy(np.ascontiguousarray(planes)))["classifier"].numpy()
    expected = reference.run_reference(model, pixels)["classifier"]
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-5 * np.abs(expected).max())


@pytest.mark.parametrize(("name", "package"), [("onnx", "onnxruntime"), ("tflite", "ai_edge_litert")])
@pytest.mark.parametrize("int8", [False, True])
def test_formats_that_hold_pairs_answer_the_same_and_come_back(
    name: str, package: str, int8: bool, tmp_path: Path
) -> None:
    pytest.importorskip(package)
    rng = np.random.default_rng(4)
    model = random_int8_model(rng, network((2, 1))) if int8 else random_model(rng, network((2, 1)))
    export(model, tmp_path / f"model.{name}")  # which runs the file, and compares
    assert import_model(tmp_path / f"model.{name}").network == model.network


@pytest.mark.parametrize(("name", "holds"), [("c", "C files hold one stride"), ("html", "web pages hold one stride")])
def test_formats_that_do_not_hold_pairs_say_so(name: str, holds: str, tmp_path: Path) -> None:
    model = random_model(np.random.default_rng(5), network((2, 1)))
    with pytest.raises(FormatError, match=holds):
        export(model, tmp_path / f"model.{name}", verify=False)


def test_a_model_file_keeps_them(tmp_path: Path) -> None:
    model = random_model(np.random.default_rng(6), network((2, 1)))
    save(model, tmp_path / "model.safetensors")
    assert load(tmp_path / "model.safetensors").network == model.network
    assert decode_network(encode_network(model.network)) == model.network


@pytest.mark.parametrize("stride", [(0, 1), (1,), (1, 2, 3), (1, True), "two"])
def test_what_is_no_stride_is_refused(stride: object) -> None:
    with pytest.raises(ArchitectureError, match="stride"):
        MaxPool("pool", (INPUT,), 2, stride)  # type: ignore[arg-type]
    encoded = encode_network(network((2, 1)))
    encoded["layers"][1]["stride"] = list(stride) if isinstance(stride, tuple) else stride
    with pytest.raises(ArchitectureError):
        decode_network(encoded)
