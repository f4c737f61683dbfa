"""``mobilenets tables``: the paper's tables, published and computed side by side."""

from __future__ import annotations

import click

from mobilenets.cli.console import json_option, print_json


@click.command()
@click.argument("names", nargs=-1, metavar="[N]...")
@json_option
def command(names: tuple[str, ...], as_json: bool) -> None:
    """Print tables of the MobileNets paper: published figures, and what this package computes beside them.

    N is 1 to 14, "released" (the sixteen released networks), "later" (what others reached since), "v2", "v3" or "v4"
    (its successors), "ssdlite" (detectors) or "weights" (what import can fetch, with accuracies); without it, all of
    them. Footnotes say where a source slipped or counts otherwise.
    """
    from mobilenets.cli.layout import print_table
    from mobilenets.reports.tables import TABLE_NAMES, table

    tables = [table(name) for name in names or TABLE_NAMES]
    if as_json:
        print_json([chosen.encode() for chosen in tables])
    else:
        for chosen in tables:
            print_table(chosen)
