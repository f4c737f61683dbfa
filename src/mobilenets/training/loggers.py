"""Callbacks that log the figures of every epoch: to a CSV file, to TensorBoard, and to Weights & Biases."""

from __future__ import annotations

import csv
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, assert_never

from torch import nn

from mobilenets.base.atomic_write import check_folder_of
from mobilenets.errors import MissingDependencyError, MobileNetsError, TrainingError
from mobilenets.training.beforehand import log_kind
from mobilenets.training.callbacks import Begun, Callback
from mobilenets.training.result import Fit, epochs_to_json
from mobilenets.training.selection import Epoch


class _Logger(Callback, ABC):
    """A callback that knows what figures are called."""

    metric = "top1"

    def on_start(self, begun: Begun) -> None:
        self.metric = begun.metric
        self.open(begun)

    def on_epoch_end(self, epoch: Epoch, module: nn.Module) -> None:
        (figures,) = epochs_to_json([epoch], self.metric)
        self.write(figures.pop("number"), figures)

    @abstractmethod
    def open(self, begun: Begun) -> None: ...

    @abstractmethod
    def write(self, number: int, figures: dict[str, Any]) -> None: ...


class CsvLogger(_Logger):
    """Writes a row for each epoch, at once, so that a spreadsheet or ``tail -f`` may follow. A resumed run goes on.

    Args:
        path: The file.

    Raises:
        TrainingError: If it cannot be written.
    """

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)
        try:
            check_folder_of(self._path)
        except OSError as error:
            raise TrainingError(f"{path} cannot be written: {error.strerror or error}") from None
        self._fresh = True

    def open(self, begun: Begun) -> None:
        """Begin a new file, or keep the rows of the epochs that an earlier part of the run has done."""
        kept = self._path.read_text(encoding="utf-8").splitlines() if begun.done and self._path.exists() else []
        self._path.write_text("".join(f"{line}\n" for line in kept[: begun.done + 1]), encoding="utf-8")
        self._fresh = not kept

    def write(self, number: int, figures: dict[str, Any]) -> None:
        """Add the row of an epoch."""
        row = {"epoch": number, **figures}
        with self._path.open("a", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, list(row), lineterminator="\n")
            if self._fresh:
                writer.writeheader()
            writer.writerow(row)
        self._fresh = False


class TensorBoardLogger(_Logger):
    """Writes a scalar for each figure of each epoch.

    Args:
        folder: What ``tensorboard --logdir`` is given.

    Raises:
        MissingDependencyError: If tensorboard is not installed.
        TrainingError: If it is, and something that it needs is not.
    """

    def __init__(self, folder: str | Path) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise _cannot_be_imported("tensorboard", error) from None
        self._make, self._folder = SummaryWriter, str(folder)
        self._writer: Any = None

    def open(self, begun: Begun) -> None:
        """Open the folder."""
        self._writer = self._make(self._folder, purge_step=begun.done + 1)

    def write(self, number: int, figures: dict[str, Any]) -> None:
        """Write the figures of an epoch; those that were not computed are left out."""
        for name, value in figures.items():
            if value is not None:
                self._writer.add_scalar(name, value, number)
        self._writer.flush()

    def on_end(self, result: Fit) -> None:
        """Write the primary figure on the test images, and close the folder."""
        primary = result.evaluation.primary
        self._writer.add_scalar(f"test_{primary.name}", primary.value, len(result.history))
        self._writer.close()


class WandbLogger(_Logger):
    """Logs to Weights & Biases.

    Args:
        project: Name of the project.
        options: What else ``wandb.init`` is given, such as ``name`` or ``mode="offline"``.

    Raises:
        MissingDependencyError: If wandb is not installed.
        TrainingError: If it is, and something that it needs is not.
    """

    def __init__(self, project: str, **options: Any) -> None:
        try:
            import wandb
        except ImportError as error:
            raise _cannot_be_imported("wandb", error) from None
        self._wandb, self._project, self._options = wandb, project, options
        self._run: Any = None

    def open(self, begun: Begun) -> None:
        """Begin a run there."""
        config = {"network": begun.model.summary, "epochs": begun.epochs}
        self._run = self._wandb.init(project=self._project, **({"config": config} | self._options))

    def write(self, number: int, figures: dict[str, Any]) -> None:
        """Log the figures of an epoch; those that were not computed are left out."""
        self._run.log({name: value for name, value in figures.items() if value is not None}, step=number)

    def on_end(self, result: Fit) -> None:
        """Keep the primary figure on the test images, and finish the run."""
        primary = result.evaluation.primary
        self._run.summary[f"test_{primary.name}"] = primary.value
        self._run.finish()


def logger_named(text: str) -> Callback:
    """The logger that a text asks for.

    Args:
        text: The path of a CSV file, ``tensorboard:FOLDER`` or ``wandb:PROJECT``.

    Raises:
        TrainingError: If it is none of these, or the file cannot be written.
        MissingDependencyError: If the package that is needed is not installed.
    """
    kind, place = log_kind(text)
    match kind:
        case "tensorboard":
            return TensorBoardLogger(place)
        case "wandb":
            return WandbLogger(place)
        case "csv":
            return CsvLogger(place)
    assert_never(kind)


def _cannot_be_imported(package: str, error: ImportError) -> MobileNetsError:
    """What to say of a package: that it is not installed, or why it does not work."""
    if error.name in (package, f"torch.utils.{package}") and isinstance(error, ModuleNotFoundError):
        return MissingDependencyError(package, "train", alone=True)
    return TrainingError(f"{package} is installed and cannot be imported: {error}")
