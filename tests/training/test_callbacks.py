"""Callbacks, loggers, and a loss and an augmentation of the caller's own."""

from __future__ import annotations

import csv
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from mobilenets.data.dataset import Dataset, load_dataset
from mobilenets.errors import MissingDependencyError, TrainingError
from mobilenets.training.callbacks import Begun, Callback
from mobilenets.training.fit import fit
from mobilenets.training.loggers import CsvLogger, logger_named
from mobilenets.training.result import Fit
from mobilenets.training.selection import Epoch
from mobilenets.training.settings import Settings

SETTINGS = Settings(weights=None, width=0.25, resolution=32, epochs=3, threads=2)


@pytest.fixture(scope="module")
def dataset(colours: Path) -> Dataset:
    return load_dataset(colours)


class Recorder(Callback):
    """Writes down what it is told."""

    def __init__(self, at_end: Callable[[Epoch], Any] = lambda epoch: None) -> None:
        self.told: list[str] = []
        self.epochs: list[Epoch] = []
        self._at_end = at_end

    def on_start(self, begun: Begun) -> None:
        self.told.append(f"start {begun.done} of {begun.epochs}, {begun.metric}")

    def on_epoch_end(self, epoch: Epoch, module: nn.Module) -> bool | None:
        assert not module.training
        self.told.append(f"epoch {epoch.number + 1}")
        self.epochs.append(epoch)
        answer: bool | None = self._at_end(epoch)
        return answer

    def on_end(self, result: Fit) -> None:
        self.told.append(f"end {result.evaluation.primary.name}")


def test_callbacks_are_told_of_everything_in_order_and_change_nothing(dataset: Dataset) -> None:
    recorder = Recorder()
    result = fit(dataset, settings=SETTINGS, callbacks=[recorder])
    assert recorder.told == ["start 0 of 3, top1", "epoch 1", "epoch 2", "epoch 3", "end top1"]
    assert recorder.epochs == result.history
    plain = fit(dataset, settings=SETTINGS)
    assert result.model.parameters.keys() == plain.model.parameters.keys()
    assert all((values == plain.model.parameters[name]).all() for name, values in result.model.parameters.items())


class OwnError(Exception):
    """What a caller's code raises."""


def test_what_a_callback_raises_is_the_callers_and_the_run_can_go_on(dataset: Dataset, tmp_path: Path) -> None:
    def fails_once(epoch: Epoch) -> None:
        if epoch.number == 1:
            raise OwnError("no connection")

    with pytest.raises(OwnError, match="no connection"):
        fit(dataset, tmp_path / "run", SETTINGS, callbacks=[Recorder(fails_once)])
    recorder = Recorder()
    resumed = fit(dataset, tmp_path / "run", SETTINGS, callbacks=[recorder], resume=True)
    assert recorder.told[:2] == ["start 2 of 3, top1", "epoch 3"]
    assert resumed.history == fit(dataset, settings=SETTINGS).history


def test_a_callback_ends_training_with_the_best_so_far(dataset: Dataset) -> None:
    recorder = Recorder(lambda epoch: epoch.number == 0)
    result = fit(dataset, settings=SETTINGS, callbacks=[recorder])
    assert (len(result.history), result.best_epoch) == (1, 0)
    assert recorder.told[-1] == "end top1"


def test_a_csv_file_holds_every_epoch_once_even_if_the_run_was_resumed(dataset: Dataset, tmp_path: Path) -> None:
    def fails_once(epoch: Epoch) -> None:
        if epoch.number == 1:
            raise OwnError

    log = tmp_path / "log.csv"
    with pytest.raises(OwnError):
        fit(dataset, tmp_path / "run", SETTINGS, callbacks=[CsvLogger(log), Recorder(fails_once)])
    result = fit(dataset, tmp_path / "run", SETTINGS, callbacks=[CsvLogger(log)], resume=True)
    rows = list(csv.DictReader(log.read_text().splitlines()))
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    assert [float(row["loss"]) for row in rows] == [epoch.loss for epoch in result.history]
    assert [float(row["validation_top1"]) for row in rows] == [epoch.validation_primary for epoch in result.history]


class Service:
    """What stands for TensorBoard's writer and for Weights & Biases."""

    def __init__(self, *arguments: object, **options: object) -> None:
        self.scalars: list[tuple[str, int]] = []
        self.closed = False
        self.summary: dict[str, float] = {}
        Service.last = self

    last: Service

    def add_scalar(self, name: str, value: float, step: int) -> None:
        self.scalars.append((name, step))

    def log(self, figures: dict[str, float], step: int) -> None:
        self.scalars += [(name, step) for name in figures]

    def flush(self) -> None:
        pass

    def close(self) -> None:
        self.closed = True

    finish = close

    @classmethod
    def init(cls, **options: object) -> Service:
        return cls()


@pytest.mark.parametrize("kind", ["tensorboard", "wandb"])
def test_services_get_every_epoch_and_are_closed(kind: str, dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    stands_for = type(sys)(kind)
    stands_for.SummaryWriter, stands_for.init = Service, Service.init  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard" if kind == "tensorboard" else kind, stands_for)
    fit(dataset, settings=SETTINGS, callbacks=[logger_named(f"{kind}:somewhere")])
    steps = [step for name, step in Service.last.scalars if name == "validation_top1"]
    assert steps == [1, 2, 3]
    assert Service.last.closed
    assert "test_top1" in {*Service.last.summary, *(name for name, _ in Service.last.scalars)}


@pytest.mark.parametrize("kind", ["tensorboard", "wandb"])
def test_a_service_that_is_not_installed_is_named(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard" if kind == "tensorboard" else kind, None)
    with pytest.raises(MissingDependencyError, match=f"pip install {kind}"):
        logger_named(f"{kind}:somewhere")


def test_a_service_whose_own_needs_are_missing_is_not_called_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "wandb.py").write_text("import a_package_that_nobody_has")
    monkeypatch.delitem(sys.modules, "wandb", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(TrainingError, match=r"wandb is installed and cannot be imported: .*a_package_that_nobody_has"):
        logger_named("wandb:somewhere")


@pytest.mark.parametrize("text", ["log.txt", "tensorboard", "wandb:", "", "csv:log"])
def test_other_logs_are_refused(text: str) -> None:
    with pytest.raises(TrainingError, match=r"a log is FILE.csv, tensorboard:FOLDER or wandb:PROJECT"):
        logger_named(text)


def test_a_log_that_cannot_be_written_is_said_before_training(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="cannot be written"):
        CsvLogger(tmp_path / "nowhere" / "log.csv")


# A loss and an augmentation ------------------------------------------------------------------------------------------


def focal(outputs: Tensor, targets: Tensor) -> Tensor:
    """Focal loss."""
    logs = outputs.log_softmax(dim=1)
    return -((1 - logs.exp()) ** 2 * logs * targets).sum(dim=1).mean()


def test_a_loss_of_ones_own_is_minimized(dataset: Dataset) -> None:
    result = fit(dataset, settings=SETTINGS, loss=focal)
    plain = fit(dataset, settings=SETTINGS)
    assert result.history[-1].loss < 0.5 * plain.history[-1].loss  # focal losses are smaller
    assert result.history[-1].loss < result.history[0].loss


def test_the_default_loss_written_out_gives_the_same_model(dataset: Dataset) -> None:
    def written_out(outputs: Tensor, targets: Tensor) -> Tensor:
        return functional.cross_entropy(outputs, targets, label_smoothing=0.1)

    assert fit(dataset, settings=SETTINGS, loss=written_out).history == fit(dataset, settings=SETTINGS).history


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (lambda outputs, targets: outputs, r"one number, .* not a tensor of shape \(\d+, 3\)"),
        (lambda outputs, targets: 1.0, "not float"),
        (lambda outputs, targets: torch.zeros(()), "does not depend on the outputs"),
    ],
)
def test_what_is_no_loss_is_refused(loss: Any, message: str, dataset: Dataset) -> None:
    with pytest.raises(TrainingError, match=message):
        fit(dataset, settings=SETTINGS, loss=loss)


def test_an_augmentation_of_ones_own_sees_whole_images_and_draws_the_same_each_time(dataset: Dataset) -> None:
    seen: list[Tensor] = []

    def flipped(images: Tensor) -> Tensor:
        seen.append(images)
        return images.flip(3) if torch.rand(()) < 0.5 else images

    first = fit(dataset, settings=SETTINGS, augment=flipped)
    assert {tuple(images.shape[1:]) for images in seen} == {(3, 32, 32)}
    assert min(float(images.min()) for images in seen) >= 0
    assert 1 < max(float(images.max()) for images in seen) <= 255
    assert fit(dataset, settings=SETTINGS, augment=flipped).history == first.history


def test_an_augmentation_that_changes_the_shape_is_refused(dataset: Dataset) -> None:
    with pytest.raises(TrainingError, match=r"must give images of shape \(\d+, 3, 32, 32\), not \(\d+, 3, 16, 32\)"):
        fit(dataset, settings=SETTINGS, augment=lambda images: images[:, :, ::2])


def test_a_run_with_another_loss_is_not_resumed(dataset: Dataset, tmp_path: Path) -> None:
    def fails(epoch: Epoch) -> None:
        raise OwnError

    with pytest.raises(OwnError):
        fit(dataset, tmp_path / "run", SETTINGS, loss=focal, callbacks=[Recorder(fails)])
    with pytest.raises(TrainingError, match="was begun with loss focal, not None"):
        fit(dataset, tmp_path / "run", SETTINGS, resume=True)
