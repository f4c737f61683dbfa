"""``mobilenets plan``: which network a budget is best spent on, on which machine."""

from __future__ import annotations

import re
from pathlib import Path

import click
from rich.table import Table

from mobilenets.base.text import plural
from mobilenets.cli.console import json_option, print_json, progress_to_stderr, quiet_option, results
from mobilenets.cli.data_options import data_options
from mobilenets.cli.layout import WIDEST_TEXT
from mobilenets.cli.number import Integer
from mobilenets.cli.options import budget_options, precision_list
from mobilenets.cli.output_file import OutputFile
from mobilenets.data.reading import Reading
from mobilenets.search.budget import Budget
from mobilenets.search.candidates import IMAGENET_CLASSES, PublishedCandidate
from mobilenets.search.frontier import frontier
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
@click.option("--threads", default=1, show_default=True, type=Integer(1, 256), help="Threads for one image.")
@click.option(
    "--device",
    help="A microcontroller, such as cortex-m4, or a profile from mobilenets profile; else this machine.",
)
@click.option("--family", "--architecture", help="Only architectures whose name begins so, such as mobilenet_v3.")
@click.option(
    "--classes",
    type=Integer(min=1),
    default=IMAGENET_CLASSES,
    show_default=True,
    help="Classes of your own, for the size and memory of a network with a head for them.",
)
@click.option("--all", "show_all", is_flag=True, help="Also list the networks that others beat, and those too costly.")
@click.option(
    "--supernet", type=click.Path(path_type=Path), help="A supernet.safetensors that fit wrote: plan with that."
)
@click.option("--data", help="The images that it was trained on.  [default: where they were]")
@data_options
@click.option("--sizes", callback=_sizes, help="Its subnets, such as 0.25-64,0.5-96.  [default: those that fit tried]")
@click.option("--plot", type=OutputFile(".svg"), help="Also draw the frontier into this SVG file.")
@json_option
@quiet_option
def command(
    max_latency: float | None,
    max_size: int | None,
    max_macs: int | None,
    max_memory: int | None,
    max_flash: int | None,
    max_instructions: int | None,
    min_accuracy: float | None,
    precision: tuple[str, ...],
    threads: int,
    device: str | None,
    family: str | None,
    classes: int,
    show_all: bool,
    supernet: Path | None,
    data: str | None,
    reading: Reading | None,
    sizes: tuple[tuple[float, int], ...],
    plot: Path | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Show what accuracy costs: the published networks that no other beats in latency and ImageNet accuracy.

    Every network of every family is listed by the short name of its best weights, which fit --weights and the other
    commands take. With a budget, the network to take is marked. Accuracies are as printed, those in int8 for V1 only:
    others have ~ and that of their float32 weights. Everything else is computed, or measured here unless --device says
    where. For a microcontroller (--device cortex-m4), networks are int8, smaller resolutions take part, and what counts
    is what the C file of each takes: instructions, flash with code, RAM with image and stack. With --supernet, the
    subnets of a Model that fit trained within a budget instead, with their accuracy on its
    validation images.
    """
    if supernet is None and (data or reading or sizes):
        raise click.UsageError("--data, how it is read, and --sizes go with --supernet")
    if supernet is not None and (family is not None or classes != IMAGENET_CLASSES or show_all):
        raise click.UsageError("--family, --classes and --all are of published networks; a supernet has its own")
    result = plan(
        Budget(max_latency, max_size, max_macs, max_memory, min_accuracy, max_flash, max_instructions),
        supernet=supernet,
        data=data,
        reading=reading,
        sizes=sizes,
        family=family,
        classes=classes,
        precisions=precision,
        threads=threads,
        device=device,
        progress=progress_to_stderr(quiet=quiet),
    )
    if plot is not None:
        from mobilenets.reports.plots import plot_plan

        plot_plan(result, plot)
    if as_json:
        print_json(result.to_json())
    else:
        _print_published(result, show_all) if supernet is None else _print(result)


def _print_published(result: PlanResult, show_all: bool) -> None:
    """The frontier, or everything, with the costs that the budget limits."""
    console = results()
    published = [one for one in result.candidates if isinstance(one, PublishedCandidate)]
    # What beats a network and exceeds another limit is no reason to leave it out.
    good = frontier([one for one in published if result.budget.meets(one)], result.compared_by)
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 1, 0, 0))
    table.add_column("", no_wrap=True)
    table.add_column("weights", overflow="fold")
    for heading in ("px", "precision", "top-1", *_costs(published[0], result.budget)):
        table.add_column(heading, justify="right", no_wrap=True)
    listed = [one for one in published if show_all or one is result.choice or one in good]
    for one in sorted(listed, key=lambda candidate: candidate.cost(result.compared_by)):
        chosen = one is result.choice
        table.add_row(
            "→" if chosen else "·" if one in good else " ",
            one.weights,
            str(one.resolution),
            one.precision,
            f"{'≈' if one.estimated else '~' if one.float32_accuracy else ''}{100 * one.accuracy:.1f}",
            *_costs(one, result.budget).values(),
            style="bold" if chosen else "" if one in good else "dim",
        )
    console.print(f"{_where(result)}{result.accuracy_of}, in %", highlight=False)
    console.print(table, width=min(console.width, WIDEST_TEXT))
    console.print()
    if more := len(published) - len(listed):
        why = "are beaten in both" if result.budget.empty else "are beaten in both, or too costly"
        console.print(f"{plural(more, 'other')} {why}: --all lists them", highlight=False)
    if result.left_out:
        console.print(f"{result.left_out} are not in the profile: mobilenets profile measures all", highlight=False)
    _print_choice(result)


def _where(result: PlanResult) -> str:
    """The processor that latencies hold for, where there are any, before what the accuracies are."""
    return "" if result.device is None else f"{result.device}; "


def _costs(one: PublishedCandidate, budget: Budget) -> dict[str, str]:
    """The latency, where it takes part in the choice, the size of the file, and what else a budget limits; of a
    microcontroller, what it needs of it."""
    if one.instructions is not None and one.flash_bytes is not None:
        return {
            "M instr.": _three(one.instructions / 1e6),
            "flash kB": _three(one.flash_bytes / 1e3),
            "RAM kB": _three(one.memory_bytes / 1e3),
            **({} if budget.max_macs is None else {"Mult-Adds": f"{one.macs / 1e6:.3g} M"}),
        }
    # Few enough digits that no name of weights is folded at 80 columns.
    costs = {} if one.latency_ms is None else {"ms": _milliseconds(one.latency_ms)}
    costs["file"] = f"{_megabytes(one.file_bytes)} MB"
    if budget.max_macs is not None:
        costs["Mult-Adds"] = f"{one.macs / 1e6:.3g} M"
    if budget.max_memory_bytes is not None:
        costs["activations"] = f"{one.memory_bytes / 1e3:,.0f} kB"
    return costs


def _milliseconds(value: float) -> str:
    """Four digits and more: to the microsecond below 10 ms.

    >>> _milliseconds(0.0861), _milliseconds(12.3456), _milliseconds(123.456)
    ('0.086', '12.35', '123.5')
    """
    return f"{value:.{3 if value < 10 else 2 if value < 100 else 1}f}"


def _megabytes(value: float) -> str:
    """Three digits: to 10 kB below 10 MB.

    >>> _megabytes(512_000), _megabytes(16_990_000), _megabytes(130_060_000)
    ('0.51', '17.0', '130')
    """
    return f"{value / 1e6:.{2 if value < 1e7 else 1 if value < 1e8 else 0}f}"


def _three(value: float) -> str:
    return f"{value:.3g}" if value < 1000 else f"{value:,.0f}"


def _print_choice(result: PlanResult) -> None:
    console = results()
    if result.steadiness is not None and result.steadiness.warning is not None:
        console.print(f"measured while {result.steadiness.warning}", highlight=False, width=WIDEST_TEXT)
    choice = result.choice
    if not isinstance(choice, PublishedCandidate):
        return
    if any(isinstance(one, PublishedCandidate) and one.float32_accuracy for one in result.candidates):
        console.print("~ of the float32 weights: none is printed in int8", highlight=False)
    if any(isinstance(one, PublishedCandidate) and one.estimated for one in result.candidates):
        console.print("≈ estimated: none is printed for so few pixels", highlight=False)
    if result.counted is not None:
        console.print(f"{result.counted[0].upper()}{result.counted[1:]}.", highlight=False, width=80)
    console.print(f"· on the frontier   → {result.reason}", highlight=False, width=WIDEST_TEXT)
    console.print("To train it on images of your own, or to run it as it is:")
    size = f"--resolution {choice.resolution}"
    int8 = " --int8" if choice.precision == "int8" else ""
    click.echo(f"  mobilenets fit PHOTOS {size}{int8} \\\n    --weights {choice.weights}")
    click.echo(f"  mobilenets import {size} -o model.safetensors \\\n    {choice.weights}")
    if result.counted is not None:
        limit = result.budget.max_memory_bytes
        ram = "" if limit is None else f" --max-ram {limit}B"
        click.echo(f"  mobilenets export model/model.int8.safetensors --to c{ram}")


def _print(result: PlanResult) -> None:
    console = results()
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("")
    table.add_column("network")
    timed, counted = result.device is not None and result.counted is None, result.counted is not None
    first = ["ms"] if timed else ["M instr.", "flash kB"] if counted else []
    for heading in ("top-1 %", *first, "Mult-Adds", "file", "RAM" if counted else "activations"):
        table.add_column(heading, justify="right")
    best = result.frontier
    for one in sorted(result.candidates, key=lambda candidate: candidate.cost(result.compared_by)):
        mark = "→" if one is result.choice else "·" if one in best else " "
        style = "bold" if one is result.choice else "" if result.budget.meets(one) else "dim"
        table.add_row(
            mark,
            str(one),
            f"{100 * one.accuracy:.1f}",
            *([f"{one.latency_ms:.3f}"] if timed else []),
            *([_three(one.cost("instructions") / 1e6), _three(one.cost("flash_bytes") / 1e3)] if counted else []),
            f"{one.macs / 1e6:.3g} M",
            f"{one.file_bytes / 1e6:.2f} MB",
            f"{one.memory_bytes / 1e3:,.0f} kB",
            style=style,
        )
    console.print(f"{_where(result)}{result.accuracy_of}", highlight=False)
    console.print(table)
    if result.steadiness is not None and result.steadiness.warning is not None:
        console.print(f"\nmeasured while {result.steadiness.warning}", highlight=False, width=WIDEST_TEXT)
    console.print(f"\n· on the frontier   → {result.choice}: {result.reason}")
    if result.counted is not None:
        console.print(f"{result.counted[0].upper()}{result.counted[1:]}.", highlight=False, width=80)
