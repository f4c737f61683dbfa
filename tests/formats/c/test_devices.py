"""C files on microcontrollers in emulators: the bits of the reference, and how many instructions they take."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.support.random_models import random_int8_model, random_network, random_pixels

from mobilenets.architecture.catalog import CATALOG
from mobilenets.architecture.layers import (
    Activation,
    Add,
    Concatenate,
    Convolution,
    DepthwiseConvolution,
    Layer,
    Linear,
    Multiply,
    Padding,
    PointwiseConvolution,
)
from mobilenets.architecture.network import Network
from mobilenets.architecture.networks.mobilenet_v1 import mobilenet_v1
from mobilenets.benchmark.microcontroller.count import COMPILER, EMULATOR, PROCESSORS, count_instructions
from mobilenets.errors import FormatError
from mobilenets.formats.c.run import NoCompilerError
from mobilenets.formats.c.write import to_c
from mobilenets.model import reference
from mobilenets.model.model import Model


@pytest.fixture(scope="module", autouse=True)
def _emulator() -> None:
    for program in (COMPILER, EMULATOR):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")


def joined_network() -> Network:
    """Sums of two and of three maps, a product and a concatenation."""
    shared: dict[str, Any] = {"bias": True, "out_channels": 6}
    layers: list[Layer] = [PointwiseConvolution(name, ("input",), **shared) for name in ("a", "b")]
    layers += [Add("two", ("a", "b")), Add("three", ("two", "a", "b"), activation=Activation.RELU)]
    layers += [Multiply("product", ("three", "b")), Concatenate("all", ("product", "two"))]
    layers += [Linear("classifier", ("all",), out_features=2, bias=True)]
    return Network("joined", 24, 32, tuple(layers), ("classifier",))


def awkward_network(first: int, second: int, third: int, fourth: int) -> Network:
    """Channels that fill no vector, maps wider than a strip, uneven padding, windows of 5 and tables of activations."""
    around = Padding(1, 1, 1, 1)
    shared: dict[str, Any] = {"bias": True}
    layers: list[Layer] = [PointwiseConvolution("a", ("input",), out_channels=first, **shared)]
    layers += [DepthwiseConvolution("b", ("a",), padding=around, activation=Activation.RELU6, **shared)]
    layers += [PointwiseConvolution("c", ("b",), out_channels=second, **shared)]
    layers += [DepthwiseConvolution("d", ("c",), stride=2, padding=around, **shared)]
    layers += [PointwiseConvolution("e", ("d",), out_channels=third, activation=Activation.HARD_SWISH, **shared)]
    layers += [DepthwiseConvolution("f", ("e",), padding=Padding(0, 1, 0, 1), **shared)]
    layers += [DepthwiseConvolution("g", ("f",), padding=around, activation=Activation.HARD_SWISH, **shared)]
    layers += [PointwiseConvolution("h", ("g",), out_channels=fourth, activation=Activation.RELU, **shared)]
    layers += [DepthwiseConvolution("i", ("h",), kernel=5, stride=2, padding=Padding(2, 2, 2, 2), **shared)]
    layers += [Convolution("j", ("i",), stride=2, out_channels=18, padding=Padding(1, 0, 1, 0), **shared)]
    layers += [Linear("classifier", ("j",), out_features=3, **shared)]
    return Network("awkward", 23, 45, tuple(layers), ("classifier",))


def assert_bits_of_the_reference(model: Model, processor: str) -> int:
    """Run on an emulated processor; returns the instructions."""
    pixels = random_pixels(np.random.default_rng(1), model.network, 1)
    try:
        count = count_instructions(model, pixels[0], processor)
    except NoCompilerError as error:
        pytest.skip(str(error))
    for name, expected in reference.run_reference(model, pixels).items():
        found = count.outputs[name]
        found = found[0, 0] if found.shape[:2] == (1, 1) else found.transpose(2, 0, 1)
        np.testing.assert_array_equal(found, expected[0])
    return count.instructions


def person_detector() -> Model:
    """The network of the person detector in MLPerf Tiny."""
    network = mobilenet_v1(width_multiplier=0.25, resolution=96, classes=2)
    return random_int8_model(np.random.default_rng(0), network)


@pytest.mark.parametrize("processor", PROCESSORS)
def test_every_processor_gives_the_bits_of_the_reference(processor: str) -> None:
    rng = np.random.default_rng(0)
    assert_bits_of_the_reference(random_int8_model(rng, joined_network()), processor)
    # residuals, squeeze-and-excite, hard-swish, windows of 5
    v3 = CATALOG["mobilenet_v3_small"](width_multiplier=0.25, resolution=32, classes=3)
    assert_bits_of_the_reference(random_int8_model(rng, v3), processor)
    for channels in ((24, 9, 40, 37), (8, 16, 17, 33)):
        assert_bits_of_the_reference(random_int8_model(rng, awkward_network(*channels)), processor)
    for seed in range(3):
        rng = np.random.default_rng(seed)
        asymmetric = seed % 2 == 1
        model = random_int8_model(rng, random_network(rng), asymmetric_weights=asymmetric)
        assert_bits_of_the_reference(model, processor)


@pytest.mark.parametrize(
    ("processor", "most"),
    [("cortex-m4", 10_500_000), ("cortex-m0plus", 60_000_000), ("cortex-m55", 3_000_000)],
)
def test_a_person_detector_takes_no_more_instructions_than_promised(processor: str, most: int) -> None:
    assert assert_bits_of_the_reference(person_detector(), processor) <= most


def test_what_cannot_be_counted_is_an_error() -> None:
    model = person_detector()
    image = random_pixels(np.random.default_rng(1), model.network, 1)[0]
    with pytest.raises(FormatError, match="processor 'z80' must be one of cortex-m0plus"):
        count_instructions(model, image, "z80")
    large = random_int8_model(np.random.default_rng(0), mobilenet_v1(width_multiplier=1, resolution=32, classes=2))
    with pytest.raises(FormatError, match="arm-none-eabi-gcc failed"):
        count_instructions(large, random_pixels(np.random.default_rng(1), large.network, 1)[0], "cortex-m55")


@pytest.mark.parametrize("processor", ["cortex-m4", "cortex-m55"])
def test_the_stack_is_as_small_as_the_page_says(processor: str, tmp_path: Path) -> None:
    to_c(person_detector(), tmp_path / "model.c")
    flags = ["-O2", "-mthumb", *PROCESSORS[processor].target, "-fstack-usage"]
    subprocess.run([COMPILER, *flags, "-c", "model.c"], cwd=tmp_path, check=True)
    frames = sorted(int(line.split("\t")[1]) for line in (tmp_path / "model.su").read_text().splitlines())
    assert sum(frames[-5:]) < 1024  # no more than five functions call each other
    assert "less than 1 KiB" in (tmp_path / "model.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("processor", ["cortex-m0plus", "cortex-m4", "cortex-m55"])
@pytest.mark.parametrize("optimize", ["-O0", "-O2"])
def test_clang_compiles_it_for_microcontrollers_too(processor: str, optimize: str, tmp_path: Path) -> None:
    clang = shutil.which("clang")
    headers = subprocess.run(
        [COMPILER, "-print-file-name=../../../arm-none-eabi/include"], capture_output=True, text=True
    )
    folder = Path(headers.stdout.strip())
    if clang is None or not (folder / "math.h").is_file():
        pytest.skip("clang, or newlib's headers, are not installed")
    to_c(person_detector(), tmp_path / "model.c")
    target = ["--target=arm-none-eabi", "-mthumb", *PROCESSORS[processor].target, "-isystem", str(folder)]
    built = subprocess.run([clang, "-std=c99", optimize, *target, "-c", "model.c"], cwd=tmp_path, capture_output=True)
    assert built.returncode == 0, built.stderr.decode()
