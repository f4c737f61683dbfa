"""A budget for data with boxes: the most promising detector within it is trained."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.support.drawn_objects import drawn_dataset
from tests.support.interruption import Interruption
from tests.support.random_models import random_model

from mobilenets.architecture.catalog import CATALOG, DETECTORS
from mobilenets.architecture.cost import cost
from mobilenets.base.progress import SILENT, Progress
from mobilenets.errors import PlanningError
from mobilenets.model.file import load, save
from mobilenets.model.folding import fold
from mobilenets.model.provenance import Provenance
from mobilenets.reports.run_report import report_run
from mobilenets.search.budget import Budget
from mobilenets.search.detectors import search_detector
from mobilenets.search.ending import SearchRequest
from mobilenets.search.result import SearchResult
from mobilenets.training.settings import Settings

SMALL = Settings("centres_mobilenet_v1@0.25", weights=None, batch_size=8, epochs=1, threads=1)


class Notes(Progress):
    def __init__(self) -> None:
        self.said: list[str] = []

    def note(self, message: str) -> None:
        self.said.append(message)


def searched(
    budget: Budget,
    folder: Path | None,
    precisions: tuple[str, ...],
    settings: Settings = SMALL,
    progress: Progress = SILENT,
    *,
    resume: bool = False,
) -> SearchResult:
    data = drawn_dataset(16, 8, 8)
    request = SearchRequest(data, settings, budget, precisions, 1, None, folder, resume, progress, 0.0)
    return search_detector(request)


def test_the_largest_resolution_within_the_budget_is_trained(tmp_path: Path) -> None:
    build = DETECTORS["centres_mobilenet_v1"]
    limit = cost(build(width_multiplier=0.25, resolution=160, classes=2)).macs
    folder = tmp_path / "run"
    result = searched(Budget(max_macs=limit), folder, ("float32",))
    assert result.model.network == build(width_multiplier=0.25, resolution=160, classes=2)
    assert result.search.choice.macs == limit
    assert result.evaluation.primary.name == "map50_95"
    assert load(folder / "model.safetensors").network == result.model.network
    assert not (folder / "size.json").exists()
    assert "mAP 50-95" in report_run(result, folder).read_text()


def folder_of_weights(folder: Path, *sizes: tuple[str, float]) -> Path:
    for name, width in sizes:
        network = CATALOG[name](width_multiplier=width, resolution=64, classes=3)
        save(random_model(np.random.default_rng(0), network), folder / f"{name}-{width}.safetensors")
    return folder


def test_a_backbone_that_classifies_better_is_taken_where_it_fits(tmp_path: Path) -> None:
    weights = folder_of_weights(tmp_path, ("mobilenet_v1", 0.25), ("mobilenet_v2", 0.5))
    settings = Settings(resolution=64, weights=weights, batch_size=8, epochs=1, threads=1)
    result = searched(Budget(max_macs=10**9), None, ("float32",), settings)
    assert result.model.network.name == "ssdlite_mobilenet_v2"
    assert result.model.network.width_multiplier == 0.5
    assert "the most promising of" in result.search.reason
    smaller = cost(result.model.network).macs - 1
    alone = Settings(**(vars(settings) | {"weights": weights / "mobilenet_v2-0.5.safetensors"}))
    cut = searched(Budget(max_macs=smaller), None, ("float32",), alone).model.network
    assert cost(cut).macs <= smaller
    assert (cut.name, cut.width_multiplier) == ("ssdlite_mobilenet_v2", 0.375)


def test_of_two_files_of_one_network_the_one_with_batch_norms_is_taken(tmp_path: Path) -> None:
    folder = folder_of_weights(tmp_path, ("mobilenet_v1", 0.25))
    whole = load(folder / "mobilenet_v1-0.25.safetensors")
    save(fold(whole), folder / "a-folded.safetensors")
    settings = Settings(resolution=64, weights=folder, batch_size=8, epochs=1, threads=1)
    result = searched(Budget(max_macs=10**9), None, ("float32",), settings)
    assert Provenance.of(result.model).training.weights == "mobilenet_v1-0.25.safetensors"
    assert len(result.search.candidates) == 1


def test_detectors_that_promise_alike_are_trained_shortly(tmp_path: Path) -> None:
    weights = folder_of_weights(tmp_path, ("mobilenet_v1", 0.5), ("mobilenet_v2", 0.5))
    settings = Settings(resolution=64, weights=weights, batch_size=8, epochs=1, threads=1)
    notes = Notes()
    result = searched(Budget(max_macs=10**9), None, ("float32",), settings, notes)
    assert len(result.search.candidates) == 2
    assert result.search.reason.startswith("the best of 2 detectors within")
    assert any("takes about" in note and "training about" in note for note in notes.said)


def test_a_search_that_was_interrupted_goes_on_with_the_detector_that_it_chose(tmp_path: Path) -> None:
    weights = folder_of_weights(tmp_path, ("mobilenet_v1", 0.5), ("mobilenet_v2", 0.5))
    settings = Settings(resolution=64, weights=weights, batch_size=8, epochs=2, threads=1)
    budget, folder = Budget(max_macs=10**9), tmp_path / "run"
    whole = searched(budget, None, ("float32",), settings)
    with pytest.raises(KeyboardInterrupt):  # in the full training, behind two short ones
        searched(budget, folder, ("float32",), settings, Interruption(epoch=2, run=3))
    assert (folder / "size.json").exists()
    resumed = searched(budget, folder, ("float32",), settings, resume=True)
    assert resumed.model.network == whole.model.network
    assert resumed.search.reason == whole.search.reason
    for name, values in whole.model.parameters.items():
        assert np.array_equal(values, resumed.model.parameters[name]), name
    assert not (folder / "size.json").exists()


def test_in_int8_more_pixels_fit_into_the_same_memory() -> None:
    build = DETECTORS["centres_mobilenet_v1"]
    small = cost(build(width_multiplier=0.25, resolution=96, classes=2), bytes_per_activation=4).peak_activation_bytes
    result = searched(Budget(max_memory_bytes=small), None, ("float32", "int8"))
    assert result.model.precision == "int8"
    assert result.model.network.height == 192
    assert result.float_model is not None
    assert result.quality is not None
    assert result.quality.primary_after is not None


def test_a_latency_is_measured_and_what_nothing_meets_is_said_before_training() -> None:
    result = searched(Budget(max_latency_ms=10_000), None, ("float32",), Settings(**(vars(SMALL) | {"resolution": 64})))
    assert result.search.choice.latency_ms is not None
    assert result.search.latency is not None
    with pytest.raises(PlanningError, match=r"no detector is within at most 0\.001 M Mult-Adds: 96×96 in float32"):
        searched(Budget(max_macs=1000), None, ("float32",))


def test_accuracy_that_is_not_reached_is_said_with_the_best_model_written(tmp_path: Path) -> None:
    settings = Settings(**(vars(SMALL) | {"resolution": 64}))
    result = searched(Budget(min_accuracy=0.99), tmp_path, ("float32",), settings)
    assert result.refusal is not None
    assert "99.0 % were asked for" in result.refusal
    assert (tmp_path / "model.safetensors").exists()


def test_where_the_time_is_over_at_once_there_is_a_detector_in_int8_within_the_budget() -> None:
    build = DETECTORS["centres_mobilenet_v1"]
    small = cost(build(width_multiplier=0.25, resolution=96, classes=2), bytes_per_activation=4).peak_activation_bytes
    notes = Notes()
    hurried = replace(SMALL, epochs=300, time=0.05)
    result = searched(Budget(max_memory_bytes=small), None, ("int8",), hurried, notes)
    assert result.model.precision == "int8"
    assert len(result.history) == 1
    assert result.search.choice.memory_bytes <= small
    assert any("images calibrate int8, of 32: the time is short" in one for one in notes.said)
