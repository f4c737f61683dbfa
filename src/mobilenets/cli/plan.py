"""``mobilenets plan``: which network a budget is best spent on, on which machine."""

from __future__ import annotations

import re
from pathlib import Path

import click
from rich.table import Table

from mobilenets.cli.console import json_option, print_json, progress_to_stderr, quiet_option, results
from mobilenets.cli.options import budget_options, precision_list
from mobilenets.cli.output_file import OutputFile
from mobilenets.search.budget import Budget
from mobilenets.search.plan import PlanResult, plan


def _sizes(_: click.Context, __: click.Parameter, text: str | None) -> tuple[tuple[float, int], ...]:
    """``0.25-64,0.5-96`` → ((0.25, 64), (0.5, 96))."""
    found = [_SIZE.fullmatch(part.strip()) for part in (text or "").split(",") if part.strip()]
    if not all(found):
        raise click.BadParameter(f"{text!r} is not a list of WIDTH-RESOLUTION such as 0.25-64,0.5-96")
    return tuple((float(size[1]), int(size[2])) for size in found if size)


_SIZE = re.compile(r"([0-9]*\.?[0-9]+)-([0-9]{1,6})")


@click.command("plan")
@budget_options
@click.option("--precision", default="auto", callback=precision_list, help="float32, int8, or auto for both.")
@click.option("--threads", default=1, show_default=True, type=click.IntRange(1, 256), help="Threads for one image.")
@click.option("--architecture", help="Such as mobilenet_v2.  [default: mobilenet_v1, or what the profile measured]")
@click.option("--device", type=click.Path(path_type=Path), help="A profile from mobilenets profile; else this machine.")
@click.option(
    "--supernet", type=click.Path(path_type=Path), help="A supernet.safetensors that fit wrote: plan with that."
)
@click.option("--data", help="The images that it was trained on.  [default: where they were]")
@click.option("--sizes", callback=_sizes, help="Its subnets, such as 0.25-64,0.5-96.  [default: those that fit tried]")
@click.option("--plot", type=OutputFile(".svg"), help="Also draw the frontier into this SVG file.")
@json_option
@quiet_option
def command(
    max_latency: float | None,
    max_size: int | None,
    max_macs: int | None,
    max_memory: int | None,
    min_accuracy: float | None,
    precision: tuple[str, ...],
    threads: int,
    architecture: str | None,
    device: Path | None,
    supernet: Path | None,
    data: str | None,
    sizes: tuple[tuple[float, int], ...],
    plot: Path | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Show what accuracy costs: published networks with their ImageNet accuracy and measured latency.

    With --supernet, the subnets of a Model that fit trained within a budget instead, with their accuracy on its
    validation images. With a budget, the network to take is marked. Published accuracies are those of the released
    float32 and 8-bit networks; everything else is computed, or measured here unless --device says where.
    """
    if supernet is None and (data or sizes):
        raise click.UsageError("--data and --sizes go with --supernet")
    result = plan(
        Budget(max_latency, max_size, max_macs, max_memory, min_accuracy),
        supernet=supernet,
        data=data,
        sizes=sizes,
        precisions=precision,
        threads=threads,
        device=device,
        architecture=architecture,
        progress=progress_to_stderr(quiet=quiet),
    )
    if plot is not None:
        from mobilenets.reports.plots import plot_plan

        plot_plan(result, plot)
    if as_json:
        print_json(result.to_json())
    else:
        _print(result)


def _print(result: PlanResult) -> None:
    console = results()
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("")
    table.add_column("network")
    for heading in ("top-1 %", "ms", "Mult-Adds", "file", "activations"):
        table.add_column(heading, justify="right")
    best = result.frontier
    for one in sorted(result.candidates, key=lambda candidate: candidate.latency_ms):
        mark = "→" if one is result.choice else "·" if one in best else " "
        style = "bold" if one is result.choice else "" if result.budget.meets(one) else "dim"
        table.add_row(
            mark,
            str(one),
            f"{100 * one.accuracy:.1f}",
            f"{one.latency_ms:.3f}",
            f"{one.macs / 1e6:.3g} M",
            f"{one.file_bytes / 1e6:.2f} MB",
            f"{one.memory_bytes / 1e3:,.0f} kB",
            style=style,
        )
    console.print(f"{result.device}; {result.accuracy_of}")
    console.print(table)
    if result.steadiness is not None and result.steadiness.warning is not None:
        console.print(f"\nmeasured while {result.steadiness.warning}", highlight=False)
    console.print(f"\n· on the frontier   → {result.choice}: {result.reason}")
