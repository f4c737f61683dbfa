"""A search that begins from published weights: its steps, each alone, and the whole."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.support.interruption import Interruption
from tests.support.published import fill_cache
from tests.support.random_models import random_model

from mobilenets.architecture.catalog import Specification
from mobilenets.base.progress import Progress
from mobilenets.data.dataset import Dataset, load_dataset
from mobilenets.engine.evaluate import evaluate
from mobilenets.engine.predictor import Classifier
from mobilenets.errors import FormatError, ModelFileError, PlanningError, TrainingError
from mobilenets.model.file import load, save
from mobilenets.model.model import Model
from mobilenets.model.provenance import Provenance
from mobilenets.reports.run_report import report_run
from mobilenets.search.budget import Budget
from mobilenets.search.contenders import Contender, Pretrained, Started, contenders_of, with_prices
from mobilenets.search.from_weights import PreparedImages, with_heads, with_tuning
from mobilenets.search.pretrained import pretrained_weights
from mobilenets.search.record import SearchRecord
from mobilenets.search.result import SearchResult
from mobilenets.search.search import search
from mobilenets.training.recipe import DEFAULT
from mobilenets.training.run import TrainingRun
from mobilenets.training.settings import Settings
from mobilenets.training.supernet import TrainedModel


def pretrained(name: str = "mobilenet_v1", width: float = 0.25, seed: int = 0) -> Model:
    network = Specification(name, width, 64).network(classes=7)
    return random_model(np.random.default_rng(seed), network)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of Models that were trained for other classes."""
    folder = tmp_path_factory.mktemp("weights")
    save(pretrained(), folder / "v1.safetensors")
    save(pretrained("mobilenet_v2", 0.375, seed=1), folder / "v2.safetensors")
    return folder


def settings(weights: Any, **others: Any) -> Settings:
    recipe = replace(DEFAULT, batch=16)
    return Settings(resolution=40, epochs=2, threads=1, recipe=recipe, weights=weights, **others)


@pytest.fixture(scope="module")
def fitted(images: Path, weights: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[SearchResult, Path]:
    folder = tmp_path_factory.mktemp("fitted") / "run"
    return search(images, folder, Budget(max_macs=2_000_000), settings(weights)), folder


class Notes(Progress):
    """Keeps what is said, and what the folder holds just then."""

    def __init__(self, folder: Path) -> None:
        self.notes: list[str] = []
        self._file = folder / "model.safetensors"
        self.first: Model | None = None

    def note(self, message: str) -> None:
        """Keep a line."""
        self.notes.append(message)
        if message.startswith("first usable Model"):
            self.first = load(self._file)


def tried(result: SearchResult) -> list[Started]:
    """What was tried, all of it begun from weights."""
    found = [one for one in (*result.search.candidates, result.search.choice) if isinstance(one, Started)]
    assert len(found) == len(result.search.candidates) + 1
    return found


# The whole ------------------------------------------------------------------------------------------------------------


def test_networks_are_told_apart_and_the_choice_is_fine_tuned(fitted: tuple[SearchResult, Path]) -> None:
    result, folder = fitted
    *candidates, choice = tried(result)
    assert [phase.name for phase in result.phases[:4]] == ["latency", "heads", "short", "fine-tune"]
    assert result.phases[-1].name == "test"
    assert {one.weights for one in candidates} == {"v1.safetensors", "v2.safetensors"}
    assert {one.resolution for one in candidates} == {40, 32}
    assert all(one.head_top1 is not None for one in candidates)
    assert {one.stage for one in candidates} == {"head", "tuned"}
    assert len({one.label for one in candidates if one.stage == "tuned"}) == 3
    assert choice.macs <= 2_000_000
    assert result.search.device is None  # nothing limits latency
    assert result.model.network.height == choice.resolution
    assert result.model.network.name == choice.architecture
    assert result.model.labels == ("blue", "green", "red")
    assert Provenance.of(result.model).training.weights == choice.weights
    expected = {"metrics.json", "model.safetensors"} | ({"model.float32.safetensors"} if result.float_model else set())
    assert {path.name for path in folder.iterdir()} == expected


def test_what_was_chosen_learns(images: Path, weights: Path) -> None:
    # Weights that nobody trained take some time to learn anything.
    result = search(images, None, Budget(max_macs=2_000_000), replace(settings(weights), epochs=60))
    assert result.evaluation.primary.value > 0.8


def test_the_folder_holds_the_model_that_was_tested_and_the_record(fitted: tuple[SearchResult, Path]) -> None:
    result, folder = fitted
    again = evaluate(Classifier(load(folder / "model.safetensors")), result.dataset.test)
    assert again.to_json()["confusion"] == result.evaluation.to_json()["confusion"]
    metrics = json.loads((folder / "metrics.json").read_text())
    assert SearchRecord.from_json(metrics["search"]) == result.search


def test_the_same_seed_gives_the_same_file(
    fitted: tuple[SearchResult, Path], images: Path, weights: Path, tmp_path: Path
) -> None:
    search(images, tmp_path, Budget(max_macs=2_000_000), settings(weights))
    assert (tmp_path / "model.safetensors").read_bytes() == (fitted[1] / "model.safetensors").read_bytes()


@pytest.mark.parametrize("run", [2, 4])
def test_an_interrupted_search_goes_on_to_the_same_model(
    run: int,
    fitted: tuple[SearchResult, Path],
    images: Path,
    weights: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MOBILENETS_CHECKPOINT_SECONDS", "0")
    wanted = Budget(max_macs=2_000_000)
    with pytest.raises(KeyboardInterrupt):
        search(images, tmp_path, wanted, settings(weights), progress=Interruption(run=run))
    with pytest.raises(TrainingError, match="holds an unfinished run"):
        search(images, tmp_path, wanted, settings(weights))
    search(images, tmp_path, wanted, settings(weights), resume=True)
    assert (tmp_path / "model.safetensors").read_bytes() == (fitted[1] / "model.safetensors").read_bytes()
    assert not list(tmp_path.glob("*checkpoint*"))


def test_a_search_that_goes_on_in_a_limited_time_ends_with_the_network_that_it_was_training(
    fitted: tuple[SearchResult, Path], images: Path, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MOBILENETS_CHECKPOINT_SECONDS", "0")
    wanted = Budget(max_macs=2_000_000)
    with pytest.raises(KeyboardInterrupt):
        search(images, tmp_path, wanted, settings(weights), progress=Interruption(run=4))
    assert list(tmp_path.glob("full-*"))
    notes = Notes(tmp_path)
    result = search(images, tmp_path, wanted, settings(weights, time=0.05), resume=True, progress=notes)
    assert (result.search.choice.width_multiplier, result.search.choice.resolution) == (
        fitted[0].search.choice.width_multiplier,
        fitted[0].search.choice.resolution,
    )
    assert any("was chosen before: the time is for its training" in line for line in notes.notes)
    assert not list(tmp_path.glob("*checkpoint*"))


def test_int8_is_what_comes_of_int8(images: Path, weights: Path, tmp_path: Path) -> None:
    notes = Notes(tmp_path)
    result = search(
        images,
        tmp_path,
        Budget(max_macs=2_000_000),
        replace(settings(weights / "v1.safetensors"), resolution=32, epochs=24),  # 40 steps at least
        precisions="int8",
        progress=notes,
    )
    assert notes.first is not None, "there is something to use before training begins"
    assert (notes.first.precision, notes.first.labels) == ("int8", result.model.labels)
    assert any("within the budget to be told apart" in line and "at most" in line for line in notes.notes)
    assert load(tmp_path / "model.safetensors").precision == "int8"
    whole = load(tmp_path / "model.float32.safetensors")
    assert whole.precision == "float32"
    # The validation images joined, so they say nothing of the temperature any more: it is that of before.
    assert result.model.provenance["validation_joined"] == 17
    assert result.model.task == whole.task
    assert result.search.choice.precision == "int8"


def test_a_time_is_kept_and_ends_with_a_model(images: Path, weights: Path) -> None:
    result = search(images, None, Budget(max_macs=2_000_000), replace(settings(weights, time=4.0), epochs=200))
    assert len(result.history) < 200
    assert result.model.labels == ("blue", "green", "red")
    assert result.evaluation.images == 9


def test_where_the_time_is_over_at_once_every_stage_is_shortened_and_said(
    images: Path, weights: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    notes = Notes(folder)
    hurried = replace(settings(weights, time=0.05), epochs=200)
    result = search(images, folder, Budget(max_macs=2_000_000), hurried, precisions="int8", progress=notes)
    assert result.history == []
    assert result.best_epoch == -1
    assert result.model.precision == load(folder / "model.safetensors").precision == "int8"
    assert result.search.choice.macs <= 2_000_000
    short = " ".join(notes.notes)
    assert "networks are left out: the time for them is over" in short
    assert "no time to train the whole network: the classifier on its features is kept" in short
    assert "8 images calibrate int8, of 128: the time is short" in short
    assert not list(folder.glob("*checkpoint*"))
    assert "There was no time to train the whole network" in report_run(result, folder, seconds=0.0).read_text()


def test_an_accuracy_out_of_reach_ends_with_the_best_model_and_says_so(images: Path) -> None:
    goal = Budget(max_macs=2_000_000, min_accuracy=1.0)
    model = pretrained()
    silent = dict(model.parameters) | {
        name: np.zeros_like(value) for name, value in model.parameters.items() if name == "block13.pointwise.weight"
    }
    blind = replace(settings(model.with_parameters(silent)), epochs=1, resolution=32)
    result = search(images, None, goal, blind, precisions="float32")
    assert "is the best that was found; 100.0 % was asked" in str(result.refusal)
    assert result.model.labels == ("blue", "green", "red")


def test_weights_from_the_cache_are_taken_by_themselves(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MOBILENETS_CACHE", str(tmp_path / "cache"))
    fill_cache(tmp_path, "keras:0.25-224")
    result = search(
        images,
        None,
        Budget(max_macs=1_000_000),
        replace(settings("auto"), width=0.25, resolution=32),
        precisions="float32",
    )
    assert {one.weights for one in tried(result)} == {"keras:0.25-224"}
    assert str(result.search.choice) == "keras:0.25-224 at 32 px, float32"


def test_no_weights_at_all_train_from_scratch(images: Path) -> None:
    small = replace(settings("none"), width=0.25, resolution=32, epochs=1)
    result = search(images, None, Budget(max_macs=1_000_000), small, precisions="float32")
    assert [phase.name for phase in result.phases][:2] == ["latency", "supernet"]


# The steps ------------------------------------------------------------------------------------------------------------


def contenders(*sources: Pretrained, sides: tuple[int, ...] = (40, 32)) -> list[Contender]:
    found = [one for source in sources for one in contenders_of(source, sides, classes=3)]
    return [with_prices(one, None, ("float32", "int8"), 1) for one in found]


@pytest.fixture(scope="module")
def dataset(images: Path) -> Dataset:
    return load_dataset(images)


def test_heads_are_judged_until_the_time_is_over_and_one_at_least(dataset: Dataset, tmp_path: Path) -> None:
    entered = contenders(Pretrained("one", pretrained()), Pretrained("two", pretrained(seed=3)))
    judged = with_heads(entered, PreparedImages(dataset))
    assert len(judged) == 4
    assert all(0.5 < candidate.accuracy <= 1 for one in judged for candidate in one.candidates)
    assert all(candidate.head_top1 == candidate.accuracy for one in judged for candidate in one.candidates)
    notes = Notes(tmp_path)
    few = with_heads(entered, PreparedImages(dataset), over=lambda: True, progress=notes)
    assert [one.network.height for one in few] == [40]
    assert notes.notes == ["3 networks are left out: the time for them is over"]
    asked_for = next(one for one in entered if one.network.height == 32)
    assert [one.name for one in with_heads(entered, PreparedImages(dataset), first=asked_for, over=lambda: True)] == [
        asked_for.name
    ]
    notes = Notes(tmp_path)
    with_heads(entered[:2], PreparedImages(dataset), over=lambda: True, progress=notes)
    assert notes.notes == ["1 network is left out: the time for them is over"]


def test_the_most_promising_are_fine_tuned_and_int8_is_measured(dataset: Dataset) -> None:
    """No training: what it would give is passed in."""
    entered = contenders(Pretrained("one", pretrained()), sides=(40, 32))
    judged = with_heads(entered, PreparedImages(dataset))
    asked: list[str] = []

    def fine_tune(one: Contender, model: Model) -> TrainedModel:
        asked.append(one.name)
        labeled = random_model(np.random.default_rng(0), one.network)
        return TrainedModel(labeled, [], -1, TrainingRun(epochs=1), 0.875)

    found = with_tuning(judged, Budget(max_macs=10**9), PreparedImages(dataset), 9, fine_tune, finalists=2)
    assert len(asked) == 2
    by_precision = {one.precision: one for each in found for one in each.candidates}
    assert by_precision["float32"].tuned_top1 == 0.875
    assert by_precision["int8"].tuned_top1 in {count / 9 for count in range(10)}
    alone = with_tuning(judged[:1], Budget(max_macs=10**9), PreparedImages(dataset), 9, fine_tune)
    assert len(asked) == 2, "where there is nothing to choose from, nothing is trained"
    assert alone == judged[:1]


# What is refused ------------------------------------------------------------------------------------------------------


def wanted(weights: Any) -> tuple[Pretrained, ...]:
    return pretrained_weights(weights, Budget(), family=None, sides=(40,), classes=3, precisions=("float32",))


def test_weights_are_a_model_a_file_or_a_folder_of_files(weights: Path, tmp_path: Path) -> None:
    assert [one.name for one in wanted(weights)] == ["v1.safetensors", "v2.safetensors"]
    assert [one.name for one in wanted(weights / "v1.safetensors")] == [str(weights / "v1.safetensors")]
    assert [one.name for one in wanted(pretrained())] == ["mobilenet_v1"]
    with pytest.raises(ModelFileError, match="does not exist"):
        wanted(tmp_path / "missing.safetensors")
    for name in ("a.onnx", "b.onnx"):
        (tmp_path / name).write_bytes(b"nothing")
    with pytest.raises(FormatError, match="none of 2 files can be trained further"):
        wanted(tmp_path)


def test_a_budget_that_no_weights_meet_names_the_nearest(images: Path, weights: Path, tmp_path: Path) -> None:
    with pytest.raises(PlanningError, match=r"nothing meets the budget; the nearest is v\d.safetensors"):
        search(images, tmp_path / "out", Budget(max_macs=1000), settings(weights))
    assert not (tmp_path / "out").exists()


def test_what_promises_the_most_within_the_budget_is_looked_at_first(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MOBILENETS_CACHE", str(tmp_path / "cache"))
    fill_cache(tmp_path, "keras:0.25-224", "keras:mobilenet_v2@0.35-96")
    how: dict[str, Any] = {"family": None, "sides": (224, 128, 96), "classes": 3, "precisions": ("int8",)}
    roomy = pretrained_weights("auto", Budget(max_latency_ms=5.0), **how)
    tight = pretrained_weights("auto", Budget(max_memory_bytes=100_000), **how)
    assert {one.name for one in roomy} == {"keras:0.25-224", "keras:mobilenet_v2@0.35-96"}
    assert {one.name for one in tight} <= {one.name for one in roomy}
    assert pretrained_weights("auto", Budget(max_file_bytes=1000), **how) == ()
    assert [one.name for one in pretrained_weights("auto", Budget(), **(how | {"family": "mobilenet_v2"}))] == [
        "keras:mobilenet_v2@0.35-96"
    ]


def test_without_a_cache_or_a_network_there_are_none_and_one_line_says_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MOBILENETS_CACHE", str(tmp_path / "cache"))
    notes = Notes(tmp_path)
    how: dict[str, Any] = {"family": None, "sides": (128,), "classes": 3, "precisions": ("int8",)}
    assert pretrained_weights("auto", Budget(max_latency_ms=0.3), **how, progress=notes) == ()
    assert len(notes.notes) == 1
    assert "could not be loaded" in notes.notes[0]
