"""``mobilenets export``: a Model in another runtime's format, run before it is called done."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np

from mobilenets.base.progress import Progress
from mobilenets.cli.console import json_option, print_json, progress_to_stderr, quiet_option
from mobilenets.cli.output_file import OutputFile
from mobilenets.data.image import ImageSource
from mobilenets.data.photographs import photographs
from mobilenets.data.preparing import prepare_image
from mobilenets.data.sources import images_of
from mobilenets.errors import MissingDependencyError
from mobilenets.formats.exporting import TARGETS, Exported, Options, export, target_of
from mobilenets.formats.verification import Agreement
from mobilenets.model.file import load
from mobilenets.model.folding import fold
from mobilenets.model.model import Model
from mobilenets.model.preprocessing import Pixels

MOST_IMAGES = 8
"""Real images that a written file is run on; of more, an even selection."""


@click.command("export")
@click.argument("model", type=click.Path(path_type=Path))
@click.option("--to", "format_name", type=click.Choice(list(TARGETS)), help="Format; by default FILE's ending tells.")
@click.option("-o", "--output", type=OutputFile(folder=True), help="FILE to write; by default MODEL's name.")
@click.option("--images", multiple=True, help="Images, or folders of them, to run the written file on.")
@click.option("--half", is_flag=True, help="Store float weights as float16 (litert, openvino, coreml).")
@click.option("--normalized-input", is_flag=True, help="Read normalised floats instead of pixels (onnx).")
@click.option("--name", default="model", show_default=True, help="Beginning of the public names (c).")
@click.option("--example", is_flag=True, help="Write main.c beside it, which classifies a PPM image (c).")
@click.option("--no-verify", is_flag=True, help="Do not run what was written.")
@json_option
@quiet_option
def command(
    model: Path,
    format_name: str | None,
    output: Path | None,
    images: tuple[str, ...],
    half: bool,
    normalized_input: bool,
    name: str,
    example: bool,
    no_verify: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Write MODEL in another runtime's format.

    The file is run on noise and on real images, and must answer as MODEL does, before it takes its place; the largest
    difference is printed. Without --images, scikit-learn's two photographs are used where it is installed. Batch
    norms are folded where the format needs it.
    """
    if output is None and format_name is None:
        raise click.UsageError("say where to write with -o FILE, or which format with --to")
    target = TARGETS[target_of(output or model, format_name)]
    output = output or model.with_suffix(target.suffix)
    loaded = load(model)
    if target.folds and loaded.quantization is None:
        loaded = fold(loaded)
    real = _real_images(loaded, images, progress_to_stderr(quiet=quiet))
    options = Options(half=half, normalized_input=normalized_input, name=name, example=example)
    begun = time.perf_counter()
    exported = export(loaded, output, format_name, options=options, images=real, verify=not no_verify)
    seconds = time.perf_counter() - begun
    if as_json:
        print_json(_to_json(exported, target.title, loaded, seconds))
    else:
        _print(exported, target.title, loaded, seconds, 0 if real is None else len(real))


def _real_images(model: Model, sources: Sequence[str], progress: Progress) -> Pixels | None:
    """Real images as the network takes them, or None."""
    found: Sequence[ImageSource]
    try:
        found = images_of(sources) if sources else photographs()
    except MissingDependencyError:
        progress.note("no photographs are at hand (--images, or scikit-learn's); made-up images must do")
        return None
    chosen = [found[index] for index in np.linspace(0, len(found) - 1, min(len(found), MOST_IMAGES)).astype(int)]
    network = model.network
    return np.stack([prepare_image(image, model.preprocessing, network.height, network.width) for image in chosen])


def _print(exported: Exported, title: str, model: Model, seconds: float, real: int) -> None:
    names = ", ".join(str(path) for path in exported.paths)
    click.echo(f"{names}: {title}, {model.precision}, {exported.bytes / 1e6:.2f} MB, {seconds:.1f} s")
    if exported.footprint is not None:
        footprint = exported.footprint
        click.echo(f"needs {footprint.flash_bytes:,} bytes of flash for weights and {footprint.ram_bytes:,} of RAM")
    agreement = exported.agreement
    if agreement is None:
        click.echo(f"not verified: {exported.not_run}")
        return
    click.echo(
        f"verified on {agreement.images} images, {real} of them real: "
        f"largest difference {agreement.largest_difference:.2g} of {agreement.largest_value:.3g}, "
        f"same top-1 for {100 * agreement.top1:.0f} %"
    )
    if exported.at_defaults is not None:
        plain = exported.at_defaults
        click.echo(
            f"that is {exported.advice}; at its default settings int8 sums saturate on this processor: "
            f"largest difference {plain.largest_difference:.2g}, same top-1 for {100 * plain.top1:.0f} %"
        )


def _to_json(exported: Exported, title: str, model: Model, seconds: float) -> dict[str, Any]:
    agreement, footprint = exported.agreement, exported.footprint
    return {
        "files": [str(path) for path in exported.paths],
        "format": title,
        "precision": model.precision,
        "bytes": exported.bytes,
        "seconds": round(seconds, 3),
        "verified": _agreement_to_json(agreement),
        "at_default_settings": _agreement_to_json(exported.at_defaults),
        "setting": exported.advice or None,
        "not_verified": exported.not_run or None,
        "flash_bytes": footprint.flash_bytes if footprint else None,
        "ram_bytes": footprint.ram_bytes if footprint else None,
    }


def _agreement_to_json(agreement: Agreement | None) -> dict[str, Any] | None:
    if agreement is None:
        return None
    return {
        "images": agreement.images,
        "largest_difference": agreement.largest_difference,
        "largest_value": agreement.largest_value,
        "top1": agreement.top1,
    }
