"""What labeled images are understood as, printed as a result: ``fit --dry-run`` and ``show`` of a folder of images."""

from __future__ import annotations

import click

from mobilenets.base.text import visible
from mobilenets.cli.arguments import as_options
from mobilenets.cli.console import print_json, progress_to_stderr, results
from mobilenets.data.description import dataset_lines, dataset_to_json, inspected_dataset
from mobilenets.data.reading import Reading

NARROWEST = 60


def print_dataset(data: str, seed: int, reading: Reading, *, as_json: bool, quiet: bool) -> None:
    """Print the layout, parts, classes, what is left out and what is wrong."""
    dataset = inspected_dataset(data, seed, reading, progress_to_stderr(quiet=quiet))
    if as_json:
        print_json(dataset_to_json(dataset))
        return
    for line in dataset_lines(dataset, max(NARROWEST, min(results().width, 80))):
        click.echo(visible(as_options(line)))
