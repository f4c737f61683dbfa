"""``mobilenets import``: published and foreign weights become a Model file."""

from __future__ import annotations

from pathlib import Path

import click

from mobilenets.cli.console import json_option, print_json, progress_to_stderr, quiet_option
from mobilenets.cli.input_size import InputSize
from mobilenets.cli.number import Number
from mobilenets.cli.output_file import OutputFile
from mobilenets.formats.assumed import ASSUMED, PARTS, SCALING_HELP, sources
from mobilenets.formats.importing import import_model, recognition
from mobilenets.formats.labels import read_labels
from mobilenets.formats.published import SHORT_NAMES
from mobilenets.formats.registry import readable
from mobilenets.model.file import check_model_path, save
from mobilenets.model.preprocessing import Interpolation, ResizeMode

_FORMATS = ", ".join(f"{row.title} ({', '.join(row.suffixes)})" for row, _ in readable().values())
_OPEN = ", ".join(row.title for row, reader in readable().values() if reader.open_resolution)


@click.command(
    "import",
    help=f"""Read SOURCE, say what it is, and write it as a Model file.

    SOURCE is a file or folder of one of the formats below, an https address, hub:owner/name[@revision], or a published
    network: {SHORT_NAMES}.

    Formats: {_FORMATS}.
    """,
)
@click.argument("source")
@click.option(
    "-o", "--output", type=OutputFile(check=check_model_path), required=True, help="Where to write the Model."
)
@click.option(
    "--resolution",
    type=InputSize(),
    help=f"Input side in pixels, or height and width as 48x192, where SOURCE leaves it open ({_OPEN}).",
)
@click.option("--labels", type=click.Path(path_type=Path), help="Text file of class names, one a line.")
@click.option(
    "--input-scaling", metavar="SCALING", help=f"How pixels are scaled, if SOURCE does not say it: {SCALING_HELP}."
)
@click.option(
    "--crop",
    type=Number(0, 1, min_open=True),
    help="Share of the largest centred box that is kept, by side, such as 0.875 or 1.",
)
@click.option(
    "--resize",
    type=click.Choice([str(mode) for mode in ResizeMode]),
    help="crop, or squash for the whole image, stretched.",
)
@click.option("--interpolation", type=click.Choice([str(name) for name in Interpolation]), help="Filter of the resize.")
@click.option("--dequantize", "as_float", is_flag=True, help="Make an int8 network float32, for fit to start from.")
@json_option
@quiet_option
def command(
    source: str,
    output: Path,
    resolution: int | tuple[int, int] | None,
    labels: Path | None,
    input_scaling: str | None,
    crop: float | None,
    resize: str | None,
    interpolation: str | None,
    as_float: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Import, save, print."""
    names = None if labels is None else read_labels(labels)
    model = import_model(
        source,
        resolution=resolution,
        labels=names,
        input_scaling=input_scaling,
        crop=crop,
        resize=resize,
        interpolation=interpolation,
        dequantized=as_float,
        progress=progress_to_stderr(quiet=quiet),
    )
    save(model, output)
    found = recognition(model)
    if as_json:
        print_json({"output": str(output), **found, "preprocessing": model.provenance["imported"]["preprocessing"]})
        return
    if quiet:  # the file is the result
        return
    from mobilenets.cli.layout import print_facts

    print_facts({name.replace("_", " "): value for name, value in found.items()})
    if ASSUMED in sources(model).values():
        options = ", ".join(f"--{part.replace('_', '-')}" for part in PARTS)
        click.echo(f"[{ASSUMED}]: say it with {options}")
