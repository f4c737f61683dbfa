"""The report of a run: one HTML file that opens anywhere, with no script, no network and nothing beside it."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mobilenets.base.arguments import typed
from mobilenets.base.atomic_write import check_folder_of, write_atomically
from mobilenets.base.progress import SILENT, Progress
from mobilenets.data.dataset import Dataset, reload_dataset
from mobilenets.data.reading import Reading
from mobilenets.engine.evaluate import evaluate
from mobilenets.engine.predictor import Classifier
from mobilenets.errors import DataError, PlanningError
from mobilenets.model.file import load
from mobilenets.model.model import Model
from mobilenets.model.provenance import Data, Provenance, QuantizationProvenance
from mobilenets.reports.pages import (
    advice,
    compression,
    confidence,
    frontier,
    labels,
    layers,
    mistakes,
    predictions,
    summary,
    training,
    usage,
)
from mobilenets.reports.pages.data import DataFacts, data_section
from mobilenets.reports.pages.document import colophon, html_document
from mobilenets.reports.pages.markup import Element, tag
from mobilenets.search.costs import ModelCost, measure_costs
from mobilenets.search.record import SearchRecord
from mobilenets.tasks.classification import Classification, ClassificationMetrics
from mobilenets.tasks.metrics import Share
from mobilenets.tasks.task import Task
from mobilenets.training.run_folder import FLOAT_FILE, INT8_FILE, MODEL_FILE, REPORT_FILE, add_metrics, read_metrics

if TYPE_CHECKING:
    from mobilenets.compression.result import CompressionResult
    from mobilenets.training.result import Fit

PHASES = {"supernet": "the supernet", "fine-tune": "the chosen subnet", "compress": "int8"}
"""What the phases of a search are called in a report."""


@dataclass(frozen=True)
class PhaseCurve:
    """One part of the training.

    Attributes:
        name: What it was for; empty where there is only one.
        epochs: Figures of every epoch, as ``metrics.json`` holds them.
        best_epoch: The epoch that was kept, from 1; 0 where none was better than the start.
    """

    name: str
    epochs: tuple[Mapping[str, Any], ...]
    best_epoch: int

    @property
    def last_validated(self) -> Mapping[str, Any] | None:
        """The last epoch before the validation images were trained on too; None if they never were."""
        if not self.best_epoch or self.epochs[self.best_epoch - 1]["validation_top1"] is not None:
            return None
        return next((row for row in reversed(self.epochs) if row["validation_top1"] is not None), None)


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
    evaluation: ClassificationMetrics
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
        return Run(
            model=models[0],
            float32=by_precision.get("float32"),
            int8=by_precision.get("int8"),
            evaluation=_of_classifier(models[0].task, test),
            phases=_phases(metrics),
            search=SearchRecord.from_json(metrics["search"]) if "search" in metrics else None,
            metrics=metrics,
            dataset=dataset,
            place=place,
            data_facts=DataFacts.read(metrics["data"]) if "data" in metrics else None,
        )
    except (KeyError, TypeError, ValueError, IndexError, OverflowError, PlanningError) as error:
        problem = f"{error} is missing" if isinstance(error, KeyError) else error
        raise DataError(f"the figures of the run in {place} are not those that fit writes: {problem}") from None


def _of_classifier(task: Task, test: Mapping[str, Any]) -> ClassificationMetrics:
    """The figures on the test images of a classifier, which all pages of the report are about."""
    evaluation = task.read_metrics(test)
    if not isinstance(evaluation, ClassificationMetrics):
        raise DataError(f"a report is written of classifiers; for the task {task.kind}, reports/pages has no pages yet")
    return evaluation


def _phases(metrics: Mapping[str, Any]) -> tuple[PhaseCurve, ...]:
    trained = [phase for phase in metrics.get("phases", ()) if phase["epochs"]]
    if not trained:
        return (_phase("", metrics),)
    return tuple(_phase(PHASES.get(phase["name"], str(phase["name"])), phase) for phase in trained)


def _phase(name: str, data: Mapping[str, Any]) -> PhaseCurve:
    epochs = _epochs(data["epochs"])
    best = len(epochs) if data["best_epoch"] is None else int(data["best_epoch"])
    if not (0 if name else 1) <= best <= len(epochs):
        raise ValueError(f"epoch {best} of {len(epochs)} was kept")
    return PhaseCurve(name, epochs, best)


def _epochs(rows: Sequence[Mapping[str, Any]]) -> tuple[Mapping[str, Any], ...]:
    names = ("number", "loss", "top1", "validation_loss", "validation_top1")
    return tuple({name: row[name] if row[name] is None else float(row[name]) for name in names} for row in rows)


# The page -----------------------------------------------------------------------------------------------------------


@typed(DataError)
def report(
    run: str | Path,
    output: str | Path | None = None,
    *,
    data: str | Path | None = None,
    reading: Reading | None = None,
    progress: Progress = SILENT,
) -> Path:
    """Write the report of a finished run: result, mistakes, training, time by layer, and how to reproduce it.

    Latencies are measured again, on this machine.

    Args:
        run: Output folder of :func:`~mobilenets.training.fit.fit` or :func:`~mobilenets.search.search.search`.
        output: The file to write; by default ``report.html`` in the run's folder.
        data: The images of the run, if they have moved.
        reading: How they are read; None for how they were read then.
        progress: Receives progress updates.

    Returns:
        The file that was written.

    Raises:
        DataError: If the folder holds no finished run, its figures are damaged, ``data`` holds other images than those
            of the run, or more than a tenth of the test images are broken by now.
        ModelFileError: If the Model cannot be read.
        EngineError: If the engine cannot run it.
        OSError: If the file cannot be written.

    >>> import tempfile
    >>> from PIL import Image
    >>> from mobilenets import Settings, fit
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for label, color in (("red", (200, 40, 40)), ("blue", (40, 40, 200))):
    ...         Path(folder, "images", label).mkdir(parents=True)
    ...         for number in range(20):
    ...             shade = tuple(value + number for value in color)
    ...             Image.new("RGB", (32, 32), shade).save(Path(folder, "images", label, f"{number}.png"))
    ...     settings = Settings(width=0.25, resolution=32, epochs=1)
    ...     _ = fit(f"{folder}/images", f"{folder}/run", settings)
    ...     page = report(f"{folder}/run")
    ...     page.name, "<html" in page.read_text(encoding="utf-8")
    ('report.html', True)
    """
    path = Path(run) / REPORT_FILE if output is None else Path(output)
    if output is not None:
        check_folder_of(path)
    write_report(read_run(run, data, reading, progress=progress), path, progress=progress)
    return path


def report_run(
    fit: Fit,
    folder: str | Path,
    *,
    quantized: CompressionResult | None = None,
    command: Sequence[str] = (),
    progress: Progress = SILENT,
) -> Path:
    """Write the report of a run that has just ended into its folder, and add to its figures what is given here.

    Args:
        fit: What came of the run.
        folder: Its output folder.
        quantized: The int8 Model that was made of its Model, where that is float32.
        command: The words by which the run was called for, so that the report can repeat them.
        progress: Receives progress updates.

    Returns:
        The HTML file.

    Raises:
        DataError: If more than a tenth of the test images are broken by now.
        EngineError: If the engine cannot run the Model.
        OSError: If a file cannot be written.
    """
    figures: dict[str, Any] = {"command": list(command)}
    if quantized is not None:
        figures["compression"] = quantized.report.to_json()
    add_metrics(folder, figures)
    path = Path(folder) / REPORT_FILE
    run = run_of(fit, folder, int8=None if quantized is None else quantized.model, figures=figures)
    write_report(run, path, progress=progress)
    return path


def write_report(result: Fit | Run, path: str | Path, *, progress: Progress = SILENT) -> None:
    """Measure what a run has made, and write its report.

    Args:
        result: What :func:`mobilenets.fit` gives, or a run that :func:`read_run` read. A Fit is
            taken to lie, as a Model, in the folder of the report.
        path: Of the HTML file; written atomically.
        progress: Receives progress updates.

    Raises:
        DataError: If more than a tenth of the test images are broken by now.
        EngineError: If the engine cannot run the Model.
        OSError: If the file cannot be written.
    """
    run = result if isinstance(result, Run) else run_of(result, Path(path).parent)
    write_atomically(Path(path), run_page(run, progress=progress).encode("utf-8"))


def run_page(run: Run, *, progress: Progress = SILENT) -> str:
    """The report of a run as a page of HTML."""
    title = f"{summary.network_name(run.model)} on {run.source}"
    return html_document(title, _parts(run, progress))


def _parts(run: Run, progress: Progress) -> list[Element]:
    models = [model for model in (run.float32, run.int8) if model is not None]
    costs = dict(zip((model.precision for model in models), measure_costs(models, progress=progress), strict=True))
    chosen = [] if run.search is None else [frontier.frontier_section(run.search)]
    sections = [
        *chosen,
        advice.advice_section(run),
        predictions.predictions_section(run.evaluation),
        *_confidence(run),
        _mistakes(run, progress),
        *_labels(run, progress),
        *([] if run.data_facts is None else [data_section(run.data_facts, run.source)]),
        training.training_section(run),
        layers.layers_section(layers.timed_layers(run.model)),
        _compression(run, costs, progress),
        usage.usage_section(run),
        usage.reproduction_section(run),
    ]
    return [summary.summary_section(run, costs[run.model.precision]), _contents(sections), *sections, colophon()]


def _confidence(run: Run) -> list[Element]:
    """How sure the Model is; nothing of a run of a release that did not measure it."""
    if not run.evaluation.reliability or not isinstance(run.model.task, Classification):
        return []
    command = f"mobilenets calibrate {shlex.quote(usage.model_path(run))} {shlex.quote(run.source)}"
    return [confidence.confidence_section(run.evaluation, run.model.task.temperature, command)]


def _mistakes(run: Run, progress: Progress) -> Element:
    if run.dataset is None:
        return mistakes.section_without_images()
    found = mistakes.predict_all(run.model, run.dataset, progress=progress)
    return mistakes.mistakes_section(found, run.source, run.float32 or run.model)


def _labels(run: Run, progress: Progress) -> list[Element]:
    """Probable label errors; nothing where the images are not at hand, are too few or too many."""
    if run.dataset is None:
        return []
    found = labels.judged_labels(run.float32 or run.model, run.dataset, progress=progress)
    return [] if found is None else [labels.labels_section(found, len(run.dataset.train), run.source)]


def _compression(run: Run, costs: Mapping[str, ModelCost], progress: Progress) -> Element:
    if run.int8 is None:
        path, source = shlex.quote(usage.model_path(run)), shlex.quote(run.source)
        return compression.uncompressed_section(f"mobilenets quantize {path} --calibration {source} --data {source}")
    made = Provenance.of(run.int8).quantization or QuantizationProvenance()
    quality = run.metrics.get("compression") or made.quality or made.verdict or {}
    tested = _tested(run, progress)
    return compression.compression_section(quality, costs, trained=bool(made.trained), tested=tested)


def _tested(run: Run, progress: Progress) -> dict[str, Share]:
    """Right answers on the test images in each precision; none where the images are not at hand."""
    other = run.float32 if run.model.quantization is not None else run.int8
    if run.dataset is None or other is None:
        return {}
    measured = evaluate(Classifier(other), run.dataset.test, progress=progress)
    both = {run.model.precision: run.evaluation, other.precision: measured}
    return {precision: Share(one.images - one.wrong, one.images) for precision, one in both.items()}


def _contents(sections: list[Element]) -> Element:
    """Links to the sections."""
    return tag(
        "nav",
        tag("ul", [tag("li", tag("a", part[0].text, href=f"#{part.get('id')}")) for part in sections]),
        aria_label="Contents",
    )
