"""The report of a run: one HTML file that opens anywhere, with no script, no network and nothing beside it."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from mobilenets import __version__
from mobilenets.base.atomic_write import write_atomically
from mobilenets.base.progress import SILENT, Progress
from mobilenets.reports.pages import answers, compression, frontier, layers, mistakes, training, use, verdict
from mobilenets.reports.pages.markup import Element, tag, write
from mobilenets.reports.run import Run, run_of
from mobilenets.search.costs import ModelCost, measure_costs

if TYPE_CHECKING:
    from mobilenets.training.result import Fit


def write_report(result: Fit | Run, path: str | Path, *, progress: Progress = SILENT) -> None:
    """Measure what a run has made, and write its report.

    Args:
        result: What :func:`mobilenets.fit` gives, or a run that :func:`~mobilenets.reports.run.read_run` read. A Fit is
            taken to lie, as a Model, in the folder of the report.
        path: Of the HTML file; written atomically.
        progress: Hears about measuring and looking for mistakes.

    Raises:
        DataError: If more than a tenth of the test images are broken by now.
        EngineError: If the engine cannot run the Model.
        OSError: If the file cannot be written.
    """
    run = result if isinstance(result, Run) else run_of(result, Path(path).parent)
    write_atomically(Path(path), document(run, progress=progress).encode("utf-8"))


def document(run: Run, *, progress: Progress = SILENT) -> str:
    """The page as text."""
    title = f"{verdict.network_name(run.model)} on {run.source}"
    page = tag(
        "html",
        tag(
            "head",
            tag("meta", charset="utf-8"),
            tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
            tag("meta", name="color-scheme", content="light dark"),
            tag("title", title),
            tag("style", resources.files("mobilenets.reports.pages").joinpath("style.css").read_text(encoding="utf-8")),
        ),
        tag("body", tag("main", _parts(run, progress))),
        lang="en",
    )
    return f"<!DOCTYPE html>\n{write(page)}\n"


def _parts(run: Run, progress: Progress) -> list[Element]:
    models = [model for model in (run.float32, run.int8) if model is not None]
    costs = dict(zip((model.precision for model in models), measure_costs(models, progress=progress), strict=True))
    chosen = [] if run.search is None else [frontier.trade_off(run.search)]
    sections = [
        *chosen,
        answers.answers(run.evaluation),
        _mistakes(run, progress),
        training.training(run),
        layers.layers(layers.timed_layers(run.model)),
        _compression(run, costs),
        use.use(run),
        use.reproduce(run),
    ]
    return [verdict.opening(run, costs[run.model.precision]), _contents(sections), *sections, _colophon()]


def _mistakes(run: Run, progress: Progress) -> Element:
    if run.dataset is None:
        return mistakes.no_images()
    found = mistakes.answers_to(run.model, run.dataset, progress=progress)
    return mistakes.mistakes(found, run.source)


def _compression(run: Run, costs: Mapping[str, ModelCost]) -> Element:
    if run.int8 is None:
        path, source = shlex.quote(use.model_path(run)), shlex.quote(run.source)
        return compression.not_compressed(f"mobilenets quantize {path} --calibration {source} --data {source}")
    entry = run.int8.provenance.get("quantization", {})
    verdict_figures = run.metrics.get("compression") or entry.get("verdict") or {}
    return compression.compression(verdict_figures, costs, trained=bool(entry.get("trained")))


def _contents(sections: list[Element]) -> Element:
    """Links to the sections."""
    return tag(
        "nav",
        tag("ul", [tag("li", tag("a", part[0].text, href=f"#{part.get('id')}")) for part in sections]),
        aria_label="Contents",
    )


def _colophon() -> Element:
    return tag(
        "footer",
        tag("p", f"Written by mobilenets {__version__}. This file is whole: it loads nothing and runs nothing."),
    )
