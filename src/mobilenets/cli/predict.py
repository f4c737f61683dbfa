"""``mobilenets predict``: what a Model says of images."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import click

from mobilenets.base.text import plural
from mobilenets.cli.console import IMAGES_SKIPPED, json_option, print_json, progress_to_stderr, quiet_option
from mobilenets.data.image import BytesImage, ImageSource
from mobilenets.data.sources import images_of
from mobilenets.engine.predictor import Predictor
from mobilenets.errors import DataError
from mobilenets.formats.loading import load_model
from mobilenets.tasks.task import Prediction


@click.command("predict")
@click.argument("model")
@click.argument("images", nargs=-1, required=True)
@click.option("--top", default=3, show_default=True, type=click.IntRange(min=1), help="Results per image.")
@click.option("--threads", type=click.IntRange(min=1), help="Threads; by default all cores.")
@json_option
@quiet_option
def command(model: str, images: tuple[str, ...], top: int, threads: int | None, as_json: bool, quiet: bool) -> None:
    """Print what MODEL says of IMAGES, one line each: of a classifier, the likeliest labels.

    MODEL is a Model file, a folder that fit wrote, a foreign file, or published weights such as keras:0.25-224.
    IMAGES are files, folders, or - for an image on standard input. Where some of them cannot be read, the others are
    predicted, --json gives the reason as "error", and the exit code is 3.
    """
    progress = progress_to_stderr(quiet=quiet)
    predictor = Predictor(load_model(model, progress=progress), threads)
    found = list(_find(images))
    done: list[Prediction] = []
    listed: list[dict[str, Any]] = []
    width = min(40, max(len(image.name) for image in found))
    for image, result in zip(found, predictor.predict_many(found, top=top), strict=True):
        if isinstance(result, DataError):
            progress.note(f"skipped: {result}")
            listed.append({"image": image.name, "error": str(result)})
            continue
        done.append(result)
        listed.append(result.to_json())
        if not as_json:
            click.echo(f"{result.name:{width}}  {result.summary}")
    if as_json:
        print_json(listed)
    if not done:
        raise DataError(f"none of {plural(len(found), 'image')} could be decoded")
    if len(done) < len(found):
        raise SystemExit(IMAGES_SKIPPED)


def _find(names: tuple[str, ...]) -> Iterator[ImageSource]:
    for name in names:
        if name == "-":
            yield BytesImage("-", sys.stdin.buffer.read())
        else:
            yield from images_of([name])
