"""How training went: loss and accuracy by epoch, all phases one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mobilenets.base.text import percent, plural
from mobilenets.reports.charts import NARROW, Axis, Chart, Points, figure, legend
from mobilenets.reports.finished_run import PhaseCurve, Run
from mobilenets.reports.pages.markup import Element, section, tag

HALF = 370
"""CSS pixels of a chart that stands beside another."""
SERIES = (("training", "training (distorted images)"), ("validation", "validation"))


def training_section(run: Run) -> Element:
    """The section."""
    if not _rows(run.phases):
        words = (
            "There was no time to train the whole network: the first usable Model was kept, a classifier on features."
        )
        return section("training", "How training went", tag("p", words))
    losses = [
        value for row in _rows(run.phases) for value in (row["loss"], row["validation_loss"]) if value is not None
    ]
    loss = Axis(0, 1.05 * max(losses), "cross-entropy")
    metric = run.evaluation.primary.title
    accuracy = Axis(0, 1, metric, show=lambda share: f"{100 * share:.0f} %")
    charts = [
        figure(lambda width: _draw(run.phases, width, loss, "loss"), None, wide=HALF),
        figure(lambda width: _draw(run.phases, width, accuracy, "primary"), None, wide=HALF),
    ]
    return section(
        "training",
        "How training went",
        tag("p", f"{_length(run.phases)}. {_kept(run.phases[-1], metric, refitted=run.refitted)}"),
        legend(*SERIES),
        tag("div", charts, class_="pair"),
    )


def _length(phases: Sequence[PhaseCurve]) -> str:
    first, *others = (f"{plural(len(phase.epochs), 'epoch')}{phase.name and f' of {phase.name}'}" for phase in phases)
    return ", then ".join([first, *others])


def _kept(phase: PhaseCurve, metric: str, *, refitted: bool) -> str:
    if not phase.best_epoch and not phase.name:
        return "No epoch was more accurate on the validation images than the first usable Model, which was kept."
    if not phase.best_epoch:
        return f"By the validation images no epoch of {phase.name} was better than what it began as, which was kept."
    which = f"{phase.best_epoch} of {phase.name}" if phase.name else f"{phase.best_epoch}"
    before = phase.last_validated
    if before is not None and refitted:
        return (
            f"The first {before['number']:.0f} epochs were a short run without the validation images, which reached "
            f"{percent(before['validation_primary'])} {metric} on them. Then training began again from the start, on "
            f"these too. Epoch {which} was kept."
        )
    if before is not None:
        return (
            f"Epoch {which} was kept. After epoch {before['number']:.0f}, with {percent(before['validation_primary'])} "
            f"validation {metric}, the validation images were trained on too."
        )
    reached = percent(phase.epochs[phase.best_epoch - 1]["validation_primary"])
    return f"Epoch {which} was kept, selected by validation: {reached} {metric}."


def _rows(phases: Sequence[PhaseCurve]) -> list[Any]:
    return [row for phase in phases for row in phase.epochs]


def _draw(phases: Sequence[PhaseCurve], width: float, y: Axis, figure_name: str) -> Element:
    rows = _rows(phases)
    chart = Chart(
        width, 230 if width > NARROW else 210, Axis(0 if len(rows) == 1 else 1, max(len(rows), 1), "epoch"), y
    )
    before = 0
    for phase in phases:
        if before:
            chart.upright(before + 0.5, "phase")
        for series, prefix in (("training", ""), ("validation", "validation_")):
            points = _points(phase, prefix + figure_name, before)
            if len(points) == 1:
                chart.dot(*points[0], series, radius=3)
            else:
                chart.line(points, series)
        before += len(phase.epochs)
    last = phases[-1]
    kept = last.epochs[last.best_epoch - 1][f"validation_{figure_name}"] if last.best_epoch else None
    if kept is not None:
        chart.dot(before - len(last.epochs) + last.best_epoch, kept, "validation", radius=4, title="kept")
    ends = ", ".join(
        f"{series} {_value(next((v for row in reversed(rows) if (v := row[prefix + figure_name]) is not None), None))}"
        for series, prefix in (("training", ""), ("validation", "validation_"))
    )
    return chart.element(f"{y.title} over {len(rows)} epochs; at the end {ends}")


def _value(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.3g}"


def _points(phase: PhaseCurve, figure_name: str, before: int) -> Points:
    return [
        (before + number, row[figure_name])
        for number, row in enumerate(phase.epochs, start=1)
        if row[figure_name] is not None
    ]
