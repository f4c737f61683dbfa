"""``mobilenets import``: published and foreign weights become a Model file."""

from __future__ import annotations

from pathlib import Path

import click

from mobilenets.cli.console import json_option, print_json, progress_to_stderr, quiet_option
from mobilenets.cli.output_file import OutputFile
from mobilenets.formats.importing import import_model, read_labels, recognition
from mobilenets.formats.published import SHORT_NAMES
from mobilenets.formats.registry import readable
from mobilenets.model.file import save
from mobilenets.model.integer_weights import dequantize

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
@click.option("-o", "--output", type=OutputFile(), required=True, help="Where to write the Model.")
@click.option(
    "--resolution", type=click.IntRange(min=32), help=f"Input side in pixels, where SOURCE leaves it open ({_OPEN})."
)
@click.option("--labels", type=click.Path(path_type=Path), help="Text file of class names, one a line.")
@click.option("--dequantize", "as_float", is_flag=True, help="Make an int8 network float32, for fit to start from.")
@json_option
@quiet_option
def command(
    source: str,
    output: Path,
    resolution: int | None,
    labels: Path | None,
    as_float: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Import, save, print."""
    names = None if labels is None else read_labels(labels)
    model = import_model(source, resolution=resolution, labels=names, progress=progress_to_stderr(quiet=quiet))
    if as_float:
        model = dequantize(model)
    save(model, output)
    found = recognition(model)
    if as_json:
        print_json({"output": str(output), **found})
        return
    from mobilenets.cli.layout import print_facts

    print_facts({name.replace("_", " "): value for name, value in found.items()})
