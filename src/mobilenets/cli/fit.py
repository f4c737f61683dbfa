"""``mobilenets fit``: a folder of pictures in, a trained Model out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mobilenets.cli.console import json_option, print_json, progress_to_stderr, quiet_option
from mobilenets.data.augmentation import Flip
from mobilenets.errors import MissingDependencyError

if TYPE_CHECKING:
    from mobilenets.compression.gate import Verdict
    from mobilenets.model.model import Model
    from mobilenets.progress import Progress
    from mobilenets.training.fit import Fit


@click.command("fit")
@click.argument("data")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    default=Path("model"),
    show_default=True,
    help="Folder for the Model, its figures and its report.",
)
@click.option("--architecture", default="mobilenet_v1", show_default=True, help="Such as mobilenet_v1@0.5-160.")
@click.option("--width", type=float, help="Width multiplier α.  [default: 0.5]")
@click.option("--resolution", type=int, help="Side of the input in pixels, 32 or more.  [default: by the pictures]")
@click.option("--epochs", type=click.IntRange(min=1), help="Passes over the pictures.  [default: by their number]")
@click.option(
    "--seed",
    type=click.IntRange(0, 2**31 - 1),
    default=0,
    show_default=True,
    help="Of the split, the first weights, all chances.",
)
@click.option("--recipe", default="default", show_default=True, help="How to train: default or paper.")
@click.option(
    "--flip",
    type=click.Choice(list(Flip)),
    help="Mirror images that show the same.  [default: none for digits and letters, else horizontal]",
)
@click.option("--weights", type=click.Path(path_type=Path), help="Model file to start from, of any classes.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or mps.")
@click.option("--precision", default="auto", show_default=True, help="auto, float32 or bfloat16.")
@click.option("--threads", type=click.IntRange(min=1), help="Threads on the CPU.  [default: all cores]")
@click.option("--resume", is_flag=True, help="Go on with the unfinished run in the output folder.")
@click.option("--force", is_flag=True, help="Overwrite what the output folder holds.")
@click.option("--int8", is_flag=True, help="Also write model.int8.safetensors, trained on if its gate asks.")
@json_option
@quiet_option
def command(
    data: str, output: Path, resume: bool, force: bool, int8: bool, as_json: bool, quiet: bool, **settings: Any
) -> None:
    """Train a classifier on the labelled pictures of DATA.

    DATA is a folder of class folders, of train/val[/test] folders, a CSV of file,class, or "digits". Parts that it does
    not give are drawn from it. The test pictures are looked at once, at the end.
    """
    try:
        from mobilenets.training.fit import Settings, fit
    except ModuleNotFoundError as error:
        raise MissingDependencyError(error.name or "torch", "train") from None
    chosen_flip = settings.pop("flip")
    progress = progress_to_stderr(quiet=quiet)
    try:
        result = fit(
            data,
            output,
            Settings(**settings, flip=Flip(chosen_flip) if chosen_flip else None),
            resume=resume,
            replace_existing=force,
            progress=progress,
        )
    except KeyboardInterrupt:
        progress.note("the same command with --resume goes on from here")
        raise
    if as_json:
        from mobilenets.training.fit import metrics_of

        print_json(metrics_of(result))
    else:
        _print(result, output)
    quantized, verdict = _write_int8(result, output, progress, as_json=as_json) if int8 else (None, None)
    # Resuming changes nothing: the run is the same without the word.
    words = [word for word in click.get_current_context().obj or () if word != "--resume"]
    figures = {"command": words} | ({"compression": verdict.encode()} if verdict else {})
    _write_report(result, quantized, figures, output, progress)


def _write_report(
    result: Fit, int8: Model | None, figures: Mapping[str, Any], output: Path, progress: Progress
) -> None:
    """The report, beside the Model. The Model is what was asked for: that it has no report is not a failure."""
    from mobilenets.reports.report import REPORT_FILE, write_report
    from mobilenets.reports.run import keep_figures, run_of

    try:
        keep_figures(output, figures)
        write_report(run_of(result, output, int8=int8, figures=figures), output / REPORT_FILE, progress=progress)
    except Exception as error:  # whatever it is: hours of training must not end in a traceback over their summary
        progress.note(f"no report is written: {error!r}; mobilenets report {output} tries again")
    else:
        progress.note(f"{output / REPORT_FILE} says how it went")


def _write_int8(result: Fit, output: Path, progress: Progress, *, as_json: bool) -> tuple[Model, Verdict]:
    from mobilenets.model.file import save
    from mobilenets.training.int8 import to_int8

    model, verdict = to_int8(result.model, result.dataset, progress=progress)
    path = output / "model.int8.safetensors"
    save(model, path)
    if not as_json:
        click.echo(f"int8: {-(verdict.drop or 0):+.2f} points on the validation pictures; {path} is written")
    return model, verdict


def _print(result: Fit, output: Path) -> None:
    network, evaluation = result.model.network, result.evaluation
    low, high = evaluation.top1_interval
    validation = result.history[result.best_epoch].validation_top1 or 0.0
    click.echo(
        f"{network.name}, width {network.width_multiplier:g}, {network.height}×{network.width}, "
        f"{len(result.model.labels)} classes; epoch {result.best_epoch + 1} of {len(result.history)} kept"
    )
    click.echo(f"validation top-1 {100 * validation:.2f} %, on {len(result.dataset.validation)} pictures")
    click.echo(
        f"test top-1 {100 * evaluation.top1:.2f} % (95 % interval {100 * low:.1f} to {100 * high:.1f}), "
        f"on {evaluation.pictures} pictures"
    )
    click.echo(f"{result.seconds:.0f} s; {output / 'model.safetensors'}, metrics.json and training.png are written")
