"""``mobilenets evaluate``: how right a Model is on labeled images."""

from __future__ import annotations

import click
from rich.console import Console
from rich.table import Table

from mobilenets.base.text import plural
from mobilenets.cli.calibrate import confidence_line
from mobilenets.cli.console import (
    IMAGES_SKIPPED,
    json_option,
    print_json,
    progress_to_stderr,
    quiet_option,
    results,
    say,
)
from mobilenets.cli.data_options import data_options
from mobilenets.data.dataset import check_source, load_collection, reading_of
from mobilenets.data.reading import Reading
from mobilenets.engine.evaluate import SPLITS, labeled_images, trained_among
from mobilenets.engine.evaluate import evaluate as evaluate_images
from mobilenets.engine.predictor import Classifier
from mobilenets.formats.loading import load_model
from mobilenets.tasks.classification_metrics import ClassificationMetrics
from mobilenets.tasks.metrics import FEW

MOST_CONFUSION_COLUMNS = 12
MOST_CLASSES = 40


@click.command("evaluate")
@click.argument("model")
@click.argument("data")
@click.option("--split", type=click.Choice(SPLITS), help="Which images.  [default: test, or all]")
@click.option("--threads", type=click.IntRange(min=1), help="Threads; by default all cores.")
@data_options
@json_option
@quiet_option
def command(
    model: str,
    data: str,
    split: str | None,
    threads: int | None,
    reading: Reading | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Print top-1, top-5, calibration of the probabilities, precision and recall per class, and the confusion matrix.

    MODEL is a Model file, a folder that fit wrote, a foreign file, or published weights such as keras:0.25-224.
    DATA is a folder of class folders, of train/val/test folders, a CSV of file,class, or "digits". By default the test
    images are used where DATA has them, or where MODEL was fitted to DATA; else all images. Images that cannot be read
    are listed as "skipped" in --json, and the exit code is then 3.
    """
    check_source(data)
    progress = progress_to_stderr(quiet=quiet)
    classifier = Classifier(load_model(model, progress=progress), threads)
    collection = load_collection(data, reading or reading_of(classifier.model, data))
    for finding in collection.findings:
        progress.note(finding.line)
    part, subset = labeled_images(classifier.model, collection, split)
    evaluation = evaluate_images(classifier, subset, progress=progress)
    trained = trained_among(classifier.model, data, part)
    if as_json:
        print_json({"model": model, "data": data, "split": part, "note": trained, **evaluation.to_json()})
    else:
        if trained is not None:
            say(f"warning: {trained}")
        _print(evaluation, part)
    if evaluation.skipped:
        raise SystemExit(IMAGES_SKIPPED)


def _print(evaluation: ClassificationMetrics, part: str) -> None:
    console = results()
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
    return "–" if share is None else f"{100 * share:.1f}"


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
