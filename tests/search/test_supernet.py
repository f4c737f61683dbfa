"""Planning with a supernet: its subnets evaluated on images, with and without PyTorch at hand."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image
from tests.cli.conftest import Outcome
from tests.conftest import ROOT
from tests.support.profiles import quadratic_profile
from tests.support.random_models import random_model

from mobilenets.architecture.cost import cost
from mobilenets.architecture.networks.mobilenet_v1 import mobilenet_v1
from mobilenets.cli.main import main
from mobilenets.data.dataset import Dataset, load_dataset
from mobilenets.data.loading import prepare
from mobilenets.engine.evaluate import evaluate
from mobilenets.engine.predictor import Classifier
from mobilenets.errors import DataError, PlanningError
from mobilenets.model.file import save
from mobilenets.model.model import Model
from mobilenets.model.recalibration import recalibrated
from mobilenets.model.subnet import cut_subnet, extract_subnet, statistics_of
from mobilenets.search.budget import Budget
from mobilenets.search.candidates import Candidate
from mobilenets.search.plan import dataset_of, plan, subnet_candidates
from mobilenets.search.supernet import (
    Subnet,
    SubnetImages,
    candidates_in_precisions,
)
from mobilenets.tasks.classification import Classification

SIZES = ((0.25, 32), (0.5, 32), (0.5, 48))


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for label, colour in {"blue": (40, 60, 200), "green": (30, 190, 60), "red": (220, 40, 50)}.items():
        (folder / label).mkdir()
        for number in range(30):
            pixels = np.clip(rng.normal(colour, 40, (50, 60, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / label / f"{number}.png")
    return folder


@pytest.fixture(scope="module")
def dataset(photos: Path) -> Dataset:
    return load_dataset(photos)


@pytest.fixture(scope="module")
def supernet(dataset: Dataset) -> Model:
    """A random Model with the statistics of three subnets, as a search leaves it."""
    model = random_model(np.random.default_rng(1), mobilenet_v1(width_multiplier=0.5, resolution=48, classes=3))
    statistics = {}
    for width, side in SIZES:
        pixels = prepare(dataset.train, model.preprocessing, side, side).pixels
        narrow = recalibrated(cut_subnet(model, width_multiplier=width, resolution=side), pixels)
        statistics[width, side] = statistics_of(narrow)
    provenance = {"data": {"source": dataset.source, "fingerprint": dataset.fingerprint, "seed": 0}}
    return replace(model, task=Classification(dataset.labels), subnets=statistics, provenance=provenance)


def test_every_subnet_has_the_accuracy_of_its_own_model(supernet: Model, dataset: Dataset) -> None:
    candidates = subnet_candidates(supernet, dataset)
    assert [(one.width_multiplier, one.resolution) for one in candidates] == list(SIZES)
    for one in candidates:
        model = extract_subnet(supernet, one.width_multiplier, one.resolution)
        assert one.accuracy == evaluate(Classifier(model), dataset.validation).top1
        assert one.macs == cost(model.network).macs
        assert one.cost("latency_ms") > 0
        assert one.precision == "float32"


def test_a_size_without_statistics_gets_those_of_training_images(supernet: Model, dataset: Dataset) -> None:
    (one,) = subnet_candidates(supernet, dataset, sizes=[(0.35, 40)])
    pixels = prepare(dataset.train, supernet.preprocessing, 40, 40).pixels
    model = extract_subnet(supernet, 0.35, 40, pixels=pixels)
    assert one.accuracy == evaluate(Classifier(model), dataset.validation).top1


def test_int8_subnets_are_quantized_and_smaller(supernet: Model, dataset: Dataset) -> None:
    whole, integer = subnet_candidates(supernet, dataset, sizes=SIZES[:1], precisions=("float32", "int8"))
    assert (whole.precision, integer.precision) == ("float32", "int8")
    assert integer.file_bytes < 0.5 * whole.file_bytes
    assert integer.memory_bytes * 4 == whole.memory_bytes


def test_int8_is_tried_where_it_could_be_taken(supernet: Model, dataset: Dataset) -> None:
    def cost(width: float, side: int, precision: str) -> Candidate:
        """The larger the slower; all but the smallest are larger than 100 bytes."""
        return Candidate(width, side, precision, 0.0, width * side, 100 if (width, side) == SIZES[0] else 200, 1, 1)

    images = SubnetImages(dataset, supernet.preprocessing)
    # The second is slower than the first and no better; the third is the slowest and the best.
    subnets = {
        size: Subnet(extract_subnet(supernet, *size), share) for size, share in zip(SIZES, (0.5, 0.5, 0.9), strict=True)
    }

    def tried(budget: Budget, *, every: bool = False) -> list[tuple[float, int]]:
        found = candidates_in_precisions(subnets, ("float32", "int8"), cost, images, budget, every=every)
        assert [one.precision for one, _ in found[:3]] == ["float32"] * 3
        assert {(one.precision, model.precision) for one, model in found[3:]} == {("int8", "int8")}
        return [(one.width_multiplier, one.resolution) for one, _ in found[3:]]

    assert tried(Budget()) == [SIZES[0], SIZES[2]]
    assert tried(Budget(max_file_bytes=150, min_accuracy=0.9)) == [SIZES[0]]
    assert tried(Budget(max_latency_ms=20)) == [SIZES[0]]
    assert tried(Budget(max_file_bytes=10)) == [SIZES[0], SIZES[2]]  # nothing meets it; the nearest is to be named
    assert tried(Budget(), every=True) == list(SIZES)


def test_a_slower_but_smaller_subnet_is_tried_in_int8_where_size_is_what_counts(
    supernet: Model, dataset: Dataset
) -> None:
    def cost(width: float, side: int, precision: str) -> Candidate:
        """The first is the slowest and the smallest."""
        return Candidate(width, side, precision, 0.0, 1 / width, int(1000 * width), 1, 1)

    subnets = {
        size: Subnet(extract_subnet(supernet, *size), share) for size, share in zip(SIZES, (0.8, 0.9, 0.9), strict=True)
    }
    images = SubnetImages(dataset, supernet.preprocessing)
    found = candidates_in_precisions(subnets, ("int8",), cost, images, Budget(max_file_bytes=300))
    assert [(one.width_multiplier, one.resolution) for one, _ in found] == [SIZES[0]]


def test_latencies_may_come_from_another_machine(supernet: Model, dataset: Dataset) -> None:
    profile = quadratic_profile()
    with pytest.raises(PlanningError, match=r"covers resolution from 128"):
        subnet_candidates(supernet, dataset, sizes=SIZES[:1], profile=profile)
    (one,) = subnet_candidates(supernet, dataset, sizes=[(0.25, 128)], profile=profile)
    assert one.latency_ms == profile.latency_ms(0.25, 128, "float32", 1)


def test_what_cannot_be_evaluated_is_refused(supernet: Model, dataset: Dataset, photos: Path, tmp_path: Path) -> None:
    with pytest.raises(PlanningError, match="this Model is no supernet"):
        subnet_candidates(replace(supernet, subnets={}), dataset)
    with pytest.raises(PlanningError, match="does not say what it was trained on"):
        dataset_of(replace(supernet, provenance={}), None)
    other = tmp_path / "other"
    for image in photos.rglob("*.png"):
        (other / image.parent.name).mkdir(parents=True, exist_ok=True)
        if image.name != "3.png":
            (other / image.parent.name / image.name).write_bytes(image.read_bytes())
    with pytest.raises(DataError, match="is not what the Model was fitted to"):
        dataset_of(supernet, other)
    assert dataset_of(supernet, photos).fingerprint == dataset.fingerprint


def call(capfd: pytest.CaptureFixture[str], *arguments: object) -> Outcome:
    code = 0
    try:
        main([str(argument) for argument in arguments])
    except SystemExit as stop:
        code = int(stop.code or 0)
    return Outcome(code, *capfd.readouterr())


def test_the_command(supernet: Model, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    save(supernet, tmp_path / "supernet.safetensors")
    plan = ("plan", "--supernet", tmp_path / "supernet.safetensors", "--precision", "float32", "-q")
    found = call(capfd, *plan, "--max-macs", "2M", "--plot", tmp_path / "plot.svg", "--json").json
    assert len(found["candidates"]) == 3
    assert found["choice"]["macs"] <= 2_000_000
    assert "validation images of" in found["accuracy"]
    assert float(ElementTree.parse(tmp_path / "plot.svg").getroot().attrib["width"]) > 800
    printed = call(capfd, *plan, "--sizes", "0.3-40")
    assert "α 0.3 at 40 px, float32" in printed.out
    assert "'0.3x40' is not a list of WIDTH-RESOLUTION" in call(capfd, *plan, "--sizes", "0.3x40").err
    assert "smallest width that this Model was trained for is 0.25" in call(capfd, *plan, "--sizes", "0.1-40").err
    assert "--data, how it is read, and --sizes go with --supernet" in call(capfd, "plan", "--sizes", "0.3-40").err


def test_a_caller_plans_as_the_command_does(supernet: Model, tmp_path: Path) -> None:
    save(supernet, path := tmp_path / "supernet.safetensors")
    result = plan(Budget(max_macs=2_000_000), supernet=path, precisions=("float32",))
    assert len(result.candidates) == 3
    assert result.choice in result.frontier
    assert result.choice.macs <= 2_000_000
    assert result.to_json()["choice"]["macs"] == result.choice.macs
    published = plan(Budget(max_macs=42_000_000), device=quadratic_profile())
    assert (len(published.candidates), published.device) == (32, "a quadratic machine")
    assert published.choice.width_multiplier == 0.25
    with pytest.raises(PlanningError, match="data, reading and sizes are those of a supernet"):
        plan(sizes=[(0.25, 32)])


def test_it_plans_where_pytorch_is_not_installed(supernet: Model, tmp_path: Path) -> None:
    save(supernet, path := tmp_path / "supernet.safetensors")
    program = (
        "import sys; sys.modules['torch'] = None\n"
        "from mobilenets.cli.main import main\n"
        f"main(['plan', '--supernet', {str(path)!r}, '--sizes', '0.25-32,0.3-40', '--json', '-q'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONPATH": str(ROOT / "src")},
    )
    assert done.returncode == 0, done.stderr
    assert len(json.loads(done.stdout)["candidates"]) == 4
