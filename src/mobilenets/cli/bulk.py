"""``mobilenets predict -o FILE``: predictions of any number of images in a file."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from mobilenets.base.progress import Progress
from mobilenets.base.text import per_second, plural
from mobilenets.cli.console import IMAGES_SKIPPED, print_json, say
from mobilenets.cli.ray_address import cluster_of

if TYPE_CHECKING:
    from mobilenets.engine.bulk.prediction import BulkPrediction

ONLY_WITH_OUTPUT = {"shard": "--shard", "replace_existing": "--force", "dry_run": "--dry-run"}
"""Parameters that say something about the file only."""


def predict_to_output(
    model: str, images: tuple[str, ...], output: str, *, as_json: bool, ray: str | None, progress: Progress, **how: Any
) -> None:
    """Predict into a file, and say what is in it."""
    from mobilenets.engine.bulk.prediction import predict_to_file
    from mobilenets.formats.loading import load_model

    loaded = load_model(model, progress=progress)
    done = predict_to_file(loaded, images, output, ray=cluster_of(ray), progress=progress, **how)
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
    held = "the boxes of" if _of_boxes(plan) else "a row for each of"
    return f"{plan.file} would hold {held} {count}{earlier}; columns: {', '.join(plan.columns)}"


def _summary(done: BulkPrediction) -> str:
    if _of_boxes(done):
        failed = f", {done.failed:,} of which could not be read" if done.failed else ""
        return f"boxes of {plural(done.images or 0, 'image')} in {done.file}{failed}"
    failed = f", {done.failed:,} of them of images that could not be read" if done.failed else ""
    return f"{plural(done.images or 0, 'row')} in {done.file}{failed}"


def _of_boxes(prediction: BulkPrediction) -> bool:
    return {"left", "top", "width", "height"} <= set(prediction.columns)
