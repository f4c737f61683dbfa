"""``mobilenets profile``: measure how fast this machine runs MobileNets."""

from __future__ import annotations

from pathlib import Path

import click
from rich.table import Table

from mobilenets.cli.console import json_option, print_json, progress_to_stderr, quiet_option, results
from mobilenets.cli.options import precision_list, thread_list
from mobilenets.cli.output_file import OutputFile
from mobilenets.search.candidates import published_networks
from mobilenets.search.measuring import measure_profile
from mobilenets.search.profile import ARCHITECTURE, DeviceProfile, check_profile_path

PROFILE_ROUNDS = 8
"""Turns of every network: all of them take a minute and a half on a quiet machine."""


@click.command("profile")
@click.option(
    "-o", "--output", type=OutputFile(check=check_profile_path), help="Write the device profile to this file."
)
@click.option("--architecture", help="Measure a grid of sizes of this one only, such as mobilenet_v2.")
@click.option("--threads", default="1", show_default=True, callback=thread_list, help="Thread counts, such as 1,2.")
@click.option("--precision", default="auto", callback=precision_list, help="float32, int8, or auto for both.")
@json_option
@quiet_option
def command(
    output: Path | None,
    architecture: str | None,
    threads: tuple[int, ...],
    precision: tuple[str, ...],
    as_json: bool,
    quiet: bool,
) -> None:
    """Measure how fast this machine runs the published networks of all families, and further sizes of MobileNet V1.

    The file lets another machine plan for this one: mobilenets plan --device device.json, and likewise fit.
    """
    profile = measure_profile(
        architecture=architecture or ARCHITECTURE,
        others=() if architecture else published_networks(),
        precisions=precision,
        threads=threads,
        rounds=PROFILE_ROUNDS,
        progress=progress_to_stderr(quiet=quiet),
    )
    if output is not None:
        profile.save(output)
    if as_json:
        print_json(profile.to_json())
    else:
        _print(profile)


def _print(profile: DeviceProfile) -> None:
    console = results()
    console.print(f"{profile.device}, engine on {profile.engine}; median milliseconds for one image")
    settings = list(dict.fromkeys((point.precision, point.threads) for point in profile.points))
    for precision, threads in settings:
        table = Table(box=None, pad_edge=False, header_style="bold")
        table.add_column(f"{precision}, {threads} thread{'s' if threads > 1 else ''}", no_wrap=True)
        points = profile.grid(precision, threads)
        resolutions = sorted({point.resolution for point in points}, reverse=True)
        for resolution in resolutions:
            table.add_column(f"{resolution} px", justify="right", no_wrap=True)
        by_size = {(point.width_multiplier, point.resolution): point for point in points}
        for width in sorted({point.width_multiplier for point in points}, reverse=True):
            row = [by_size.get((width, resolution)) for resolution in resolutions]
            table.add_row(f"α {width:g}", *("" if point is None else f"{point.median_ms:.3g}" for point in row))
        console.print()
        console.print(table)
    for name in profile.architectures[1:]:
        console.print()
        console.print(_networks(profile, name, settings))
    error = profile.interpolation_error
    if error is not None:
        console.print(f"\nBetween these sizes, interpolation errs by {100 * error:.1f} % at the median.")
    if profile.steadiness is not None and profile.steadiness.warning is not None:
        console.print(f"\nMeasured while {profile.steadiness.warning}.", highlight=False)


def _networks(profile: DeviceProfile, architecture: str, settings: list[tuple[str, int]]) -> Table:
    """Latencies of the sizes of one architecture that were measured, which are no whole grid."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column(architecture, no_wrap=True)
    found: dict[tuple[float, int], list[str]] = {}
    for precision, threads in settings:
        table.add_column(f"{precision}, {threads}" if threads > 1 else precision, justify="right")
        for point in profile.grid(precision, threads, architecture):
            found.setdefault((point.width_multiplier, point.resolution), []).append(f"{point.median_ms:.3g}")
    for (width, resolution), cells in sorted(found.items(), reverse=True):
        table.add_row(f"α {width:g} at {resolution} px", *cells)
    return table
