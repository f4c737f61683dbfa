"""``mobilenets quantize``: an int8 Model with a report of what it lost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from mobilenets.cli.console import json_option, print_json, progress_to_stderr, quiet_option
from mobilenets.cli.data_options import data_options
from mobilenets.cli.number import Integer, Number
from mobilenets.cli.output_file import OutputFile
from mobilenets.data.reading import Reading
from mobilenets.model.file import check_model_path

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
RANGES, ROUNDINGS = ("min-max", "percentile", "mse"), ("nearest", "reconstruct")


@click.command("quantize")
@click.argument("model")
@click.option("--calibration", help="Folder or table of images like those to come, or digits; labels do not count.")
@click.option("--data-free", is_flag=True, help="Calibrate without images, from batch-norm parameters.")
@click.option("--images", type=Integer(min=1), default=64, show_default=True, help="Number that calibrate.")
@click.option("--data", help="Labeled images to evaluate on: a folder of class folders, or a CSV.")
@data_options
@click.option("-o", "--output", type=OutputFile(check=check_model_path), help="[default: MODEL with .int8 in its name]")
@click.option(
    "--max-drop",
    type=Number(0, 100),
    default=1.0,
    show_default=True,
    help="Points of top-1, or of mAP, that may be lost.",
)
@click.option("--force", is_flag=True, help="Write the Model even if it lost too much.")
@click.option("--auto", is_flag=True, help="Try further techniques, up to training, until the Model is good enough.")
@click.option("--qat", "train_it", is_flag=True, help="Quantization-aware training right away.")
@click.option(
    "--epochs",
    type=Integer(min=1),
    help="Epochs of training.  [default: 16, or 4 at 8 bits without labels; by the number of images for a detector]",
)
@click.option(
    "--weight-bits", type=click.Choice(["8", "4"]), default="8", show_default=True, help="With 4, small layers keep 8."
)
@click.option(
    "--ranges", type=click.Choice(RANGES), default="mse", show_default=True, help="How activation ranges are chosen."
)
@click.option(
    "--percentile",
    type=Number(50, 100, min_open=True),
    default=99.99,
    show_default=True,
    help="Percent of values in percentile ranges.",
)
@click.option(
    "--rounding", type=click.Choice(ROUNDINGS), default="reconstruct", show_default=True, help="Rounding of weights."
)
@click.option("--equalize/--no-equalize", default=True, show_default=True, help="Cross-layer equalization.")
@click.option("--absorb/--no-absorb", default=True, show_default=True, help="Absorption of high biases.")
@click.option(
    "--bias-correction/--no-bias-correction", default=True, show_default=True, help="Correction of channel means."
)
@click.option(
    "--deviation-correction/--no-deviation-correction", default=True, show_default=True, help="Of standard deviations."
)
@click.option("--verbose", is_flag=True, help="Also print the SQNR of every layer.")
@click.option("--explain", is_flag=True, help="Also report each technique's gain, by quantizing without it.")
@json_option
@quiet_option
def command(
    model: str,
    calibration: str | None,
    data_free: bool,
    images: int,
    data: str | None,
    reading: Reading | None,
    output: Path | None,
    max_drop: float,
    force: bool,
    auto: bool,
    train_it: bool,
    epochs: int | None,
    explain: bool,
    verbose: bool,
    as_json: bool,
    quiet: bool,
    **fields: Any,
) -> None:
    """Write MODEL in int8, if it still answers as before.

    Reports how often int8 and float32 agree, the change of top-1 where there are labels, and, with --verbose, the SQNR
    of every layer.
    With --data, a loss of more than --max-drop points of top-1 is refused; without, agreement under 97 % on the images
    where the float32 Model is sure. Without any images nothing can be evaluated, and --force is needed.
    """
    if reading is not None and data is None:
        raise click.UsageError("--parts and the options after it say how --data is read: give it too")
    _refuse_contradictions(data_free=data_free, labeled=data is not None, trains=auto or train_it)
    if auto and train_it:
        raise click.UsageError("--qat trains right away, which --auto comes to last: give one of them")
    if fields["ranges"] != "percentile" and _is_given("percentile"):
        raise click.UsageError("--percentile is of --ranges percentile: give that too")
    from mobilenets.formats.loading import file_for, load_model

    path = output or file_for(model, ".int8.safetensors")
    if path.resolve() == Path(model).resolve():
        raise click.UsageError(f"--output would overwrite {model}, which the int8 Model is made from")
    from mobilenets.cli.quality_report import print_report, result_to_json, steps_with_options
    from mobilenets.compression.config import QuantizationConfig
    from mobilenets.compression.result import Method
    from mobilenets.compression.techniques import FALLBACK_ORDER
    from mobilenets.errors import GateError
    from mobilenets.model.file import save
    from mobilenets.training.quantize import quantize

    progress = progress_to_stderr(quiet=quiet)
    result = quantize(
        load_model(model, progress=progress),
        calibration=calibration,
        data=data,
        reading=reading,
        method=Method.DATA_FREE if data_free else Method.TRAINED if train_it else Method.CALIBRATED,
        config=QuantizationConfig(**fields | {"weight_bits": int(fields["weight_bits"])}),
        techniques=FALLBACK_ORDER if auto and not train_it else (),
        calibration_images=images,
        max_drop=max_drop,
        epochs=epochs,
        explain=explain,
        progress=progress,
    )
    refused = result.refusal is not None
    if force or not refused:  # before anything is printed: whoever reads may leave early
        save(result.model, path)
    if not as_json:
        print_report(result, verbose=verbose)
    if result.doubt is not None:
        progress.note(f"accepted, though {result.doubt}; more labeled images would tell (--data)")
    if refused:
        try:
            result.check(steps_with_options(result, all_tried=auto or train_it))
        except GateError as error:
            if not force:
                raise
            progress.note(f"written all the same: {error}")
    if as_json:
        print_json({"model": str(path), **result_to_json(result)})
    else:
        click.echo(f"{path} is written")


def _is_given(name: str) -> bool:
    """Whether somebody has written an option."""
    return click.get_current_context().get_parameter_source(name) is ParameterSource.COMMANDLINE


def _refuse_contradictions(*, data_free: bool, labeled: bool, trains: bool) -> None:
    """Raise a misuse if it is not clear whether there are calibration images, or an option would do nothing."""
    given = [option for name, option in NEEDS_IMAGES.items() if _is_given(name)]
    if data_free and given:
        raise click.UsageError(f"--data-free calibrates without images; {given[0]} needs them. Give one or the other")
    if not data_free and "--calibration" not in given:
        raise click.UsageError("give --calibration FOLDER, with images like those to come, or --data-free")
    if not labeled and _is_given("max_drop"):
        raise click.UsageError("--max-drop is of top-1, which only labeled images can tell: give --data too")
    if not trains and _is_given("epochs"):
        raise click.UsageError("--epochs are of quantization-aware training: give --qat or --auto too")
