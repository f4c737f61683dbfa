"""A search: what is trained, what is chosen, that it repeats itself, and what it refuses at once."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.support.interruption import Interruption
from tests.support.random_models import random_model

from mobilenets.architecture.networks.mobilenet_v1 import mobilenet_v1
from mobilenets.base.progress import Progress, ProgressTask
from mobilenets.compression.config import QuantizationConfig
from mobilenets.compression.quality import QualityReport
from mobilenets.compression.result import CompressionResult, Method
from mobilenets.data.dataset import Dataset
from mobilenets.engine.evaluate import evaluate
from mobilenets.engine.predictor import Classifier
from mobilenets.errors import CompressionError, DataError, PlanningError, TrainingError
from mobilenets.model.file import load
from mobilenets.model.model import Model
from mobilenets.model.subnet import extract_subnet
from mobilenets.reports.run_report import report_run
from mobilenets.search.budget import Budget
from mobilenets.search.candidates import Candidate, search_resolutions
from mobilenets.search.finishing import finish
from mobilenets.search.profile import EIGHTHS, DeviceProfile, Point
from mobilenets.search.record import SearchRecord
from mobilenets.search.result import SearchResult
from mobilenets.search.search import search
from mobilenets.tasks.metrics import Share
from mobilenets.training import supernet as supernet_training
from mobilenets.training.quantize import quantize_fitted
from mobilenets.training.recipe import DEFAULT
from mobilenets.training.run import TrainingRun
from mobilenets.training.settings import Settings
from mobilenets.training.supernet import TrainedModel, fine_tuning_epochs

SMALL = Settings(width=0.375, resolution=40, epochs=4, threads=1, recipe=replace(DEFAULT, batch=16), weights=None)


def machine() -> DeviceProfile:
    """One on which int8 takes a third, and a class nothing."""
    points = tuple(
        Point(width, side, precision, 1, 1e-4 * (width * side) ** 2 / divisor, 1e-4 * (width * side) ** 2 / divisor, 3)
        for width in EIGHTHS
        for side in (32, 40)
        for precision, divisor in (("float32", 1), ("int8", 3))
    )
    return DeviceProfile("a quadratic machine", "none", points)


def goal(precision: str = "float32", **limits: Any) -> dict[str, Any]:
    """What is searched for: the arguments of a search."""
    return {"budget": Budget(**limits), "precisions": (precision,), "device": machine()}


@pytest.fixture(scope="module")
def fitted(images: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[SearchResult, Path]:
    folder = tmp_path_factory.mktemp("fitted") / "run"
    # α 0.25 and 0.375 at 32 and 40 pixels take 0.0064, 0.01, 0.0144 and 0.0225 ms.
    return search(images, folder, **goal(max_latency_ms=0.012), settings=SMALL), folder


def test_what_meets_the_budget_is_chosen_from_subnets_of_one_network(fitted: tuple[SearchResult, Path]) -> None:
    result, folder = fitted
    record = result.search
    assert (record.widest, record.largest) == (0.25, 40)  # nothing of width 0.375 is affordable
    assert {(one.width_multiplier, one.resolution) for one in record.candidates} == {(0.25, 32), (0.25, 40)}
    assert record.choice.cost("latency_ms") <= 0.012
    assert record.choice.accuracy == max(one.accuracy for one in record.candidates if one.cost("latency_ms") <= 0.012)
    assert record.reason == ("of 2 networks with at most 0.012 ms it is the most accurate on the validation images")
    assert (record.validation_images, record.latency) == (9, None)  # another machine's latency is not measured here
    assert result.model.network.height == record.choice.resolution
    assert [phase.name for phase in result.phases] == ["latency", "supernet", "frontier", "fine-tune", "test"]
    tuned = {40: 5, 32: 10}[record.choice.resolution]  # as many Mult-Adds as five epochs of the largest
    assert [len(phase.history) for phase in result.phases] == [0, 12, 0, tuned, 0]
    assert result.phases[1].best_epoch == 11, "the last epoch of the supernet is kept"
    assert sorted(path.name for path in folder.iterdir()) == [
        "device.json",
        "metrics.json",
        "model.safetensors",
        "supernet.safetensors",
    ]


def test_the_folder_holds_the_model_that_was_tested_and_the_record(fitted: tuple[SearchResult, Path]) -> None:
    result, folder = fitted
    model = load(folder / "model.safetensors")
    again = evaluate(Classifier(model), result.dataset.test)
    assert again.to_json()["confusion"] == result.evaluation.to_json()["confusion"]
    metrics = json.loads((folder / "metrics.json").read_text())
    assert SearchRecord.from_json(metrics["search"]) == result.search
    assert metrics["validation_top1"] == model.provenance["metrics"]["validation_top1"]
    assert DeviceProfile.load(folder / "device.json") == machine()
    expected = result.search.choice.file_bytes  # a file must not turn out larger than a budget allowed
    assert 0.97 * expected <= (folder / "model.safetensors").stat().st_size <= expected


def test_the_supernet_is_kept_and_has_its_subnets(fitted: tuple[SearchResult, Path]) -> None:
    result, folder = fitted
    supernet = load(folder / "supernet.safetensors")
    assert set(supernet.subnets) == {(0.25, 32), (0.25, 40)}
    found = {(one.width_multiplier, one.resolution): one.accuracy for one in result.search.candidates}
    for place, accuracy in found.items():
        assert evaluate(Classifier(extract_subnet(supernet, *place)), result.dataset.validation).top1 == accuracy


def test_the_same_seed_and_device_give_the_same_file(
    fitted: tuple[SearchResult, Path], images: Path, tmp_path: Path
) -> None:
    search(images, tmp_path, **goal(max_latency_ms=0.012), settings=SMALL)
    for name in ("model.safetensors", "supernet.safetensors"):
        assert (tmp_path / name).read_bytes() == (fitted[1] / name).read_bytes(), name


@pytest.mark.parametrize("phase", ["supernet", "fine-tune"])
def test_an_interrupted_search_goes_on_to_the_same_model(
    phase: str, fitted: tuple[SearchResult, Path], images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MOBILENETS_CHECKPOINT_SECONDS", "0")
    stop = Interruption(run={"supernet": 1, "fine-tune": 2}[phase])
    with pytest.raises(KeyboardInterrupt):
        search(images, tmp_path, **goal(max_latency_ms=0.012), settings=SMALL, progress=stop)
    with pytest.raises(TrainingError, match="holds an unfinished run"):
        search(images, tmp_path, **goal(max_latency_ms=0.012), settings=SMALL)
    with pytest.raises(TrainingError, match="was begun with"):
        search(images, tmp_path, **goal(max_latency_ms=0.012), settings=replace(SMALL, seed=1), resume=True)
    search(images, tmp_path, **goal(max_latency_ms=0.012), settings=SMALL, resume=True)
    assert (tmp_path / "model.safetensors").read_bytes() == (fitted[1] / "model.safetensors").read_bytes()
    assert not list(tmp_path.glob("*checkpoint*"))


def test_where_int8_loses_too_much_another_is_chosen_in_float32(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(model: Model, dataset: Dataset, **options: Any) -> CompressionResult:
        made = quantize_fitted(model, dataset, epochs=1)
        images = len(dataset.validation)
        lost = replace(
            made.report, top1_before=Share(images, images), top1_after=Share(0, images), lost=images, gained=0
        )
        return replace(made, report=lost)

    monkeypatch.setattr("mobilenets.search.from_scratch.quantize_fitted", refused)
    wanted = goal(max_latency_ms=0.02) | {"precisions": ("float32", "int8")}
    settings = replace(SMALL, width=0.25, epochs=1)
    result = search(images, None, **wanted, settings=settings)
    assert {one.precision for one in result.search.candidates} == {"float32", "int8"}
    assert result.model.precision == result.search.choice.precision == "float32"
    # Where int8 is all that may be, the Model that there is is written, and so is the one that it was made from.
    result = search(images, tmp_path, **goal("int8", max_latency_ms=0.02), settings=settings)
    assert "not good enough" in str(result.refusal)
    assert "no network in float32 meets the budget" in str(result.refusal)
    assert load(tmp_path / "model.safetensors").precision == "int8"
    assert load(tmp_path / "model.float32.safetensors").precision == "float32"
    assert json.loads((tmp_path / "metrics.json").read_text())["refusal"] == result.refusal


def test_a_choice_is_finished_by_functions_of_values() -> None:
    """Neither training nor quantizing: what they would give is passed in."""
    one = Candidate(0.5, 64, "int8", 0.9, 1.0, 1000, 10**6, 1000)
    other = replace(one, precision="float32", accuracy=0.8)
    model = random_model(np.random.default_rng(0), mobilenet_v1(width_multiplier=0.25, resolution=32, classes=3))
    asked: list[Candidate] = []

    def fine_tune(choice: Candidate) -> TrainedModel:
        asked.append(choice)
        return TrainedModel(model, [], -1, TrainingRun(epochs=1), 0.85)

    report = QualityReport(Share(5, 100), Share(0, 0), 3.0, Share(90, 100), Share(5, 100))
    nothing: Any = None  # no images were chosen
    lost = CompressionResult(model, report, QuantizationConfig(), Method.TRAINED, nothing, next_steps=("more images",))

    def refuse(model: Model) -> CompressionResult:
        return lost

    budget = Budget(max_latency_ms=2)
    finished = finish([one, other], budget, fine_tune, refuse)
    assert asked == [one, other]
    assert (finished.choice, finished.model, finished.validation_primary) == (other, model, 0.85)
    assert [phase.name for phase in finished.phases] == ["fine-tune", "fine-tune"]
    assert finished.reason.startswith("of 1 network with at most 2 ms")
    alone = finish([one], budget, fine_tune, refuse)
    assert (alone.choice, alone.model, alone.fine_tuned.model) == (one, lost.model, model)
    assert "top-1 falls by 85.00 points" in str(alone.refusal)

    def fail(model: Model) -> CompressionResult:
        raise CompressionError("its activations are NaN")

    broken = finish([one], budget, fine_tune, fail)
    assert broken.model is model, "what was trained is never lost"
    assert "there is no int8 Model: its activations are NaN. The float32 Model is kept" in str(broken.refusal)
    assert finish([one, other], budget, fine_tune, fail).choice == other
    slow = replace(other, latency_ms=3.0)  # nothing in float32 that meets the budget
    assert finish([one, slow], budget, fine_tune, refuse).refusal == alone.refusal


def test_a_subnet_that_fine_tuning_makes_no_better_is_kept_and_recorded_as_its_start(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supernet_training, "is_better", lambda *scores: True)
    result = search(
        images, tmp_path / "run", **goal(max_latency_ms=0.007), settings=replace(SMALL, width=0.25, epochs=1)
    )
    choice, metrics = result.search.choice, json.loads((tmp_path / "run" / "metrics.json").read_text())
    start = extract_subnet(load(tmp_path / "run" / "supernet.safetensors"), 0.25, choice.resolution)
    for name, value in start.parameters.items():
        np.testing.assert_array_equal(result.model.parameters[name], value, err_msg=name)
    assert [phase["best_epoch"] for phase in metrics["phases"] if phase["epochs"]] == [3, 0]
    assert (result.best_epoch, metrics["best_epoch"], result.model.provenance["best_epoch"]) == (-1, 0, 0)
    assert metrics["validation_top1"] == choice.accuracy


def test_limits_that_are_computed_need_no_latency(images: Path, tmp_path: Path) -> None:
    budget = Budget(max_memory_bytes=60_000, max_file_bytes=2_000_000)
    result = search(images, tmp_path / "run", budget, replace(SMALL, width=0.25, epochs=1))
    record = result.search
    assert {one.latency_ms for one in record.candidates} == {None}
    assert (record.device, record.latency) == (None, None)
    assert record.choice.memory_bytes <= 60_000
    assert {one.precision for one in record.candidates} == {"float32", "int8"}
    assert not (tmp_path / "run" / "device.json").exists()
    assert SearchRecord.from_json(json.loads((tmp_path / "run" / "metrics.json").read_text())["search"]) == record
    page = report_run(result, tmp_path / "run").read_text(encoding="utf-8")
    assert "The budget does not limit latency, so none was measured." in page
    assert "kB of activations" in page
    assert "60000B" in page, "the command that repeats the run"
    assert "<span>--threads</span>" not in page


# What is refused before any training ----------------------------------------------------------------------------------


def test_a_search_from_scratch_ends_in_time_with_the_best_so_far(images: Path, tmp_path: Path) -> None:
    settings = replace(SMALL, epochs=2000, time=3.0)
    result = search(images, tmp_path / "out", Budget(max_macs=1_000_000), settings, precisions="float32")
    assert len(result.history) < fine_tuning_epochs(2000, result.model.network, result.model.network) // 2
    assert (tmp_path / "out" / "model.safetensors").exists()
    assert result.search.choice.macs <= 1_000_000


def test_a_search_from_scratch_whose_time_is_over_at_once_has_a_model_within_the_budget(
    images: Path, tmp_path: Path
) -> None:
    said: list[str] = []

    class Notes(Progress):
        """Keeps what is said."""

        def note(self, message: str) -> None:
            """Keep a line."""
            said.append(message)

    settings = replace(SMALL, epochs=2000, time=0.05)
    budget = Budget(max_macs=3_000_000)
    result = search(images, tmp_path / "out", budget, settings, precisions="int8", progress=Notes())
    assert load(tmp_path / "out" / "model.safetensors").precision == "int8"
    assert budget.meets(result.search.choice)
    assert len([one for one in result.search.candidates if one.precision == "int8"]) == 1
    assert any(re.fullmatch(r"\d+ subnets? (is|are) not evaluated: the time for them is over", line) for line in said)


def test_an_accuracy_that_no_subnet_reaches_is_said_with_the_way_to_go_on(images: Path) -> None:
    told = r"reaches 100.0 %; the best is .* before it is fine-tuned; resume=True with a lower goal"
    with pytest.raises(PlanningError, match=told):
        search(images, None, **goal(min_accuracy=1.0), settings=replace(SMALL, width=0.25, epochs=1))


class Untrained(Progress):
    """Fails where training begins: what is refused must be refused before."""

    @contextmanager
    def task(self, description: str, total: float, unit: str = "") -> Iterator[ProgressTask]:
        assert description != "training"
        yield ProgressTask()


UNTRAINED = Untrained()


@pytest.mark.parametrize(
    ("limits", "nearest"),
    [
        ({"max_latency_ms": 0.001}, r"α 0\.25 at 32 px, float32: 0\.0064 ms"),
        ({"max_macs": 1000}, r"α 0\.25 at 32 px"),
        ({"max_file_bytes": 1000}, r"α 0\.25 at \d+ px.* kB"),
    ],
)
def test_a_budget_that_nothing_meets_names_the_nearest(
    limits: dict[str, Any], nearest: str, images: Path, tmp_path: Path
) -> None:
    with pytest.raises(PlanningError, match=f"nothing meets the budget; the nearest is {nearest}"):
        search(images, tmp_path / "out", **goal(**limits), settings=SMALL, progress=UNTRAINED)
    assert not (tmp_path / "out").exists()


def test_a_class_that_is_too_small_to_choose_by_is_said_with_what_is_needed(images: Path, tmp_path: Path) -> None:
    for path in images.rglob("*.png"):
        if path.parent.name != "red" or int(path.stem) < 20:
            (tmp_path / "data" / path.parent.name).mkdir(parents=True, exist_ok=True)
            (tmp_path / "data" / path.parent.name / path.name).write_bytes(path.read_bytes())
    with pytest.raises(DataError, match=r"class 'red' has 20 images, 2 of them for validation; .* 30 images"):
        search(tmp_path / "data", None, **goal(max_latency_ms=0.02), settings=SMALL, progress=UNTRAINED)


def test_what_a_search_cannot_do_is_refused(images: Path) -> None:
    with pytest.raises(TrainingError, match=r"smallest width that is trained is 0\.25; 0\.2 is below it"):
        search(images, None, **goal(), settings=replace(SMALL, width=0.2), progress=UNTRAINED)
    with pytest.raises(TrainingError, match="met by subnets, and squeezenet has none"):
        search(images, None, **goal(), settings=replace(SMALL, architecture="squeezenet"), progress=UNTRAINED)
    with pytest.raises(PlanningError, match="covers resolution from 32 to 40, not 64"):
        search(images, None, **goal(), settings=replace(SMALL, resolution=64), progress=UNTRAINED)


def test_resolutions_have_the_proportions_of_the_published_ones() -> None:
    assert search_resolutions(224) == (224, 192, 160, 128)
    assert search_resolutions(128) == (128, 112, 96, 80)
    assert search_resolutions(96) == (96, 80, 72, 56)
    assert search_resolutions(56) == (56, 48, 40, 32)
    assert search_resolutions(33) == (33, 32)


@pytest.mark.parametrize(("subnet", "epochs"), [((1.0, 64), 12), ((1.0, 48), 20), ((0.5, 64), 47), ((0.25, 32), 120)])
def test_a_small_subnet_is_fine_tuned_for_longer(subnet: tuple[float, int], epochs: int) -> None:
    width, side = subnet
    assert (
        fine_tuning_epochs(10, mobilenet_v1(resolution=64), mobilenet_v1(width_multiplier=width, resolution=side))
        == epochs
    )
