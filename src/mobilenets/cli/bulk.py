"""``mobilenets predict -o FILE``: predictions of any number of images in a file."""

from __future__ import annotations

import re
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from mobilenets.base.progress import Progress
from mobilenets.base.text import per_second, plural
from mobilenets.cli.console import IMAGES_SKIPPED, print_json, say

if TYPE_CHECKING:
    from mobilenets.engine.bulk.prediction import BulkPrediction

ONLY_WITH_OUTPUT = {"shard": "--shard", "replace_existing": "--force", "dry_run": "--dry-run"}
"""Parameters that say something about the file only."""


class RayAddress(click.ParamType[str]):
    """The address of a Ray cluster. What follows ``--ray`` may be meant as something else, and is refused then."""

    name = "address"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The address; empty for the cluster that is running here, or this machine."""
        text = str(value)
        if text not in ("", "auto", "local") and not re.fullmatch(r"(ray://)?[\w.\-\[\]:]+:\d+", text):
            self.fail(
                f"{text!r} is no address of a Ray cluster, such as ray://head:10001; to use the one that is running "
                "here, write --ray at the end of the line",
                param,
                ctx,
            )
        return text


def predict_to_output(
    model: str, images: tuple[str, ...], output: str, *, as_json: bool, ray: str | None, progress: Progress, **how: Any
) -> None:
    """Predict into a file, and say what is in it."""
    from mobilenets.engine.bulk.prediction import predict_to_file
    from mobilenets.formats.loading import load_model

    loaded = load_model(model, progress=progress)
    cluster = False if ray is None else ray or True
    done = predict_to_file(loaded, images, output, ray=cluster, progress=progress, **how)
    if as_json:
        print_json(asdict(done) | {"columns": list(done.columns)})
    elif how["dry_run"]:
        say(_plan(done))
    else:
        say(_summary(done))
        new = done.images - done.earlier if done.images is not None else 0
        if done.seconds and new > 1:
            progress.note(f"{plural(new, 'image')} in {done.seconds:.1f} s, {per_second(new / done.seconds)} images/s")
    if done.failed and not how["dry_run"]:
        raise SystemExit(IMAGES_SKIPPED)


def _plan(plan: BulkPrediction) -> str:
    count = "images that are not counted beforehand" if plan.images is None else plural(plan.images, "image")
    earlier = f", {plan.earlier:,} of them there from a run that was stopped" if plan.earlier else ""
    return f"{plan.file} would hold a row for each of {count}{earlier}; columns: {', '.join(plan.columns)}"


def _summary(done: BulkPrediction) -> str:
    failed = f", {done.failed:,} of them of images that could not be read" if done.failed else ""
    return f"{plural(done.images or 0, 'row')} in {done.file}{failed}"
