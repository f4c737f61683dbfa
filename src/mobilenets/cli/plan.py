"""``mobilenets plan``: which size fits a budget, of the published ones or of a shared Model's, on which machine."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click
from rich.table import Table

from mobilenets.architecture.multipliers import PUBLISHED_RESOLUTIONS, PUBLISHED_WIDTHS
from mobilenets.base.progress import Progress
from mobilenets.cli.console import json_option, print_json, progress_to_stderr, quiet_option, results
from mobilenets.cli.options import budget_options, precision_list
from mobilenets.cli.output_file import OutputFile
from mobilenets.model.file import load
from mobilenets.model.model import Model
from mobilenets.search.budget import Budget, Candidate, choose, frontier
from mobilenets.search.candidates import knee_reason
from mobilenets.search.profile import DeviceProfile, measure_profile, processor_name
from mobilenets.search.published import published_candidates


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
@click.option("--device", type=click.Path(path_type=Path), help="A profile from mobilenets profile; else this machine.")
@click.option("--shared", type=click.Path(path_type=Path), help="A shared.safetensors that fit wrote: plan with that.")
@click.option("--data", help="The images that it was trained on.  [default: where they were]")
@click.option("--sizes", callback=_sizes, help="Its slices, such as 0.25-64,0.5-96.  [default: those that fit tried]")
@click.option("--plot", type=OutputFile(".png", ".svg"), help="Also draw the frontier into this PNG or SVG file.")
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
    shared: Path | None,
    data: str | None,
    sizes: tuple[tuple[float, int], ...],
    plot: Path | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Show what accuracy costs: the 16 published networks with their ImageNet accuracy and measured latency.

    With --shared, the slices of a Model that fit trained within a budget instead, with their accuracy on its validation
    images. With a budget, the network to take is marked. Published accuracies are those of the released float32 and
    8-bit networks; everything else is computed, or measured here unless --device says where.
    """
    budget = Budget(max_latency, max_size, max_macs, max_memory, min_accuracy)
    if shared is None and (data or sizes):
        raise click.UsageError("--data and --sizes go with --shared")
    profile = None if device is None else DeviceProfile.load(device)
    progress = progress_to_stderr(quiet=quiet)
    if shared is None:
        offer = _published(profile, precision, threads, progress)
    else:
        offer = _slices(load(shared), data, sizes, precision, budget, threads, profile, progress)
    choice = choose(offer.candidates, budget)
    if plot is not None:
        from mobilenets.reports.frontier_plot import plot_frontier

        title = f"{offer.device}, {threads} thread{'s' if threads > 1 else ''}; {offer.accuracy}"
        plot_frontier(offer.candidates, choice, plot, title=title)
    if as_json:
        print_json(_to_json(offer, choice))
    else:
        _print(offer, choice, budget)


@dataclass(frozen=True)
class _Offer:
    """What there is to choose from: where its latencies hold, and what its accuracies are."""

    candidates: list[Candidate]
    device: str
    accuracy: str


def _published(profile: DeviceProfile | None, precisions: tuple[str, ...], threads: int, progress: Progress) -> _Offer:
    profile = profile or measure_profile(
        widths=PUBLISHED_WIDTHS,
        resolutions=PUBLISHED_RESOLUTIONS,
        precisions=precisions,
        threads=(threads,),
        progress=progress,
    )
    candidates = published_candidates(profile, precisions=precisions, threads=threads)
    return _Offer(candidates, profile.device, "top-1 as published for ImageNet")


def _slices(
    shared: Model,
    data: str | None,
    sizes: tuple[tuple[float, int], ...],
    precisions: tuple[str, ...],
    budget: Budget,
    threads: int,
    profile: DeviceProfile | None,
    progress: Progress,
) -> _Offer:
    from mobilenets.search.subnets import data_of, measured_candidates

    dataset = data_of(shared, data, progress=progress)
    how: dict[str, Any] = {"threads": threads, "profile": profile, "progress": progress}
    candidates = measured_candidates(shared, dataset, sizes=sizes, precisions=precisions, budget=budget, **how)
    device = processor_name() if profile is None else profile.device
    return _Offer(candidates, device, f"top-1 on {len(dataset.validation)} validation images of {dataset.source}")


def _to_json(offer: _Offer, choice: Candidate) -> dict[str, Any]:
    best = frontier(offer.candidates)
    return {
        "device": offer.device,
        "accuracy": offer.accuracy,
        "candidates": [{**asdict(one), "on_frontier": one in best} for one in offer.candidates],
        "choice": asdict(choice),
    }


def _print(offer: _Offer, choice: Candidate, budget: Budget) -> None:
    console = results()
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("")
    table.add_column("network")
    for heading in ("top-1 %", "ms", "Mult-Adds", "file", "activations"):
        table.add_column(heading, justify="right")
    best = frontier(offer.candidates)
    for one in sorted(offer.candidates, key=lambda candidate: candidate.latency_ms):
        mark = "→" if one is choice else "·" if one in best else " "
        style = "bold" if one is choice else "" if budget.meets(one) else "dim"
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
    console.print(f"{offer.device}; {offer.accuracy}")
    console.print(table)
    reason = knee_reason(offer.candidates, choice) if budget.empty else "the best within the budget"
    if budget.min_accuracy is not None:
        reason = "the quickest that reaches the accuracy"
    console.print(f"\n· on the frontier   → {choice}: {reason}")
