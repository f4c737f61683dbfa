"""A finished run: its Models, its figures and its images, as the pages of a report need them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mobilenets.base.progress import SILENT, Progress
from mobilenets.data.dataset import Dataset, reload_dataset
from mobilenets.data.reading import Reading
from mobilenets.errors import DataError, PlanningError
from mobilenets.model.file import load
from mobilenets.model.model import Model
from mobilenets.model.provenance import Data, Provenance
from mobilenets.reports.pages.data import DataFacts
from mobilenets.search.record import SearchRecord
from mobilenets.tasks.task import Metrics
from mobilenets.training.run_folder import FLOAT_FILE, INT8_FILE, MODEL_FILE, read_metrics

if TYPE_CHECKING:
    from mobilenets.training.result import Fit

PHASES = {"supernet": "the supernet", "fine-tune": "the chosen subnet", "compress": "int8"}
"""What the phases of a search are called in a report."""


@dataclass(frozen=True)
class PhaseCurve:
    """One part of the training.

    Attributes:
        name: What it was for; empty where there is only one.
        epochs: Figures of every epoch; none where there was no time for one. ``number``, ``loss`` and ``primary``, the
            primary figure of the task, and the last two on the validation images, as ``validation_loss`` and
            ``validation_primary``.
        best_epoch: The epoch that was kept, from 1; 0 where none was better than the start.
    """

    name: str
    epochs: tuple[Mapping[str, Any], ...]
    best_epoch: int

    @property
    def last_validated(self) -> Mapping[str, Any] | None:
        """The last epoch before the validation images were trained on too; None if they never were."""
        if not self.best_epoch or self.epochs[self.best_epoch - 1]["validation_primary"] is not None:
            return None
        return next((row for row in reversed(self.epochs) if row["validation_primary"] is not None), None)


@dataclass(frozen=True, eq=False)
class Run:
    """What a report is about.

    Attributes:
        model: The Model that came of it, which the test images were shown to.
        float32: The same as float32, if it is at hand.
        int8: The same as int8, if that was made.
        evaluation: Figures on the test images.
        phases: How training went.
        search: How the network was chosen, where a budget did.
        metrics: Everything that ``metrics.json`` holds.
        dataset: The images; None where they are not at hand.
        place: Folder that the Models lie in, as commands should name it.
        data_facts: What the images were understood as; None for a run of an older release.
    """

    model: Model
    float32: Model | None
    int8: Model | None
    evaluation: Metrics
    phases: tuple[PhaseCurve, ...]
    search: SearchRecord | None
    metrics: Mapping[str, Any]
    dataset: Dataset | None
    place: str
    data_facts: DataFacts | None = None

    @property
    def provenance(self) -> Provenance:
        """How the Model came to be."""
        return Provenance.read(self.metrics["provenance"])

    @property
    def refitted(self) -> bool:
        """Whether a short run without the validation images gave their figures, before training began again."""
        validated = self.phases[-1].last_validated
        return validated is not None and validated["number"] == self.provenance.training.held_out_epochs

    @property
    def data(self) -> Data:
        """What the Model was fitted to."""
        return self.provenance.data or Data()

    @property
    def source(self) -> str:
        """Where the images came from."""
        return str(self.data.source)


def run_of(fit: Fit, place: str | Path, *, int8: Model | None = None, figures: Mapping[str, Any] = {}) -> Run:
    """A run that has just ended.

    Args:
        fit: What came of it.
        place: Folder that its Model lies in, as commands should name it.
        int8: The int8 Model that was made of its Model, where that is float32.
        figures: Beside its own: see :func:`~mobilenets.training.run_folder.add_metrics`.
    """
    models = fit.model, fit.float_model or int8
    return _run(models, {**fit.to_json(), **figures}, fit.dataset, str(place))


def read_run(
    folder: str | Path,
    data: str | Path | None = None,
    reading: Reading | None = None,
    *,
    progress: Progress = SILENT,
) -> Run:
    """A run from the folder that ``fit`` wrote.

    Args:
        folder: It holds ``model.safetensors`` and ``metrics.json``.
        data: The images; by default where they were when the Model was fitted. Where they are gone or have
            changed, the run comes without them, and ``progress`` is told why.
        reading: How they are read; None for how they were read then.
        progress: Receives progress updates.

    Raises:
        DataError: If the folder holds no finished run, its figures are damaged, or ``data`` was named and is not what
            the Model was fitted to.
        ModelFileError: If the Model cannot be read.
    """
    run = read_figures(folder)
    try:
        dataset = reload_dataset(run.data, data, reading, progress=progress)
    except DataError as error:
        if data is not None:
            raise
        progress.note(f"the report has no images: {error}")
        return run
    return replace(run, dataset=dataset)


def read_figures(folder: str | Path) -> Run:
    """A run from the folder that ``fit`` wrote, without its images.

    Raises:
        DataError: If the folder holds no finished run, or its figures are damaged.
        ModelFileError: If the Model cannot be read.
    """
    folder = Path(folder)
    metrics = read_metrics(folder)
    model = load(folder / MODEL_FILE)
    beside = folder / (INT8_FILE if model.quantization is None else FLOAT_FILE)
    models = model, load(beside) if beside.exists() else None
    return _run(models, metrics, None, str(folder))


def _run(models: tuple[Model, Model | None], metrics: Any, dataset: Dataset | None, place: str) -> Run:
    """A run whose Model, the first, may have a second one beside it in the other precision."""
    by_precision = {model.precision: model for model in models if model is not None}
    try:
        test, data = metrics["test"], Data.read(metrics["provenance"]["data"])
        if not data.is_complete:
            raise TypeError("the source, fingerprint or seed of the data is missing")
        evaluation = models[0].task.read_metrics(test)
        return Run(
            model=models[0],
            float32=by_precision.get("float32"),
            int8=by_precision.get("int8"),
            evaluation=evaluation,
            phases=_phases(metrics, evaluation.primary.name),
            search=SearchRecord.from_json(metrics["search"]) if "search" in metrics else None,
            metrics=metrics,
            dataset=dataset,
            place=place,
            data_facts=DataFacts.read(metrics["data"]) if "data" in metrics else None,
        )
    except (KeyError, TypeError, ValueError, IndexError, OverflowError, PlanningError) as error:
        problem = f"{error} is missing" if isinstance(error, KeyError) else error
        raise DataError(f"the figures of the run in {place} are not those that fit writes: {problem}") from None


def _phases(metrics: Mapping[str, Any], metric: str) -> tuple[PhaseCurve, ...]:
    trained = [phase for phase in metrics.get("phases", ()) if phase["epochs"]]
    if not trained:
        return (_phase("", metrics, metric),)
    return tuple(_phase(PHASES.get(phase["name"], str(phase["name"])), phase, metric) for phase in trained)


def _phase(name: str, data: Mapping[str, Any], metric: str) -> PhaseCurve:
    epochs = _epochs(data["epochs"], metric)
    best = len(epochs) if data["best_epoch"] is None else int(data["best_epoch"])
    if not 0 <= best <= len(epochs) or not (epochs or data["best_epoch"] == 0):
        raise ValueError(f"epoch {best} of {len(epochs)} was kept")
    return PhaseCurve(name, epochs, best)


def _epochs(rows: Sequence[Mapping[str, Any]], metric: str) -> tuple[Mapping[str, Any], ...]:
    names = {
        "number": "number",
        "loss": "loss",
        "primary": metric,
        "validation_loss": "validation_loss",
        "validation_primary": f"validation_{metric}",
    }
    return tuple(
        {name: row[key] if row[key] is None else float(row[key]) for name, key in names.items()} for row in rows
    )
