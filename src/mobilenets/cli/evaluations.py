"""Metrics of any task on the terminal, in tables of 80 columns."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from mobilenets.base.text import plural
from mobilenets.cli.calibrate import confidence_line
from mobilenets.cli.console import results
from mobilenets.tasks.classification_metrics import ClassificationMetrics
from mobilenets.tasks.metrics import FEW
from mobilenets.tasks.task import Metrics

if TYPE_CHECKING:
    from mobilenets.tasks.detection_metrics import DetectionMetrics
    from mobilenets.tasks.multilabel_metrics import MultiLabelMetrics

MOST_CONFUSION_COLUMNS = 12
MOST_CLASSES = 40


def print_metrics(metrics: Metrics, part: str) -> None:
    """Print metrics to standard output.

    Args:
        metrics: Of a Model on some images.
        part: Which images they are, such as ``test``.
    """
    from mobilenets.tasks.detection_metrics import DetectionMetrics
    from mobilenets.tasks.multilabel_metrics import MultiLabelMetrics

    console = results()
    match metrics:
        case ClassificationMetrics():
            _print_classifier(console, metrics, part)
        case DetectionMetrics():
            _print_detector(console, metrics, part)
        case MultiLabelMetrics():
            _print_labels(console, metrics, part)
        case _:
            console.print(f"{metrics.in_words} ({part})")


def _print_labels(console: Console, metrics: MultiLabelMetrics, part: str) -> None:
    low, high = metrics.interval
    console.print(
        f"mean average precision {_percent(metrics.mean_average_precision)} % "
        f"(95 % interval {100 * low:.1f} to {100 * high:.1f})"
    )
    console.print(f"on {plural(metrics.images, 'image')} ({part})")
    console.print(f"at the thresholds F1 is {_percent(metrics.f1)} %")
    console.print(f"given exactly the right labels: {metrics.exact}")
    if metrics.skipped:
        console.print(f"{plural(len(metrics.skipped), 'unreadable image')} skipped")
    rows = sorted(metrics.labels, key=lambda one: (one.average_precision is None, one.average_precision or 0))
    table = _numbers_table("label", "images", "AP %", "threshold %", "precision %", "recall %")
    for one in rows[:MOST_CLASSES]:
        figures = (one.average_precision, one.threshold, one.precision, one.recall)
        table.add_row(one.label, f"{one.images:,}", *map(_percent, figures))
    console.print()
    console.print(table)
    if len(rows) > MOST_CLASSES:
        console.print(f"… and {len(rows) - MOST_CLASSES} more labels, of higher average precision; --json lists all")


def _print_detector(console: Console, metrics: DetectionMetrics, part: str) -> None:
    low, high = metrics.interval
    console.print(
        f"mAP 50-95 {_percent(metrics.map50_95)} % (95 % interval {100 * low:.1f} to {100 * high:.1f}), "
        f"mAP 50 {_percent(metrics.map50)} %, mAP 75 {_percent(metrics.map75)} %"
    )
    console.print(f"{plural(metrics.objects, 'object')} in {plural(metrics.images, 'image')} ({part})")
    console.print(
        f"from a score of {metrics.score_threshold:g} on: {metrics.found.count:,} found, "
        f"{metrics.objects - metrics.found.count:,} missed, {metrics.invented:,} invented"
    )
    if metrics.skipped:
        console.print(f"{plural(len(metrics.skipped), 'unreadable image')} skipped")
    console.print()
    console.print(_detected_classes(metrics))
    shown = len(metrics.classes) - MOST_CLASSES
    if shown > 0:
        console.print(f"… and {shown} more classes, with equal or higher mAP; --json lists all")
    console.print()
    sizes = _numbers_table("size", "objects", "mAP 50-95", "mAP 50")
    for size in metrics.sizes:
        sizes.add_row(size.name, f"{size.objects:,}", _percent(size.ap), _percent(size.ap50))
    console.print(sizes)


def _detected_classes(metrics: DetectionMetrics) -> Table:
    table = _numbers_table("class", "objects", "AP 50-95", "AP 50", "precision %", "recall %")
    rows = sorted(metrics.classes, key=lambda one: (one.ap is None, one.ap or 0))
    for one in rows[:MOST_CLASSES]:
        figures = (one.ap, one.ap50, one.precision, one.recall)
        table.add_row(one.label, f"{one.objects:,}", *map(_percent, figures))
    return table


def _numbers_table(first: str, *others: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column(first, max_width=28, overflow="ellipsis", no_wrap=True)
    for column in others:
        table.add_column(column, justify="right")
    return table


def _print_classifier(console: Console, evaluation: ClassificationMetrics, part: str) -> None:
    low, high = evaluation.top1_interval
    # Of five classes or fewer, the right one is always among the five likeliest.
    top5 = f", top-5 {100 * evaluation.top5:.2f} %" if len(evaluation.labels) > 5 else ""
    console.print(f"top-1 {100 * evaluation.top1:.2f} % (95 % interval {100 * low:.1f} to {100 * high:.1f}){top5}")
    console.print(f"on {plural(evaluation.images, 'image')} ({part})")
    if evaluation.images < FEW:
        console.print(evaluation.correct.in_words)
    if evaluation.reliability:
        console.print(confidence_line(evaluation))
    if evaluation.called_unknown is not None and evaluation.wrong_called_unknown is not None:
        called, wrong = evaluation.called_unknown, evaluation.wrong_called_unknown
        console.print(
            f"predict --unknown calls {called.count} of them unknown, {wrong.count} of {wrong.total} wrong ones"
        )
    if evaluation.skipped:
        console.print(f"{plural(len(evaluation.skipped), 'unreadable image')} skipped")
    _print_classes(console, evaluation)
    _print_confusion(console, evaluation)


def _print_classes(console: Console, evaluation: ClassificationMetrics) -> None:
    figures = sorted(evaluation.classes, key=lambda row: (row.recall is None, row.recall or 0))
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("class", max_width=34, overflow="ellipsis", no_wrap=True)
    for column in ("images", "precision %", "recall %"):
        table.add_column(column, justify="right")
    shown = figures if len(figures) <= MOST_CLASSES else figures[:MOST_CLASSES]
    for row in shown:
        table.add_row(row.label, str(row.images), _percent(row.precision), _percent(row.recall))
    console.print()
    console.print(table)
    if len(shown) < len(figures):
        console.print(f"… and {len(figures) - len(shown)} more classes, with equal or higher recall; --json lists all")


def _percent(share: float | None) -> str:
    return "–" if share is None or math.isnan(share) else f"{100 * share:.1f}"


def _print_confusion(console: Console, evaluation: ClassificationMetrics) -> None:
    listed = evaluation.to_json()["confusion"]
    labels = [row.label for row in evaluation.classes]
    if len(labels) > MOST_CONFUSION_COLUMNS:
        console.print("\nThe confusion matrix is too wide to print; --json has it.")
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("", max_width=20, overflow="ellipsis", no_wrap=True)
    for label in labels:
        table.add_column(label[:5], justify="right", no_wrap=True)
    for label, row in zip(labels, listed, strict=True):
        table.add_row(label, *(str(count) if count else "·" for count in row))
    console.print("\nconfusion matrix (rows: true class, columns: predicted class)")
    console.print(table)
