"""``mobilenets calibrate``: a Model whose probabilities are right as often as they say, and that knows the unknown."""

from __future__ import annotations

from pathlib import Path

import click

from mobilenets.base.text import plural
from mobilenets.cli.console import json_option, print_json, progress_to_stderr, quiet_option, say
from mobilenets.cli.data_options import data_options
from mobilenets.cli.output_file import OutputFile
from mobilenets.data.dataset import load_collection, reading_of
from mobilenets.data.reading import Reading
from mobilenets.engine.calibrate import CALIBRATION_SPLITS, TemperatureFit
from mobilenets.engine.calibrate import calibrate as calibrate_model
from mobilenets.engine.thresholds import ThresholdFit, calibrate_thresholds
from mobilenets.formats.loading import file_for, load_model
from mobilenets.model.file import check_model_path, save
from mobilenets.tasks.classification_metrics import ClassificationMetrics


@click.command("calibrate")
@click.argument("model")
@click.argument("data")
@click.option(
    "-o", "--output", type=OutputFile(check=check_model_path, of_run=True), help="[default: MODEL is overwritten]"
)
@click.option(
    "--split", type=click.Choice(CALIBRATION_SPLITS), default="validation", show_default=True, help="Which images."
)
@data_options
@json_option
@quiet_option
def command(
    model: str, data: str, output: Path | None, split: str, reading: Reading | None, as_json: bool, quiet: bool
) -> None:
    """Fit the temperature of MODEL on the labeled images of DATA, so that 90 % sure is right nine times in ten.

    It also sets the threshold for predict --unknown, so that 95 % of these images pass as known. No other answer
    changes, only the probabilities. DATA is as for evaluate; its validation images are used, or those of
    MODEL where it was fitted to DATA. Images that trained MODEL would make it too sure, and test images are to be kept
    for evaluation. fit does the same at its end. A MODEL that gives an image several labels gets a threshold for each.
    """
    progress = progress_to_stderr(quiet=quiet)
    loaded = load_model(model, progress=progress)
    collection = load_collection(data, reading or reading_of(loaded, data))
    for finding in collection.findings:
        progress.note(finding.line)
    several = loaded.task.kind == "multilabel"
    result: TemperatureFit | ThresholdFit
    if several:
        result = calibrate_thresholds(loaded, collection, split=split, progress=progress)
    else:
        result = calibrate_model(loaded, collection, split=split, progress=progress)
    path = output or file_for(model)
    save(result.model, path)
    if as_json:
        print_json({"model": str(path), **result.to_json()})
    elif isinstance(result, ThresholdFit):
        _print_thresholds(result, path)
    else:
        _print(result, path)


def _print_thresholds(result: ThresholdFit, path: Path) -> None:
    images = f"{plural(result.before.images, 'image')} ({result.split})"
    say(f"a threshold for each of {plural(len(result.after.labels), 'label')}, chosen on {images}")
    say(f"F1 on these {100 * result.before.f1:.1f} % before, {100 * result.after.f1:.1f} % after")
    if result.before.skipped:
        say(f"{plural(len(result.before.skipped), 'unreadable image')} skipped")
    say(f"{path} is written")


def _print(result: TemperatureFit, path: Path) -> None:
    images = f"{plural(result.before.images, 'image')} ({result.split})"
    say(f"temperature {result.temperature:.3g}, fitted on {images}; no answer changes")
    for name, metrics in (("before", result.before), ("after", result.after)):
        say(f"{name:7} {confidence_line(metrics)}")
    if result.unknown is not None:
        say(f"unknown is what has less energy than {result.unknown.energy:.3g}, as 5 % of these images have")
    if result.skipped:
        say(f"{plural(len(result.skipped), 'unreadable image')} skipped")
    say(f"{path} is written")


def confidence_line(metrics: ClassificationMetrics) -> str:
    """How sure the Model is, how right, and how far apart the two lie: by itself, and on so few images by chance."""
    error, chance = metrics.expected_calibration_error or 0, metrics.calibration_error_by_chance or 0
    return (
        f"expected calibration error {100 * error:.1f} % ({100 * chance:.1f} by chance): "
        f"{100 * (metrics.mean_confidence or 0):.1f} % sure, {100 * metrics.top1:.1f} % right"
    )
