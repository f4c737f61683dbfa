"""When a run ends before all its epochs: it settles, or its time is over. It can be resumed either way."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.conftest import draw
from tests.support.interruption import Interruption
from tests.support.random_models import random_model

from mobilenets.architecture.networks.mobilenet_v1 import mobilenet_v1
from mobilenets.base.progress import SILENT
from mobilenets.data.dataset import Dataset, load_dataset
from mobilenets.model.file import load
from mobilenets.training.batches import Batches
from mobilenets.training.checkpoint import CheckpointFile
from mobilenets.training.fit import fit
from mobilenets.training.image_cache import StoredImages
from mobilenets.training.loop import Trained, train
from mobilenets.training.network import NetworkModule
from mobilenets.training.objectives import cross_entropy
from mobilenets.training.optimization import initialize
from mobilenets.training.recipe import DEFAULT
from mobilenets.training.run import TrainingRun
from mobilenets.training.selection import Totals
from mobilenets.training.settings import PREPROCESSING, Settings

RECIPE = replace(DEFAULT, batch=8, growth=((1.0, 1.0),))


class Constant:
    """A validation by which no epoch is better than another."""

    images = 100

    def __call__(self, module: NetworkModule) -> Totals:
        return Totals(0.5, 1.0, self.images, 1.0)


def trained(run: TrainingRun, checkpoint: Path | None = None, *, resume: bool = False, stop: int = 0) -> Trained:
    rng = np.random.default_rng(0)
    pixels, targets = rng.integers(0, 256, (16, 40, 40, 3), np.uint8), np.arange(16, dtype=np.int64) % 2
    images = StoredImages(pixels, np.ones(16, np.float32), targets)
    module = NetworkModule(mobilenet_v1(width_multiplier=0.05, resolution=32, classes=2))
    initialize(module, RECIPE, 0)
    batches = Batches(images, 2, PREPROCESSING, RECIPE, seed=0, device=run.device, reserved=4)
    file = None if checkpoint is None else CheckpointFile(checkpoint, {}, resume)
    progress = Interruption(epoch=stop) if stop else SILENT
    return train(module, batches, cross_entropy(0.1), RECIPE, run, Constant(), checkpoint=file, progress=progress)


def test_a_run_that_gets_no_better_cools_down_and_ends() -> None:
    found = trained(TrainingRun(epochs=20, patience=4))
    assert len(found.history) == 5 + 3  # one epoch and four that are no better; then 15 % of 20
    rates = [epoch.learning_rate for epoch in found.history]
    assert rates[4] > rates[5] > rates[6] > rates[7] > 0
    assert len(trained(TrainingRun(epochs=20)).history) == 20


def test_validation_images_join_a_run_that_has_settled() -> None:
    found = trained(TrainingRun(epochs=20, patience=4, joined=14))
    assert found.joined == 5
    assert [epoch.validation_primary is None for epoch in found.history] == [False] * 5 + [True] * 3
    assert found.best_epoch == 7


def test_a_run_that_cools_down_can_be_resumed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = TrainingRun(epochs=20, patience=4, joined=14)
    whole = trained(run)
    monkeypatch.setenv("MOBILENETS_CHECKPOINT_SECONDS", "0")
    with pytest.raises(KeyboardInterrupt):
        trained(run, tmp_path / "checkpoint", stop=7)
    assert trained(run, tmp_path / "checkpoint", resume=True).history == whole.history


def test_a_run_whose_time_is_over_ends_within_a_step_with_a_model() -> None:
    found = trained(TrainingRun(epochs=1000, seconds=1e-6))
    assert len(found.history) == 1
    assert found.best_epoch == 0


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    return load_dataset(draw(tmp_path, 12, 40, 40))


def test_fit_ends_in_time_with_a_usable_model(dataset: Dataset, tmp_path: Path) -> None:
    settings = Settings(width=0.25, resolution=32, epochs=250, threads=1, weights=None, time=1.0)
    result = fit(dataset, tmp_path / "out", settings)
    assert 1 <= len(result.history) < 250
    assert (tmp_path / "out" / "model.safetensors").exists()


def test_without_time_to_train_the_classifier_on_features_is_the_model(dataset: Dataset, tmp_path: Path) -> None:
    network = mobilenet_v1(width_multiplier=0.25, resolution=32, classes=7)
    start = random_model(np.random.default_rng(0), network)
    settings = Settings(weights=start, resolution=32, epochs=250, threads=1, time=0.01)
    result = fit(dataset, tmp_path / "out", settings)
    assert (result.history, result.best_epoch) == ([], -1)
    assert load(tmp_path / "out" / "model.safetensors").labels == dataset.labels
    assert result.evaluation.images == len(dataset.test)
    assert not list((tmp_path / "out").glob("*checkpoint*"))


def test_a_model_of_these_classes_is_kept_where_a_few_steps_make_it_worse(dataset: Dataset) -> None:
    whole = fit(dataset, settings=Settings(width=0.25, resolution=32, epochs=40, threads=1, weights=None)).model
    steep = replace(RECIPE, learning_rate=0.5, batch=8)
    spoilt = fit(dataset, settings=Settings(weights=whole, resolution=32, epochs=1, threads=1, recipe=steep))
    assert spoilt.best_epoch == -1
    for name, values in whole.parameters.items():
        assert np.array_equal(spoilt.model.parameters[name], values)
