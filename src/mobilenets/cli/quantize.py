"""``mobilenets quantize``: an int8 Model, written only with a verdict."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from mobilenets.cli.console import json_option, print_json, progress_to_stderr, quiet_option
from mobilenets.cli.output_file import OutputFile
from mobilenets.cli.quantize_attempts import Attempt, Maker, stopwatch
from mobilenets.cli.quantize_images import Images, prepared
from mobilenets.cli.quantize_report import encode_contributions, print_contributions, print_verdict
from mobilenets.compression.quality import (
    DEFAULT_MAX_DROP,
    MORE_EPOCHS,
    MORE_IMAGES,
    QAT_STEP,
    WIDER_WEIGHTS,
    Verdict,
    file_bytes,
    ladder,
    refuse,
    steps_after,
)
from mobilenets.compression.quantize import Options, Rounding
from mobilenets.compression.ranges import RangeMethod
from mobilenets.errors import GateError
from mobilenets.model.file import load, save
from mobilenets.model.folding import check_finite, refuse_int8
from mobilenets.model.model import Model

NEEDS_IMAGES = {
    "calibration": "--calibration",
    "images": "--images",
    "auto": "--auto",
    "train_it": "--qat",
    "ranges": "--ranges",
    "percentile": "--percentile",
    "rounding": "--rounding",
    "deviation_correction": "--no-deviation-correction",
}
"""Options that say something about calibration images, so that --data-free contradicts them."""
STEP_OPTIONS = {
    "percentile ranges": "--ranges percentile",
    "reconstructed rounding": "--rounding reconstruct",
    QAT_STEP: "--qat",
    MORE_EPOCHS: "--epochs",
    MORE_IMAGES: "--images",
    WIDER_WEIGHTS: "--weight-bits 8",
}
"""What to give for what a refusal proposes."""


@click.command("quantize")
@click.argument("model", type=click.Path(path_type=Path))
@click.option("--calibration", help="Folder of images like those that the Model will see; they need no labels.")
@click.option("--data-free", is_flag=True, help="Calibrate without images, by what batch norms say.")
@click.option("--images", type=click.IntRange(min=1), default=64, show_default=True, help="How many calibrate.")
@click.option("--data", help="Labelled images to judge by: a folder of class folders, or a CSV.")
@click.option("-o", "--output", type=OutputFile(), help="[default: MODEL with .int8 in its name]")
@click.option("--max-drop", type=float, default=DEFAULT_MAX_DROP, show_default=True, help="Points of top-1.")
@click.option("--force", is_flag=True, help="Write the Model whatever the verdict.")
@click.option("--auto", is_flag=True, help="Go on trying, up to training, until the verdict is good.")
@click.option("--qat", "train_it", is_flag=True, help="Train with quantisation right away.")
@click.option(
    "--epochs", type=click.IntRange(min=1), help="Of that training.  [default: 16, or 4 at 8 bits without labels]"
)
@click.option(
    "--weight-bits", type=click.Choice(["8", "4"]), default="8", show_default=True, help="4 spares the smallest layers."
)
@click.option("--ranges", type=click.Choice([*map(str, RangeMethod)]), default=str(RangeMethod.MSE), show_default=True)
@click.option("--percentile", type=float, default=99.99, show_default=True, help="Values kept by percentile ranges.")
@click.option(
    "--rounding", type=click.Choice([*map(str, Rounding)]), default=str(Rounding.RECONSTRUCT), show_default=True
)
@click.option("--equalize/--no-equalize", default=True, show_default=True)
@click.option("--absorb/--no-absorb", default=True, show_default=True, help="Absorption of high biases.")
@click.option("--bias-correction/--no-bias-correction", default=True, show_default=True, help="Of each channel's mean.")
@click.option(
    "--deviation-correction/--no-deviation-correction",
    default=True,
    show_default=True,
    help="Of each channel's deviation.",
)
@click.option("--explain", is_flag=True, help="Also say what each lever bought: makes the Model again without it.")
@json_option
@quiet_option
def command(
    model: Path,
    calibration: str | None,
    data_free: bool,
    images: int,
    data: str | None,
    output: Path | None,
    max_drop: float,
    force: bool,
    auto: bool,
    train_it: bool,
    epochs: int | None,
    explain: bool,
    as_json: bool,
    quiet: bool,
    **levers: Any,
) -> None:
    """Write MODEL in int8, if it still answers as it did.

    The verdict says how often both agree, what became of the accuracy where there are labels, and the noise of every
    layer. With --data, more than --max-drop points of top-1 lost refuse the Model; without, agreement under 97 % on
    the images where the float Model is sure. Without any images nothing can be judged, and --force is needed.
    """
    _refuse_contradictions(data_free=data_free, labelled=data is not None, trains=auto or train_it)
    if not math.isfinite(max_drop):
        raise click.BadParameter(f"{max_drop} is not a number of points", param_hint="--max-drop")
    progress = progress_to_stderr(quiet=quiet)
    path = output or model.with_suffix(".int8.safetensors")
    if path.resolve() == model.resolve():
        raise click.UsageError(f"--output would overwrite {model}, which the int8 Model is made from")
    original = load(model)
    refuse_int8(original)
    check_finite(original)  # before the float Model is asked anything, which would only warn
    chosen = Images.choose(original, calibration, images, data, trains=auto or train_it)
    pixels = prepared(original, chosen.calibrating, progress).pixels
    jury = chosen.jury(original, stopwatch(), progress)
    maker = Maker(original, jury, pixels, chosen, epochs, progress)
    options = _options(levers)
    if data_free:
        attempt = maker.without_images(options)
        steps = [
            "calibration images (--calibration)" if jury else "labelled images to judge by (--data)",
            "--force",
        ]
    else:
        attempt = maker.trained(options) if train_it else maker.first_that_passes(options, max_drop, auto=auto)
        steps = _steps(attempt, options, auto=auto)
    explained = maker.explained(attempt) if explain else []
    written = _with_provenance(attempt, len(pixels))
    verdict = replace(attempt.verdict, bytes_after=file_bytes(written))
    refusal = _refusal(verdict, steps, max_drop)
    if refusal is None or force:  # before anything is printed: whoever reads may leave early
        save(written, path)
    if not as_json:
        print_verdict(verdict, familiar=chosen.familiar)
        if explained:
            print_contributions(maker.untrained(attempt), explained)
    if refusal is not None:
        if not force:
            raise refusal
        progress.note(f"written all the same: {refusal}")
    if as_json:
        figures = {**verdict.encode(), "judges_trained_float_model": chosen.familiar}
        print_json({"model": str(path), **figures, "without": encode_contributions(explained)})
    else:
        click.echo(f"{path} is written")


def _refuse_contradictions(*, data_free: bool, labelled: bool, trains: bool) -> None:
    """Raise a misuse if it is not clear whether there are calibration images, or an option would do nothing."""
    context = click.get_current_context()
    given = [
        option
        for name, option in NEEDS_IMAGES.items()
        if context.get_parameter_source(name) is ParameterSource.COMMANDLINE
    ]
    if data_free and given:
        raise click.UsageError(f"--data-free calibrates without images; {given[0]} needs them. Give one or the other")
    if not data_free and "--calibration" not in given:
        raise click.UsageError("give --calibration FOLDER, with images like those to come, or --data-free")
    if not labelled and context.get_parameter_source("max_drop") is ParameterSource.COMMANDLINE:
        raise click.UsageError("--max-drop is of top-1, which only labelled images can tell: give --data too")
    if not trains and context.get_parameter_source("epochs") is ParameterSource.COMMANDLINE:
        raise click.UsageError("--epochs are of training in integers: give --qat or --auto too")


def _options(levers: dict[str, Any]) -> Options:
    return Options(
        **levers
        | {
            "weight_bits": int(levers["weight_bits"]),
            "ranges": RangeMethod(levers["ranges"]),
            "rounding": Rounding(levers["rounding"]),
        }
    )


def _steps(attempt: Attempt, options: Options, *, auto: bool) -> list[str]:
    """What to try after a Model that is refused, each with the option that does it."""
    if not auto:
        steps = steps_after(attempt.options, trained=attempt.kind == "trained")
    else:  # all of the ladder was tried, whichever Model of it was the best
        *_, (_, last) = ladder(options)
        steps = steps_after(last, trained=True)
    named = [f"{step} ({STEP_OPTIONS[step]})" if step in STEP_OPTIONS else step for step in steps]
    return named if auto or attempt.kind == "trained" else [*named, "all of these in turn (--auto)"]


def _refusal(verdict: Verdict, steps: Sequence[str], max_drop: float) -> GateError | None:
    """Why the Model should not be written, if it should not."""
    try:
        refuse(verdict, steps, max_drop)
    except GateError as error:
        return error
    return None


def _with_provenance(attempt: Attempt, images: int) -> Model:
    model, options = attempt.made.model, attempt.options
    entry: dict[str, Any] = {
        "made_by": attempt.kind,
        "trained": attempt.kind == "trained",
        "weight_bits": options.weight_bits,
        "equalize": options.equalize,
        "absorb": options.absorb,
        "bias_correction": options.bias_correction,
    }
    if attempt.kind != "data-free":
        entry |= {
            "deviation_correction": options.deviation_correction,
            "ranges": str(options.ranges),
            "rounding": str(options.rounding),
            "calibration_images": images,
        }
    if attempt.kind == "trained":
        entry["epoch"] = getattr(attempt.made, "epoch", 0)
    if attempt.verdict.judged:
        entry["verdict"] = attempt.verdict.figures()
    return replace(model, provenance={**model.provenance, "quantization": entry})
