"""``mobilenets report``: what a finished ``fit`` came to, as one HTML file."""

from __future__ import annotations

from pathlib import Path

import click

from mobilenets.cli.console import progress_to_stderr, quiet_option
from mobilenets.cli.data_options import data_options
from mobilenets.cli.output_file import OutputFile
from mobilenets.data.reading import Reading


@click.command("report")
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--data", help="The images of the run.  [default: where they were]")
@click.option("-o", "--output", type=OutputFile(".html", ".htm"), help="The file.  [default: report.html in RUN]")
@data_options
@quiet_option
def command(run: Path, data: str | None, reading: Reading | None, output: Path | None, quiet: bool) -> None:
    """Write the report of a finished fit: result, mistakes, training, time by layer, and how to reproduce it.

    RUN is the output folder of mobilenets fit, which writes a report itself at its end. Latencies are measured anew, on
    this machine. The file holds everything that it shows, and opens with no network.
    """
    from mobilenets.reports.run_report import report

    path = report(run, output, data=data, reading=reading, progress=progress_to_stderr(quiet=quiet))
    click.echo(f"{path} is written ({path.stat().st_size / 1e3:,.0f} kB)")
