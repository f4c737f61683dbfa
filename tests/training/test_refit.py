"""Fine-tuning on few images: a short run without the validation images, then one from the start with them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.conftest import draw
from tests.support.interruption import Interruption
from tests.support.random_models import random_model

from mobilenets.architecture.networks.mobilenet_v1 import mobilenet_v1
from mobilenets.base.progress import SILENT
from mobilenets.model.model import Model
from mobilenets.model.provenance import Provenance
from mobilenets.tasks.classification import Classification
from mobilenets.tasks.unknown import UnknownThreshold
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

RECIPE = replace(DEFAULT, batch=8, growth=((1.0, 1.0),), learning_rate=2e-3)


class Recorded:
    """A validation that keeps a copy of the weights that it sees, and answers with scores that it is given."""

    images = 12

    def __init__(self, scores: Iterator[float]) -> None:
        self._scores = scores
        self.seen: list[np.ndarray] = []

    def __call__(self, module: NetworkModule) -> Totals:
        self.seen.append(np.concatenate([values.numpy().ravel() for values in module.tensors().values()]))
        return Totals(next(self._scores), 1.0, self.images, 1.5)


def trained(
    run: TrainingRun,
    checkpoint: Path | None = None,
    *,
    validation: Recorded | None = None,
    resume: bool = False,
    stop: int = 0,
) -> Trained:
    rng = np.random.default_rng(0)
    pixels, targets = rng.integers(0, 256, (20, 40, 40, 3), np.uint8), np.arange(20, dtype=np.int64) % 2
    images = StoredImages(pixels, np.ones(20, np.float32), targets)
    module = NetworkModule(mobilenet_v1(width_multiplier=0.05, resolution=32, classes=2))
    initialize(module, RECIPE, 0)
    batches = Batches(images, 2, PREPROCESSING, RECIPE, seed=0, device=run.device, reserved=4)
    file = None if checkpoint is None else CheckpointFile(checkpoint, {}, resume)
    return train(
        module,
        batches,
        cross_entropy(0.1),
        RECIPE,
        run,
        validation or Recorded(iter([0.5] * 100)),
        checkpoint=file,
        progress=Interruption(epoch=stop) if stop else SILENT,
    )


def test_the_rate_falls_to_zero_twice_and_only_the_first_run_is_validated() -> None:
    found = trained(TrainingRun(epochs=12, held_out_epochs=4, joined=4))
    rates = [epoch.learning_rate for epoch in found.history]
    assert rates[3] < 0.1 * max(rates[:4])
    assert rates[11] < 0.1 * max(rates[4:])
    assert rates[4] > 5 * rates[3]
    assert [epoch.validation_primary is None for epoch in found.history] == [False] * 4 + [True] * 8
    assert (found.joined, found.best_epoch) == (4, 11)


def test_the_second_run_begins_from_the_weights_that_the_first_began_from() -> None:
    # Without a learning rate worth the name only running statistics change; those begin again too.
    still = replace(RECIPE, learning_rate=1e-12)
    rng = np.random.default_rng(0)
    images = StoredImages(
        rng.integers(0, 256, (8, 40, 40, 3), np.uint8), np.ones(8, np.float32), np.arange(8, dtype=np.int64) % 2
    )

    def seen(run: TrainingRun, at: int) -> np.ndarray:
        module = NetworkModule(mobilenet_v1(width_multiplier=0.05, resolution=32, classes=2))
        initialize(module, RECIPE, 0)
        validation = Recorded(iter([0.5] * 100))
        batches = Batches(images, 2, PREPROCESSING, still, seed=0, device=run.device)
        train(module, batches, cross_entropy(0.1), still, run, validation)
        return validation.seen[at]

    start = NetworkModule(mobilenet_v1(width_multiplier=0.05, resolution=32, classes=2))
    initialize(start, RECIPE, 0)
    begun = np.concatenate([values.detach().numpy().ravel() for values in start.tensors().values()])
    once, again = seen(TrainingRun(epochs=1), 0), seen(TrainingRun(epochs=9, held_out_epochs=8), 8)
    long = seen(TrainingRun(epochs=9), 8)
    assert np.abs(again - begun).max() == pytest.approx(np.abs(once - begun).max(), rel=0.3)
    assert np.abs(long - begun).max() > 2 * np.abs(again - begun).max()


def test_the_validation_images_stay_apart_where_the_short_run_went_wrong() -> None:
    scores = iter([1.0, 0.9, 0.1, 0.1] + 8 * [0.2])
    found = trained(TrainingRun(epochs=12, held_out_epochs=4, joined=4), validation=Recorded(scores))
    assert found.joined is None
    assert None not in [epoch.validation_primary for epoch in found.history]


@pytest.mark.parametrize("stop", [3, 5, 9])  # in the first run, at the beginning of the second, and within that
def test_it_goes_on_as_if_nothing_had_happened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop: int) -> None:
    run = TrainingRun(epochs=12, held_out_epochs=4, joined=4)
    monkeypatch.setenv("MOBILENETS_CHECKPOINT_SECONDS", "0")
    with pytest.raises(KeyboardInterrupt):
        trained(run, tmp_path / "checkpoint", stop=stop)
    assert trained(run, tmp_path / "checkpoint", resume=True).history == trained(run).history


def test_a_run_that_cools_down_in_the_first_does_not_refit() -> None:
    found = trained(TrainingRun(epochs=40, held_out_epochs=8, joined=8, patience=4))
    assert len(found.history) == 5 + 6  # beyond the eighth
    rates = [epoch.learning_rate for epoch in found.history[4:]]
    assert rates == sorted(rates, reverse=True)
    assert (found.joined, found.best_epoch) == (5, 10)


def published() -> Model:
    """A Model of other classes than those of the images."""
    return random_model(np.random.default_rng(0), mobilenet_v1(width_multiplier=0.05, resolution=32, classes=2))


SETTINGS = Settings(resolution=32, threads=1, weights=published(), recipe=replace(DEFAULT, transfer_batch=8), seed=0)


def images(folder: Path, each: int) -> Path:
    folder.mkdir()
    return draw(folder, each, 36, 40)


def test_few_images_are_all_trained_on_after_a_short_run_that_says_how_well(tmp_path: Path) -> None:
    settings = replace(SETTINGS, epochs=24)
    result = fit(images(tmp_path / "few", 40), None, settings)
    training = Provenance.of(result.model).training
    assert (training.held_out_epochs, training.validation_joined) == (4, 5)
    assert max(epoch.number for epoch in result.history if epoch.validation_primary is not None) == 3
    assert result.best_epoch == 23
    short, task = result.history[3], result.model.task
    assert isinstance(task, Classification)
    assert task.temperature == short.validation_temperature
    assert task.unknown == UnknownThreshold(short.validation_energy or 0, 12)
    assert result.to_json()["validation_top1"] == short.validation_primary


@pytest.mark.parametrize(
    ("each", "epochs", "apart"),
    [(170, 6, False), (40, 24, True), (40, 6, False)],
    ids=["fifty-one validation images can tell", "they are kept apart", "too few steps"],
)
def test_otherwise_there_is_no_such_run(tmp_path: Path, each: int, epochs: int, apart: bool) -> None:
    settings = replace(SETTINGS, epochs=epochs, validation_apart=apart)
    result = fit(images(tmp_path / "images", each), None, settings)
    assert Provenance.of(result.model).training.held_out_epochs is None
