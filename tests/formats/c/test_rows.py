"""Networks whose first layers are computed by rows: the same bits in less memory."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.support.random_models import random_int8_model, random_model, random_pixels

from mobilenets.architecture.catalog import CATALOG
from mobilenets.architecture.layers import Convolution, DepthwiseConvolution, Linear, Padding, PointwiseConvolution
from mobilenets.architecture.network import Network
from mobilenets.architecture.networks.mobilenet_v1 import mobilenet_v1
from mobilenets.benchmark.microcontroller.count import COMPILER, EMULATOR, PROCESSORS, count_instructions
from mobilenets.errors import FormatError
from mobilenets.formats.c.memory import memory_of
from mobilenets.formats.c.rows import chain_of, row_plan
from mobilenets.formats.c.run import run_c
from mobilenets.formats.c.write import PROJECTS, to_c
from mobilenets.formats.exporting import export
from mobilenets.model import reference
from mobilenets.model.folding import fold, folded_network
from mobilenets.model.model import Model

STACK = 1024


def awkward_network() -> Network:
    """Odd maps, uneven padding, windows of 5 and 3 with strides of 2, and channels that fill no vector."""
    shared: dict[str, Any] = {"bias": True}
    layers = (
        Convolution("a", ("input",), out_channels=7, kernel=5, stride=2, padding=Padding(1, 2, 0, 3), **shared),
        DepthwiseConvolution("b", ("a",), padding=Padding(1, 1, 1, 1), **shared),
        PointwiseConvolution("c", ("b",), out_channels=18, **shared),
        DepthwiseConvolution("d", ("c",), kernel=5, stride=2, padding=Padding(2, 1, 2, 1), **shared),
        Convolution("e", ("d",), out_channels=9, padding=Padding(0, 0, 0, 0), **shared),
        DepthwiseConvolution("f", ("e",), stride=2, padding=Padding(0, 1, 0, 1), **shared),
        Linear("classifier", ("f",), out_features=3, **shared),
    )
    return Network("awkward", 53, 39, layers, ("classifier",))


def network_named(name: str) -> Network:
    if name == "awkward":
        return awkward_network()
    architecture, _, size = name.partition("@")
    width, resolution = size.split("-")
    network = CATALOG[architecture](width_multiplier=float(width), resolution=int(resolution), classes=3)
    return folded_network(network)


def least_needed(model: Model, folder: Path, limit: int) -> int:
    """What the refusal of a limit that is too low says is needed at least."""
    with pytest.raises(FormatError, match="bytes of RAM are needed at least") as raised:
        to_c(model, folder / "model.c", max_ram=limit)
    return int(str(raised.value).partition(" ")[0])


@pytest.mark.parametrize(
    "name", ["awkward", "mobilenet_v1@0.25-65", "mobilenet_v2@0.35-48", "mobilenet_v3_small@0.35-64"]
)
def test_answers_are_the_same_bits_in_less_memory(name: str, tmp_path: Path) -> None:
    if shutil.which("cc") is None:
        pytest.skip("no C compiler is installed")
    model = random_int8_model(np.random.default_rng(0), network_named(name))
    pixels = random_pixels(np.random.default_rng(1), model.network, 2)
    whole = to_c(model, tmp_path / "model.c").ram_bytes + STACK
    least = least_needed(model, tmp_path, 2000)
    assert least < 0.8 * whole
    for limit in (least, (least + whole) // 2):
        found = to_c(model, tmp_path / "model.c", max_ram=limit)
        assert found.by_rows >= 2
        assert found.ram_bytes + STACK <= limit
        outputs = run_c(model, tmp_path / "model.c", pixels)
        for output, values in reference.run_reference(model, pixels).items():
            np.testing.assert_array_equal(outputs[output], values)
    assert to_c(model, tmp_path / "model.c", max_ram=whole).by_rows == 0


def test_no_row_is_made_twice_and_bands_hold_little_more_than_a_window() -> None:
    network = network_named("mobilenet_v1@0.25-96")
    chain = chain_of(network)
    for at_once in (1, 2, 8):
        plan = row_plan(network, chain[:4], at_once)
        for layer, calls in zip(chain, plan.calls, strict=False):
            assert sum(calls) == network.shapes[layer.name].height
        # what is left of the window before, and what comes in
        assert plan.bands[0] <= 2 + at_once
    assert [layer.name for layer in chain][:4] == ["stem", "block1.depthwise", "block1.pointwise", "block2.depthwise"]


def test_a_person_detector_needs_two_thirds_of_its_memory_for_a_tenth_more_instructions(tmp_path: Path) -> None:
    for program in (COMPILER, EMULATOR):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    network = mobilenet_v1(width_multiplier=0.25, resolution=96, classes=2)
    model = random_int8_model(np.random.default_rng(0), network)
    pixels = random_pixels(np.random.default_rng(1), model.network, 1)
    (expected,) = reference.run_reference(model, pixels).values()
    for processor, most in (("cortex-m4", 11_500_000), ("cortex-m55", 3_200_000), ("cortex-m0plus", 61_000_000)):
        found = count_instructions(model, pixels[0], processor, max_ram=24_000)
        np.testing.assert_array_equal(found.outputs["classifier"].ravel(), expected.ravel())
        assert found.instructions <= most
        assert found.ram_bytes + STACK <= 24_000
    assert memory_of(folded_network(network), integer=True).plan.size == 37_400


def test_the_stack_stays_below_a_kilobyte(tmp_path: Path) -> None:
    if shutil.which(COMPILER) is None:
        pytest.skip(f"{COMPILER} is not installed")
    model = random_int8_model(np.random.default_rng(0), network_named("mobilenet_v1@0.25-96"))
    to_c(model, tmp_path / "model.c", max_ram=24_000)
    for processor in ("cortex-m4", "cortex-m55"):
        flags = ["-O2", "-mthumb", *PROCESSORS[processor].target, "-fstack-usage"]
        subprocess.run([COMPILER, *flags, "-c", "model.c"], cwd=tmp_path, check=True)
        lines = [line.split("\t") for line in (tmp_path / "model.su").read_text().splitlines()]
        frames = {line[0].rpartition(":")[2].partition(".")[0]: int(line[1]) for line in lines}
        one, other = frames.pop("convolution"), frames.pop("depthwise")  # of which only one is at work
        assert sum(sorted([*frames.values(), max(one, other)])[-4:]) < STACK  # no more than four call each other


def test_what_does_not_fit_is_refused_with_what_is_needed(tmp_path: Path) -> None:
    network = network_named("mobilenet_v1@0.25-96")
    with pytest.raises(FormatError, match=r"\d+ bytes of RAM are needed at least, 1024 of them for the stack"):
        to_c(random_int8_model(np.random.default_rng(0), network), tmp_path / "model.c", max_ram=8000)
    with pytest.raises(FormatError, match="by rows in int8 only"):
        to_c(fold(random_model(np.random.default_rng(0), network)), tmp_path / "model.c", max_ram=24_000)
    assert not (tmp_path / "model.c").exists()
    model = random_int8_model(np.random.default_rng(0), network)
    with pytest.raises(FormatError, match="max_ram 'little' is not a size such as 24kB"):
        export(model, tmp_path / "model.c", max_ram="little")


@pytest.mark.parametrize("kind", PROJECTS)
def test_projects_and_the_example_read_rows(kind: str, tmp_path: Path) -> None:
    if shutil.which("cc") is None:
        pytest.skip("no C compiler is installed")
    model = random_int8_model(np.random.default_rng(0), network_named("mobilenet_v1@0.25-64"))
    exported = export(model, tmp_path / "detector", "c", project=kind, max_ram="16kB")
    assert exported.agreement is not None
    assert exported.agreement.largest_difference == 0
    assert "read_row" in (tmp_path / "detector" / "README.md").read_text(encoding="utf-8")
    strict = ["-std=c99", "-Wall", "-Wextra", "-pedantic", "-Werror", "-O2"]
    for source in (tmp_path / "detector").rglob("*.c"):
        subprocess.run(["cc", *strict, "-c", str(source), "-o", "/dev/null"], check=True)
    sketches = list((tmp_path / "detector").rglob("*.ino"))
    assert all("readRow" in sketch.read_text(encoding="utf-8") for sketch in sketches)
    if kind != "cmake":
        return
    to_c(model, tmp_path / "model.c", example=True, max_ram=16_000)
    subprocess.run(["cc", *strict, "main.c", "model.c", "-o", "main", "-lm"], cwd=tmp_path, check=True)
    pixels = random_pixels(np.random.default_rng(1), model.network, 1)
    Image.fromarray(pixels[0]).save(tmp_path / "image.ppm")
    ran = subprocess.run([tmp_path / "main", "image.ppm"], cwd=tmp_path, capture_output=True, text=True, check=True)
    scores = {line.split("\t")[1]: np.float32(line.split("\t")[0]) for line in ran.stdout.splitlines()[1:]}
    assert scores == dict(zip(model.labels, reference.run_reference(model, pixels)["classifier"][0], strict=True))
