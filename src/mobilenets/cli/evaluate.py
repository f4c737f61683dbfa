"""``mobilenets evaluate``: how right a Model is on labeled images."""

from __future__ import annotations

import click

from mobilenets.cli.console import (
    IMAGES_SKIPPED,
    json_option,
    print_json,
    progress_to_stderr,
    quiet_option,
    say,
)
from mobilenets.cli.data_options import data_options
from mobilenets.cli.evaluations import print_metrics
from mobilenets.cli.number import Integer
from mobilenets.data.dataset import check_source, load_collection, reading_of
from mobilenets.data.reading import Reading
from mobilenets.engine.evaluate import SPLITS, labeled_images, trained_among
from mobilenets.engine.evaluate import evaluate as evaluate_images
from mobilenets.engine.predictor import Predictor
from mobilenets.formats.loading import load_model


@click.command("evaluate")
@click.argument("model")
@click.argument("data")
@click.option("--split", type=click.Choice(SPLITS), help="Which images.  [default: test, or all]")
@click.option("--threads", type=Integer(min=1), help="Threads; by default all cores.")
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
    """Print how right MODEL is on DATA.

    Of a classifier: top-1, top-5, calibration of the probabilities, precision and recall per class, and the confusion
    matrix. Of a detector: mean average precision as COCO defines it (50-95 and 50), by class and by size of objects.
    Of a Model that gives an image several labels: mean average precision, and the figures of every label.

    MODEL is a Model file, a folder that fit wrote, a foreign file, or published weights such as keras:0.25-224.
    DATA is a folder of class folders, of train/val/test folders, a CSV of file,class, or "digits"; for a detector,
    images with boxes as COCO's JSON, Pascal VOC's XML, YOLO's text files or a table has them. By default the test
    images are used where DATA has them, or where MODEL was fitted to DATA; else all images. Images that cannot be read
    are listed as "skipped" in --json, and the exit code is then 3.
    """
    check_source(data)
    progress = progress_to_stderr(quiet=quiet)
    predictor = Predictor(load_model(model, progress=progress), threads)
    collection = load_collection(data, reading or reading_of(predictor.model, data))
    for finding in collection.findings:
        progress.note(finding.line)
    part, subset = labeled_images(predictor.model, collection, split)
    evaluation = evaluate_images(predictor, subset, progress=progress)
    trained = trained_among(predictor.model, data, part)
    if as_json:
        print_json({"model": model, "data": data, "split": part, "note": trained, **evaluation.to_json()})
    else:
        if trained is not None:
            say(f"warning: {trained}")
        print_metrics(evaluation, part)
    if evaluation.skipped:
        raise SystemExit(IMAGES_SKIPPED)
