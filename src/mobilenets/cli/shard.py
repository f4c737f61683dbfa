"""``mobilenets shard``: labeled images as Parquet shards."""

from __future__ import annotations

from pathlib import Path

import click

from mobilenets.cli.console import json_option, print_json, progress_to_stderr, quiet_option, say
from mobilenets.cli.data_options import data_options
from mobilenets.cli.number import Integer
from mobilenets.data.reading import Reading


@click.command("shard")
@click.argument("data")
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="Folder of the shards.")
@click.option(
    "--side",
    type=Integer(min=1),
    help="Shorter side of an image in pixels; larger ones are made smaller.  [default: 256; with boxes 640]",
)
@click.option("--shard-images", type=Integer(min=1), default=4096, show_default=True, help="Images in each shard.")
@click.option("--seed", type=Integer(0, 2**31 - 1), default=0, show_default=True, help="Random seed.")
@data_options
@json_option
@quiet_option
def command(
    data: str,
    output: Path,
    side: int | None,
    shard_images: int,
    seed: int,
    reading: Reading | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Write the images of DATA, with classes or boxes, as Parquet shards: small JPEGs, in the parts of fit.

    fit and the libraries of Hugging Face read them. Called again after it was stopped it goes on with the first shard
    that is missing; sha256sum -c SHA256SUMS checks them.
    """
    from mobilenets.data.shard_writer import summary_of, write_shards

    written = write_shards(
        data,
        output,
        side=side,
        shard_images=shard_images,
        seed=seed,
        reading=reading or Reading(),
        progress=progress_to_stderr(quiet=quiet),
    )
    if as_json:
        print_json({"files": list(written.files), "images": written.images, "skipped": list(written.skipped)})
    else:
        say(summary_of(written, output))
