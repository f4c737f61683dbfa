"""``mobilenets plan``: which of the published sizes fits a budget, with latencies of this machine or another."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
from rich.table import Table

from mobilenets.cli.console import json_option, print_json, progress_to_stderr, quiet_option, results
from mobilenets.cli.options import Quantity, precision_list
from mobilenets.planning.budget import (
    Budget,
    Candidate,
    choose,
    frontier,
    parse_accuracy,
    parse_bytes,
    parse_latency,
    parse_macs,
)
from mobilenets.planning.frontier import published_candidates
from mobilenets.planning.latency import DeviceProfile, measure_profile


@click.command("plan")
@click.option("--max-latency", type=Quantity("LATENCY", parse_latency), help="Such as 5ms.")
@click.option("--max-size", type=Quantity("BYTES", parse_bytes), help="Of the Model file, such as 500kB.")
@click.option("--max-macs", type=Quantity("MACS", parse_macs), help="Mult-Adds, such as 50M.")
@click.option("--max-memory", type=Quantity("BYTES", parse_bytes), help="Peak activation memory, such as 300kB.")
@click.option("--min-accuracy", type=Quantity("SHARE", parse_accuracy), help="Such as 0.6: then the quickest.")
@click.option("--precision", default="auto", callback=precision_list, help="float32, int8, or auto for both.")
@click.option("--threads", default=1, show_default=True, type=click.IntRange(1, 256), help="Threads for one picture.")
@click.option("--device", type=click.Path(path_type=Path), help="A profile from mobilenets profile; else this machine.")
@click.option("--plot", type=click.Path(path_type=Path), help="Also draw the frontier into this PNG or SVG file.")
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
    device: Path | None,
    plot: Path | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Show what accuracy costs: the 16 published networks with their ImageNet accuracy and measured latency.

    With a budget, the network to take is marked. Accuracies are published figures of the released float32 and 8-bit
    networks; everything else is computed, or measured here unless --device says where.
    """
    budget = Budget(max_latency, max_size, max_macs, max_memory, min_accuracy)
    if device is not None:
        profile = DeviceProfile.load(device)
    else:
        progress = progress_to_stderr(quiet=quiet)
        profile = measure_profile(precisions=precision, threads=(threads,), progress=progress)
    candidates = published_candidates(profile, precisions=precision, threads=threads)
    choice = choose(candidates, budget)
    if plot is not None:
        from mobilenets.reports.frontier_plot import plot_frontier

        plot_frontier(candidates, choice, plot, title=f"{profile.device}, {threads} thread{'s' if threads > 1 else ''}")
    if as_json:
        print_json(_to_json(profile, candidates, choice))
    else:
        _print(profile, candidates, choice, budget)


def _to_json(profile: DeviceProfile, candidates: list[Candidate], choice: Candidate) -> dict[str, Any]:
    best = frontier(candidates)
    return {
        "device": profile.device,
        "candidates": [{**asdict(one), "on_frontier": one in best} for one in candidates],
        "choice": asdict(choice),
    }


def _print(profile: DeviceProfile, candidates: list[Candidate], choice: Candidate, budget: Budget) -> None:
    console = results()
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("")
    table.add_column("network")
    for heading in ("top-1 %", "ms", "Mult-Adds", "file", "activations"):
        table.add_column(heading, justify="right")
    best = frontier(candidates)
    for one in sorted(candidates, key=lambda candidate: candidate.latency_ms):
        mark = "→" if one is choice else "·" if one in best else " "
        style = "bold" if one is choice else "" if budget.meets(one) else "dim"
        table.add_row(
            mark,
            str(one),
            f"{100 * one.accuracy:.1f}",
            f"{one.latency_ms:.3f}",
            f"{one.macs / 1e6:.0f} M",
            f"{one.file_bytes / 1e6:.2f} MB",
            f"{one.memory_bytes / 1e3:,.0f} kB",
            style=style,
        )
    console.print(f"{profile.device}; top-1 as published for ImageNet")
    console.print(table)
    reason = "the knee of the curve: past it, time buys little" if budget.empty else "the best within the budget"
    if budget.min_accuracy is not None:
        reason = "the quickest that reaches the accuracy"
    console.print(f"\n· on the frontier   → {choice}: {reason}")
