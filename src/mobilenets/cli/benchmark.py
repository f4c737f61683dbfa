"""``mobilenets benchmark``: how fast a Model runs here, and how other runtimes do beside it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mobilenets.cli.console import json_option, print_json, progress_to_stderr, quiet_option, results
from mobilenets.errors import MobileNetsError

if TYPE_CHECKING:
    from mobilenets.benchmark.race import Timing
    from mobilenets.model.model import Model


def _numbers(_: click.Context, __: click.Parameter, text: str) -> list[int]:
    numbers = [int(part) if part.strip().isdigit() else 0 for part in text.split(",")]
    if min(numbers) < 1:
        raise click.BadParameter(f"{text!r} is not a list of whole numbers above 0, such as 1,2")
    return numbers


def _names(_: click.Context, __: click.Parameter, text: str) -> list[str]:
    from mobilenets.benchmark.runtimes import CONTESTANTS, OURS

    names = [name.strip() for name in text.split(",") if name.strip()]
    for name in names:
        if name not in CONTESTANTS or name == OURS:
            known = ", ".join(peer for peer in CONTESTANTS if peer != OURS)
            raise click.BadParameter(f"{name!r} is not a runtime that is known here; known are {known}")
    return names


@click.command("benchmark")
@click.argument("model", type=click.Path(path_type=Path))
@click.option("--against", default="", callback=_names, metavar="RUNTIMES", help="Such as onnxruntime,openvino.")
@click.option("--threads", default="1", show_default=True, callback=_numbers, metavar="N,…", help="Threads to try.")
@click.option("--batch", default=1, show_default=True, type=click.IntRange(min=1), help="Images in one run.")
@click.option("--seconds", default=3.0, show_default=True, type=click.FloatRange(min=0.01), help="Time per line.")
@click.option("--layers", is_flag=True, help="Time every layer on one thread too.")
@json_option
@quiet_option
def command(
    model: Path,
    against: list[str],
    threads: list[int],
    batch: int,
    seconds: float,
    layers: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Time a MODEL, beside other runtimes if asked, in turns, after checking that all give the same answers."""
    from mobilenets.base.text import plural
    from mobilenets.model.file import load

    loaded = load(model)
    progress = progress_to_stderr(quiet=quiet)
    lines: list[dict[str, Any]] = []
    differing: list[dict[str, Any]] = []
    for count in threads:
        timings, missing = _race(loaded, against, count, batch, seconds)
        for name, reason in missing.items():
            progress.note(f"without {name}: {reason}")
        for timing in timings:
            if timing.timed:
                lines.append(_line(loaded, timing, count, batch))
            else:
                differing.append(_differing(timing, count))
                progress.note(f"{timing.name} answers differently on {plural(count, 'thread')} and is not timed")
    from mobilenets.benchmark.peak_memory import peak_megabytes

    for line in lines:
        line["peak_megabytes"] = peak_megabytes(model, line["runtime"], line["threads"])
    measured = _layers(loaded) if layers else []
    if as_json:
        print_json({"machine": _machine(loaded), "runs": lines, "not_timed": differing, "layers": measured})
        return
    _print(_machine(loaded), lines, differing)
    if measured:
        _print_layers(measured)


def _race(
    model: Model, against: Sequence[str], threads: int, batch: int, seconds: float
) -> tuple[list[Timing], dict[str, str]]:
    """Timings of ours and of every peer that can take the Model; for the others, why not."""
    from mobilenets.benchmark.race import race
    from mobilenets.benchmark.runtimes import CONTESTANTS, OURS
    from mobilenets.engine.timing import random_pixels

    contestants = [CONTESTANTS[OURS](model, threads)]
    missing = {}
    for name in against:
        try:
            contestants.append(CONTESTANTS[name](model, threads))
        except MobileNetsError as error:
            missing[name] = str(error)
    pixels, integer = random_pixels(model.network, batch), model.quantization is not None
    return race(contestants, pixels, seconds=seconds * len(contestants), integer=integer), missing


def _machine(model: Model) -> dict[str, Any]:
    from mobilenets.base.processors import cores, processor_name
    from mobilenets.engine.session import chosen_instruction_set, measured_peak

    isa = chosen_instruction_set()
    return {
        "processor": processor_name(),
        "cores": cores(),
        "instruction_set": isa,
        "precision": model.precision,
        "peak_gmacs_per_second": round(measured_peak(isa, integer=model.quantization is not None) / 1e9, 1),
    }


def _line(model: Model, timing: Timing, threads: int, batch: int) -> dict[str, Any]:
    from mobilenets.architecture.cost import cost
    from mobilenets.engine.session import chosen_instruction_set, measured_peak

    macs = cost(model.network).macs * batch
    peak = measured_peak(chosen_instruction_set(), integer=model.quantization is not None) * threads
    return {
        "runtime": timing.name,
        "threads": threads,
        "batch": batch,
        "minimum_ms": timing.minimum * 1e3,
        "median_ms": timing.median * 1e3,
        "p90_ms": timing.p90 * 1e3,
        "runs": len(timing.seconds),
        "share_of_peak": macs / timing.minimum / peak if peak else None,
        "largest_difference": timing.difference,
    }


def _differing(timing: Timing, threads: int) -> dict[str, Any]:
    return {"runtime": timing.name, "threads": threads, "largest_difference": timing.difference}


def _layers(model: Model) -> list[dict[str, Any]]:
    from dataclasses import asdict

    from mobilenets.engine.session import Session

    plan = Session(model, 1).plan(repeats=50)
    return [asdict(layer) for step in plan for layer in step.layers]


def _print(machine: dict[str, Any], lines: list[dict[str, Any]], differing: list[dict[str, Any]]) -> None:
    from mobilenets.base.text import plural
    from mobilenets.cli.layout import text_table

    console = results()
    console.print(
        f"{machine['processor']}, {plural(machine['cores'], 'core')}, {machine['instruction_set']}, "
        f"{machine['precision']}, peak {machine['peak_gmacs_per_second']:g} GMAC/s a core"
    )
    table = text_table(
        "runtime\n", "threads\n", "minimum\nms", "median\nms", "p90\nms", "peak\n%", "memory\nMB", "differs\nby"
    )
    for line in lines:
        share, memory = line["share_of_peak"], line["peak_megabytes"]
        table.add_row(
            line["runtime"],
            str(line["threads"]),
            f"{line['minimum_ms']:.3f}",
            f"{line['median_ms']:.3f}",
            f"{line['p90_ms']:.3f}",
            "" if share is None else f"{100 * share:.0f}",
            "" if memory is None else f"{memory:.0f}",
            f"{line['largest_difference']:.1g}",
        )
    for line in differing:
        table.add_row(line["runtime"], str(line["threads"]), *[""] * 5, f"{line['largest_difference']:.1g}")
    console.print(table)
    if differing:
        console.print("Runtimes without times answer differently: they would be timed at other work.")


def _print_layers(layers: list[dict[str, Any]]) -> None:
    from mobilenets.cli.layout import text_table

    table = text_table("layer", "kernel", "µs", "GMAC/s", left=2)
    for layer in layers:
        speed = layer["macs"] / layer["seconds"] / 1e9 if layer["seconds"] else 0.0
        table.add_row(layer["name"], layer["kernel"], f"{1e6 * layer['seconds']:.1f}", f"{speed:.0f}" if speed else "")
    results().print(table)
