"""``mobilenets predict``: what a Model says of images."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mobilenets.base.progress import Progress
from mobilenets.base.text import per_second, plural
from mobilenets.cli.bulk import ONLY_WITH_OUTPUT, predict_to_output
from mobilenets.cli.console import IMAGES_SKIPPED, json_option, print_json, progress_to_stderr, quiet_option
from mobilenets.cli.number import Integer, Number
from mobilenets.cli.output_file import OutputFile
from mobilenets.cli.predictions import CsvWriter, JsonWriter, LineWriter
from mobilenets.cli.ray_address import ray_option
from mobilenets.data.image import BytesImage, FileImage, ImageSource
from mobilenets.data.sources import images_of
from mobilenets.engine.predictor import Classifier, Predictor
from mobilenets.errors import DataError
from mobilenets.formats.loading import load_model
from mobilenets.model.model import Model
from mobilenets.tasks.classification import Classification, ClassPrediction
from mobilenets.tasks.task import Prediction, Task
from mobilenets.tasks.unknown import UNKNOWN_LABEL

if TYPE_CHECKING:
    from mobilenets.data.sorting import SortedFolders
    from mobilenets.engine.drawing import DrawnFolder

STANDARD_INPUT = "-"
SHOWN_LABELS = 3
"""Labels of an image that are printed by default."""


@click.command("predict")
@click.argument("model")
@click.argument("images", nargs=-1, required=True)
@click.option("--top", type=Integer(min=1), help="Results per image.  [default: 3 labels, all boxes]")
@click.option("--unknown", is_flag=True, help='Answer "unknown" for images of no known class.')
@click.option(
    "--threshold",
    type=Number(0, 1),
    metavar="P",
    help='Answer "unknown" below this probability, such as 0.6; leave out boxes, or several labels, below this score.',
)
@click.option(
    "--draw", type=click.Path(path_type=Path), help="Write each image with its boxes to FOLDER.", metavar="FOLDER"
)
@click.option("--csv", "as_csv", is_flag=True, help="Print a table with commas, a row for each image or box.")
@json_option
@click.option(
    "--sort-into", type=click.Path(path_type=Path), help="Copy each image into FOLDER/label.", metavar="FOLDER"
)
@click.option("--link", is_flag=True, help="With --sort-into: symbolic links instead of copies.")
@click.option(
    "--features",
    "features_file",
    type=OutputFile(".npy", ".parquet"),
    help="Write the features of each image to FILE (.npy or .parquet) instead.",
    metavar="FILE",
)
@click.option("--layer", help="With --features: the layer whose result is taken.  [default: before the classifier]")
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    help="Write a row for each image or box to FILE (.parquet, .csv or .jsonl); goes on where a run was stopped.",
)
@click.option("--shard", metavar="I/N", help="With -o: only share I of N of the images, into FILE-I-of-N.")
@ray_option("With -o: share the images out over a Ray cluster.")
@click.option("--force", "replace_existing", is_flag=True, help="With -o: replace FILE, and begin anew.")
@click.option("--dry-run", is_flag=True, help="With -o: only count the images, and check the rest.")
@click.option("--threads", type=Integer(min=1), help="Threads; by default all cores.")
@quiet_option
def command(
    model: str,
    images: tuple[str, ...],
    top: int | None,
    unknown: bool,
    threshold: float | None,
    draw: Path | None,
    as_csv: bool,
    as_json: bool,
    sort_into: Path | None,
    link: bool,
    features_file: Path | None,
    layer: str | None,
    output: str | None,
    shard: str | None,
    ray: str | None,
    replace_existing: bool,
    dry_run: bool,
    threads: int | None,
    quiet: bool,
) -> None:
    """Print what MODEL says of IMAGES, one line each: of a classifier, the likeliest labels; of a detector, boxes.

    MODEL is a Model file, a folder that fit wrote, a foreign file, or published weights such as keras:0.25-224.
    IMAGES are files of any size, folders, or - for an image on standard input. Where some of them cannot be read, the
    others are predicted, --json and --csv give the reason as "error", and the exit code is 3.

    With -o FILE there may be any number of images, also in lists (text, CSV, JSON Lines, Parquet, Arrow), tar archives
    and at addresses (s3://…).

    The likeliest label is one of the Model's, whatever an image shows. With --unknown, by a threshold that fit and
    calibrate set, and with --threshold, the answer may be "unknown".

    Boxes are printed as left, top, width and height in pixels of the upright image; --json has them in COCO's form, and
    --csv a row for each.
    """
    _refuse_contradictions(as_csv=as_csv, as_json=as_json, sort_into=sort_into, link=link, layer=layer)
    progress = progress_to_stderr(quiet=quiet)
    if output is not None:
        predict_to_output(
            model, images, output, as_json=as_json, ray=ray, progress=progress, top=top,
            unknown=unknown, threshold=threshold, shard=shard, threads=threads, replace_existing=replace_existing,
            dry_run=dry_run,
        )  # fmt: skip
        return
    if features_file is not None:
        _write_features(model, images, features_file, layer, threads, as_json=as_json, progress=progress)
        return
    loaded = load_model(model, progress=progress)
    predict_many = _prediction(loaded, threads, top, unknown=unknown, threshold=threshold, progress=progress)
    found = _find(images)
    drawn = None if draw is None else _drawn_folder(draw, loaded.task, images)
    folders = None if sort_into is None else _sorted_folders(sort_into, loaded.task, images, link=link)
    writer = JsonWriter() if as_json else CsvWriter() if as_csv else LineWriter(found)
    failed, begun = 0, time.monotonic()
    for image, result in zip(found, predict_many(found), strict=True):
        if isinstance(result, DataError):
            progress.note(f"skipped: {result}")
            failed += 1
        elif folders is not None and isinstance(result, ClassPrediction):
            folders.add(image.name, result.label)
        elif drawn is not None:
            drawn.add(image, result)
        writer.write(image, result)
    writer.finish()
    if folders is not None and folders.earlier:
        kept = plural(folders.earlier, "file")
        progress.note(f"{sort_into} holds {kept} of before this run too; in a new folder there are this run's only")
    if failed == len(found):
        raise DataError(f"none of {plural(len(found), 'image')} could be decoded")
    if len(found) > 1:
        progress.note(_rate(len(found) - failed, time.monotonic() - begun))
    if failed:
        raise SystemExit(IMAGES_SKIPPED)


_OF_LABELS = {"top": "--top", "unknown": "--unknown", "threshold": "--threshold"}
"""Parameters that say something about labels."""


def _refuse_contradictions(
    *, as_csv: bool, as_json: bool, sort_into: Path | None, link: bool, layer: str | None
) -> None:
    given = click.get_current_context().params
    features = given["features_file"] is not None
    if given["output"] is None:
        if misplaced := next((option for name, option in ONLY_WITH_OUTPUT.items() if given[name]), None):
            raise click.UsageError(f"{misplaced} is for predictions in a file; give -o FILE too")
        if given["ray"] is not None:
            raise click.UsageError("--ray is for predictions in a file; give -o FILE too")
    elif as_csv or sort_into is not None or features or given["draw"] is not None:
        raise click.UsageError(
            "-o writes predictions into a file; run it apart from --csv, --sort-into, --draw and --features"
        )
    elif given["ray"] is not None and given["threads"] is not None:
        raise click.UsageError("--threads is for this process, and the workers of --ray have one thread each")
    elif STANDARD_INPUT in given["images"]:
        raise click.UsageError("-o reads files, lists and archives, not standard input")
    if as_csv and as_json:
        raise click.UsageError("--csv and --json are two forms of the same; give one")
    if link and sort_into is None:
        raise click.UsageError("--link says how --sort-into FOLDER sorts; give that too")
    if layer is not None and not features:
        raise click.UsageError("--layer says which --features FILE are written; give that too")
    if features and (labelled := [option for name, option in _OF_LABELS.items() if given[name]]):
        raise click.UsageError(
            f"--features writes what comes before the labels, which {labelled[0]} is about; leave it out"
        )
    if features and (as_csv or sort_into is not None or click.get_current_context().params["draw"] is not None):
        raise click.UsageError(
            "--features writes numbers, which --csv, --sort-into and --draw have no labels of; run them apart"
        )


def _find(names: tuple[str, ...]) -> list[ImageSource]:
    """The images of all names. What does not exist fails as an image does, unless nothing is left then."""
    found: list[ImageSource] = []
    for name in names:
        if name == STANDARD_INPUT:
            found.append(BytesImage(STANDARD_INPUT, sys.stdin.buffer.read()))
        elif len(names) > 1 and not Path(name).is_dir():
            found.append(FileImage(name))
        else:
            found += images_of([name])
    if all(isinstance(image, FileImage) and not Path(image.path).exists() for image in found):
        images_of([image.name for image in found])  # says which is missing
    return found


def _prediction(
    model: Model, threads: int | None, top: int | None, *, unknown: bool, threshold: float | None, progress: Progress
) -> Callable[[list[ImageSource]], Iterator[Prediction | DataError]]:
    """What predicts images as the options say."""
    task = model.task
    if task.kind == "detection" and not unknown:
        from mobilenets.engine.detector import Detector

        return partial(Detector(model, threads).predict_many, top=top, threshold=threshold)
    if task.kind == "classification" and top is None:
        top = SHOWN_LABELS
    if not unknown and threshold is None:
        return partial(Predictor(model, threads).predict_many, top=top)
    if task.kind == "multilabel" and threshold is not None and not unknown:
        from mobilenets.tasks.multilabel import MultiLabel

        assert isinstance(task, MultiLabel)
        return partial(Predictor(replace(model, task=task.with_threshold(threshold)), threads).predict_many, top=top)
    if not isinstance(task, Classification):
        raise click.UsageError(f"--unknown is for classifiers, and this Model's task is {task.kind}")
    if threshold is not None and task.temperature == 1:
        progress.note("the probabilities of this Model were never calibrated: mobilenets calibrate MODEL DATA does it")
    classifier = Classifier(model, threads)
    classifier.check_rejection(unknown=unknown, threshold=threshold)
    return partial(classifier.predict_many, top=top or SHOWN_LABELS, unknown=unknown, threshold=threshold)


def _sorted_folders(folder: Path, task: Task, images: tuple[str, ...], *, link: bool) -> SortedFolders:
    from mobilenets.data.sorting import SortedFolders

    if not isinstance(task, Classification):
        raise click.UsageError(f"--sort-into sorts by label, and this Model's task is {task.kind}")
    if STANDARD_INPUT in images:
        raise click.UsageError("--sort-into copies files; standard input is none")
    labels = dict.fromkeys((*task.labels, UNKNOWN_LABEL))
    return SortedFolders(folder, labels, link=link, sources=images)


def _drawn_folder(folder: Path, task: Task, images: tuple[str, ...]) -> DrawnFolder:
    from mobilenets.engine.drawing import DrawnFolder

    if task.kind != "detection":
        raise click.UsageError(
            f"--draw draws boxes, which a detector finds; this Model's task is {task.kind}, which says nothing of where"
        )
    return DrawnFolder(folder, images)


def _rate(images: int, seconds: float) -> str:
    return f"{plural(images, 'image')} in {seconds:.1f} s, {per_second(images / max(seconds, 1e-9))} images/s"


def _write_features(
    model: str,
    images: tuple[str, ...],
    path: Path,
    layer: str | None,
    threads: int | None,
    *,
    as_json: bool,
    progress: Progress,
) -> None:
    from mobilenets.engine.features import check_feature_file, features

    check_feature_file(path)
    loaded, found, begun = load_model(model, progress=progress), _find(images), time.monotonic()
    table = features(loaded, found, layer=layer, threads=threads, progress=progress)
    progress.note(_rate(len(table.images), time.monotonic() - begun))
    written = [str(file) for file in table.save(path)]
    if as_json:
        failures = [{"image": name, "error": reason} for name, reason in table.failures]
        print_json({"files": written, "shape": list(table.values.shape), "failures": failures})
    else:
        size = "×".join(map(str, table.values.shape[1:]))
        click.echo(f"{size} features of {plural(len(table.images), 'image')} are written to {' and '.join(written)}")
    if table.failures:
        raise SystemExit(IMAGES_SKIPPED)
