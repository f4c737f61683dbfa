"""The report of a run: one HTML file that opens anywhere, with no script, no network and nothing beside it."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mobilenets.base.arguments import typed
from mobilenets.base.atomic_write import check_folder_of, write_atomically
from mobilenets.base.deadline import Deadline
from mobilenets.base.progress import SILENT, Progress
from mobilenets.data.reading import Reading
from mobilenets.errors import DataError
from mobilenets.model.provenance import Provenance, QuantizationProvenance
from mobilenets.reports.finished_run import Run, read_run, run_of
from mobilenets.reports.pages import by_task, compression, frontier, layers, summary, training, usage
from mobilenets.reports.pages.data import data_section
from mobilenets.reports.pages.document import colophon, html_document
from mobilenets.reports.pages.markup import Element, tag
from mobilenets.search.costs import ModelCost, measure_costs
from mobilenets.training.run_folder import REPORT_FILE, add_metrics

if TYPE_CHECKING:
    from mobilenets.compression.result import CompressionResult
    from mobilenets.training.result import Fit

SHORTEST_SECONDS = 2.0
"""What a report may take at least, however short the time is that is left."""


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
    seconds: float | None = None,
    progress: Progress = SILENT,
) -> Path:
    """Write the report of a run that has just ended into its folder, and add to its figures what is given here.

    Args:
        fit: What came of the run.
        folder: Its output folder.
        quantized: The int8 Model that was made of its Model, where that is float32.
        command: The words by which the run was called for, so that the report can repeat them.
        seconds: What it may take, about; pages that look at many images are left out where that is too little, and
            :func:`report` makes them. None for no limit.
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
    deadline = Deadline.after(None if seconds is None else max(seconds, SHORTEST_SECONDS))
    write_atomically(path, run_page(run, deadline=deadline, progress=progress).encode("utf-8"))
    if deadline.left_out:
        left_out = ", ".join(deadline.left_out)
        progress.note(f"the report leaves out {left_out}: the time is over; mobilenets report {folder} makes it whole")
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


def run_page(run: Run, *, deadline: Deadline = Deadline(), progress: Progress = SILENT) -> str:
    """The report of a run as a page of HTML.

    Args:
        run: The run.
        deadline: What looks at many images is left out where it would not be over by then.
        progress: Receives progress updates.
    """
    title = f"{summary.network_name(run.model)} on {run.source}"
    return html_document(title, _parts(run, deadline, progress))


def _parts(run: Run, deadline: Deadline, progress: Progress) -> list[Element]:
    models = [model for model in (run.float32, run.int8) if model is not None]
    costs = dict(zip((model.precision for model in models), measure_costs(models, progress=progress), strict=True))
    chosen = [] if run.search is None else [frontier.frontier_section(run.search, run.evaluation.primary.title)]
    several = run.model.task.kind == "multilabel"
    sections = [
        *chosen,
        *by_task.sections_of_task(run, deadline, progress),
        *([] if run.data_facts is None else [data_section(run.data_facts, run.source, several_labels=several)]),
        training.training_section(run),
        layers.layers_section(layers.timed_layers(run.model)),
        _compression(run, costs, deadline, progress),
        usage.usage_section(run),
        usage.reproduction_section(run),
    ]
    return [summary.summary_section(run, costs[run.model.precision]), _contents(sections), *sections, colophon()]


def _compression(run: Run, costs: Mapping[str, ModelCost], deadline: Deadline, progress: Progress) -> Element:
    if run.int8 is None:
        path, source = shlex.quote(usage.model_path(run)), shlex.quote(run.source)
        return compression.uncompressed_section(f"mobilenets quantize {path} --calibration {source} --data {source}")
    made = Provenance.of(run.int8).quantization or QuantizationProvenance()
    quality = run.metrics.get("compression") or made.quality or made.verdict or {}
    tested = by_task.tested_in_both(run, deadline, progress)
    return compression.compression_section(quality, costs, trained=bool(made.trained), tested=tested)


def _contents(sections: list[Element]) -> Element:
    """Links to the sections."""
    return tag(
        "nav",
        tag("ul", [tag("li", tag("a", part[0].text, href=f"#{part.get('id')}")) for part in sections]),
        aria_label="Contents",
    )
