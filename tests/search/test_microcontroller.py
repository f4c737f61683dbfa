"""Networks chosen for microcontrollers: what they are said to take is what their C files take."""

from __future__ import annotations

import shutil
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from tests.support.image_folders import write_tree
from tests.support.random_models import random_int8_model, random_network

from mobilenets.architecture.catalog import CATALOG, Specification
from mobilenets.architecture.networks.mobilenet_v1 import mobilenet_v1
from mobilenets.benchmark.microcontroller.count import COMPILER, EMULATOR, PROCESSORS, count_instructions
from mobilenets.engine.timing import random_pixels
from mobilenets.errors import PlanningError
from mobilenets.formats.c.memory import int8_footprint
from mobilenets.formats.c.write import to_c
from mobilenets.model.folding import folded_network
from mobilenets.search.budget import Budget
from mobilenets.search.candidates import PublishedCandidate
from mobilenets.search.devices import device_named
from mobilenets.search.measuring import synthetic_model
from mobilenets.search.microcontroller import Microcontroller, microcontrollers
from mobilenets.search.plan import plan, weights_within
from mobilenets.search.search import search
from mobilenets.training.settings import Settings


def microcontroller(name: str, budget: Budget = Budget()) -> Microcontroller:
    found = device_named(name, budget)
    assert isinstance(found, Microcontroller)
    return found


def test_memory_is_told_from_the_network_alone(tmp_path: Path) -> None:
    for seed in range(12):
        rng = np.random.default_rng(seed)
        model = random_int8_model(rng, random_network(rng))
        assert int8_footprint(model.network) == to_c(model, tmp_path / "model.c")
    for name in ("mobilenet_v1", "mobilenet_v2", "mobilenet_v3_small", "mobilenet_v4_conv_small"):
        network = CATALOG[name](width_multiplier=0.25, resolution=32, classes=2)
        assert int8_footprint(network) == to_c(synthetic_model(network, "int8"), tmp_path / "model.c")


@pytest.mark.parametrize("processor", ["cortex-m0plus", "cortex-m4", "cortex-m55"])
@pytest.mark.parametrize("ram", [None, 24_000])
def test_what_is_predicted_is_what_an_emulator_counts(processor: str, ram: int | None) -> None:
    for program in (COMPILER, EMULATOR):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    network = mobilenet_v1(width_multiplier=0.3, resolution=72, classes=4)  # neither fitted nor held out
    model = synthetic_model(network, "int8")
    predicted = microcontroller(processor, Budget(max_memory_bytes=ram)).cost_of(network)
    counted = count_instructions(model, random_pixels(model.network)[0], processor, max_ram=ram)
    assert predicted.instructions == pytest.approx(counted.instructions, rel=0.04)
    assert predicted.flash_bytes == pytest.approx(counted.flash_bytes, abs=1000)
    assert predicted.memory_bytes == counted.ram_bytes + 1024
    assert ram is None or predicted.memory_bytes <= ram


def test_every_emulated_processor_has_a_profile_that_says_how_far_it_errs() -> None:
    assert list(microcontrollers()) == list(PROCESSORS)
    for name, device in microcontrollers().items():
        assert device.device == PROCESSORS[name].title
        assert 0 < device.median_error <= device.largest_error < 0.05
        assert "instructions counted in QEMU" in device.how_counted
        assert "not cycles" in device.how_counted


def test_a_plan_for_a_microcontroller_meets_its_limits_with_small_resolutions() -> None:
    budget = Budget(max_flash_bytes=256 * 1024, max_memory_bytes=32 * 1024, max_instructions=10_000_000)
    found = plan(budget, device="cortex-m4", classes=2, family="mobilenet_v1")
    choice = found.choice
    assert isinstance(choice, PublishedCandidate)
    assert (choice.width_multiplier, choice.precision, choice.estimated) == (0.25, "int8", True)
    assert found.compared_by == "instructions"
    assert {one.resolution for one in found.candidates} >= {32, 48, 64, 80, 96, 128}
    network = Specification("mobilenet_v1", 0.25, choice.resolution).network(classes=2)
    taken = microcontroller("cortex-m4", budget).cost_of(network)
    assert asdict(taken).items() <= asdict(choice).items()
    assert found.to_json()["counted"].startswith("instructions counted in QEMU")
    small = weights_within(Budget(max_flash_bytes=600_000), device="cortex-m4", family="mobilenet_v1")
    assert {one.specification.width_multiplier for one in small} == {0.25}


def test_the_knee_and_the_quickest_are_those_of_instructions() -> None:
    knee = plan(device="cortex-m55", family="mobilenet_v1", classes=10)
    assert knee.choice in knee.frontier
    quickest = plan(Budget(min_accuracy=0.4), device="cortex-m55", family="mobilenet_v1", classes=10)
    enough = [one.cost("instructions") for one in quickest.candidates if one.accuracy >= 0.4]
    assert quickest.choice.cost("instructions") == min(enough)


@pytest.mark.parametrize(
    ("budget", "arguments", "message"),
    [
        (Budget(max_latency_ms=5), {"device": "cortex-m4"}, "instructions are known and not milliseconds"),
        (
            Budget(max_flash_bytes=1000),
            {},
            r"max_flash_bytes=1000 limits a microcontroller: say which, such as device=",
        ),
        (Budget(max_instructions=1000), {}, "max_instructions=1000 limits a microcontroller"),
        (Budget(), {"device": "cortex-m9"}, "no device is called 'cortex-m9': known are cortex-m0plus"),
        (Budget(), {"device": "cortex-m4", "precisions": "float32"}, "counted in int8, not in float32"),
        (Budget(), {"device": "cortex-m4", "threads": 2}, "Cortex-M4 has one core: leave threads=2 out"),
        (
            Budget(max_flash_bytes=32_000),
            {"device": "cortex-m4", "classes": 2, "family": "mobilenet_v1"},
            r"the nearest is keras:0\.25.* M instructions, \d+ kB of flash, \d+ kB of RAM",
        ),
    ],
)
def test_what_a_microcontroller_does_not_have_is_said(
    budget: Budget, arguments: dict[str, object], message: str
) -> None:
    with pytest.raises(PlanningError, match=message):
        plan(budget, **arguments)  # type: ignore[arg-type]


def test_a_search_fits_what_the_c_file_really_takes(tmp_path: Path) -> None:
    write_tree(tmp_path / "images", {"one": 30, "two": 30})
    budget = Budget(max_flash_bytes=120_000, max_memory_bytes=12_000, max_instructions=3_000_000)
    settings = Settings(resolution=48, epochs=1, threads=1, weights=None)
    found = search(tmp_path / "images", tmp_path / "out", budget, settings, device="cortex-m4")
    assert found.search is not None
    choice = found.search.choice
    assert choice.width_multiplier < 0.25  # what no usual width meets, a narrower one does
    assert found.model.precision == "int8"
    assert not (tmp_path / "out" / "device.json").exists()
    written = to_c(found.model, tmp_path / "model.c", max_ram=12_000)
    assert written.ram_bytes + 1024 == choice.memory_bytes <= 12_000
    assert written.flash_bytes < choice.flash_bytes <= 120_000  # type: ignore[operator]
    assert choice.cost("instructions") <= 3_000_000
    assert folded_network(found.model.network) == found.model.network
