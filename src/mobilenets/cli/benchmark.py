"""``mobilenets benchmark``: how fast a Model runs here, and how other runtimes do beside it."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Any

import click
from click.core import ParameterSource

from mobilenets.base.progress import Progress
from mobilenets.cli.console import json_option, print_json, progress_to_stderr, quiet_option, results
from mobilenets.cli.number import Integer, Number
from mobilenets.cli.options import Quantity
from mobilenets.search.budget import parse_bytes


def _numbers(_: click.Context, __: click.Parameter, text: str) -> list[int]:
    numbers = [int(part) if part.strip().isdigit() else 0 for part in text.split(",")]
    if min(numbers) < 1:
        raise click.BadParameter(f"{text!r} is not a list of integers above 0, such as 1,2")
    return numbers


def _names(_: click.Context, __: click.Parameter, text: str) -> list[str]:
    from mobilenets.benchmark.runtimes import CONTESTANTS, OURS

    peers = [peer for peer in CONTESTANTS if peer != OURS]
    names = [_MEANT.get(name.strip().lower(), name.strip().lower()) for name in text.split(",") if name.strip()]
    for name in names:
        if name not in peers:
            near = get_close_matches(name, [*peers, *_MEANT], 1)
            hint = f"did you mean {_MEANT.get(near[0], near[0])}?" if near else f"known are {', '.join(peers)}"
            raise click.BadParameter(f"{name!r} is not a runtime that is known here; {hint}")
    return list(dict.fromkeys(names))


_MEANT = {
    **dict.fromkeys(("tflite", "tf-lite", "tensorflow-lite", "xnnpack", "ai-edge-litert"), "litert"),
    **dict.fromkeys(("ort", "onnx", "onnx-runtime"), "onnxruntime"),
    **dict.fromkeys(("ov", "vino"), "openvino"),
    "pytorch": "torch",
}
"""What people call runtimes → the name that is known here."""


def _devices(_: click.Context, __: click.Parameter, text: str) -> list[str]:
    from mobilenets.benchmark.microcontroller.count import PROCESSORS

    names = [name.strip() for name in text.split(",") if name.strip()]
    for name in names:
        if name not in PROCESSORS:
            raise click.BadParameter(f"{name!r} is not a device that is known here; known are {', '.join(PROCESSORS)}")
    return names


@click.command("benchmark")
@click.argument("model")
@click.option(
    "--against",
    default="",
    callback=_names,
    metavar="RUNTIMES",
    help="Of onnxruntime, openvino, litert, ncnn and torch.",
)
@click.option("--threads", default="1", show_default=True, callback=_numbers, metavar="N,…", help="Threads to try.")
@click.option("--batch", default=1, show_default=True, type=Integer(min=1), help="Images in one run.")
@click.option("--seconds", default=3.0, show_default=True, type=Number(min=0.01), help="Time per line.")
@click.option("--layers", is_flag=True, help="Time every layer on one thread too.")
@click.option(
    "--device",
    default="",
    callback=_devices,
    metavar="DEVICES",
    help="Count on microcontrollers: cortex-m4,cortex-m55.",
)
@click.option(
    "--max-ram",
    type=Quantity("BYTES", parse_bytes),
    help="With --device: RAM to fit into, as export --max-ram does it.",
)
@json_option
@quiet_option
def command(
    model: str,
    against: list[str],
    threads: list[int],
    batch: int,
    seconds: float,
    layers: bool,
    device: list[str],
    max_ram: int | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Time a MODEL, beside other runtimes if asked, in turns, after comparing their answers.

    MODEL is a Model file, a folder that fit wrote, a foreign file, or published weights such as keras:0.25-224.
    Runtimes that have a quantizer run an int8 MODEL twice: as this package exports it, and made anew by their own.

    With --device, instructions of MODEL's C file on a microcontroller are counted in an emulator instead, with the
    flash and the RAM that it needs. arm-none-eabi-gcc and qemu-system-arm must be installed.
    """
    from mobilenets.benchmark.benchmark import benchmark

    progress = progress_to_stderr(quiet=quiet)
    if device:
        timed = click.get_current_context().get_parameter_source("seconds") is ParameterSource.COMMANDLINE
        if against or layers or batch > 1 or threads != [1] or timed:
            raise click.UsageError("--device counts instructions of one image on one core; it goes with --max-ram only")
        _count(model, device, max_ram, progress, as_json=as_json)
        return
    if max_ram is not None:
        raise click.UsageError("--max-ram goes with --device")
    result = benchmark(
        model,
        against=against,
        threads=threads,
        batch=batch,
        seconds=seconds,
        layers=layers,
        progress=progress,
    )
    if as_json:
        print_json(result.to_json())
        return
    _print(result.machine, result.runs, result.not_timed)
    for warning in result.warnings:
        results().print(f"Warning: {warning}.", highlight=False, width=80)
    if result.layers:
        _print_layers(result.layers)


def _count(model: str, devices: list[str], max_ram: int | None, progress: Progress, *, as_json: bool) -> None:
    """What MODEL's C file takes on microcontrollers."""
    from mobilenets.benchmark.microcontroller.devices import device_costs
    from mobilenets.cli.layout import text_table

    costs = device_costs(model, devices, max_ram=max_ram, progress=progress)
    if as_json:
        print_json({"counted_in": "an emulator", "devices": [cost.to_json() for cost in costs]})
        return
    table = text_table("device", "million instructions", "flash KiB", "RAM KiB")
    for cost in costs:
        millions = f"{cost.instructions / 1e6:.2f}"
        table.add_row(cost.device, millions, f"{cost.flash_bytes / 1024:.1f}", f"{cost.ram_bytes / 1024:.1f}")
    results().print(table)
    results().print(
        "Counted in an emulator for one image; a processor takes more cycles.\n"
        "Flash: weights and code. RAM: activations, the image and 1 KiB of stack.",
        highlight=False,
    )


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
            _label(line),
            str(line["threads"]),
            f"{line['minimum_ms']:.3f}",
            f"{line['median_ms']:.3f}",
            f"{line['p90_ms']:.3f}",
            "" if share is None else f"{100 * share:.0f}",
            "" if memory is None else f"{memory:.0f}",
            f"{line['largest_difference']:.1g}",
        )
    for line in differing:
        table.add_row(_label(line), str(line["threads"]), *[""] * 5, f"{line['largest_difference']:.1g}")
    console.print(table)
    if any(line["own_quantizer"] for line in (*lines, *differing)):
        console.print("(own): the model is of the runtime's own quantizer; all others run this one.")
    for line in lines:
        if line["fastest"]:
            ratio = _ours(lines, line["threads"]) / line["minimum_ms"]
            console.print(f"On {plural(line['threads'], 'thread')} ours takes {ratio:.2f} of {_label(line)}'s time.")
    if differing:
        console.print("Runtimes without times answer differently: they would be timed at other work.")


def _label(line: dict[str, Any]) -> str:
    """The runtime, and whether it ran a model of its own quantizer."""
    return f"{line['runtime']} (own)" if line["own_quantizer"] else str(line["runtime"])


def _ours(lines: list[dict[str, Any]], threads: int) -> float:
    """Our least time with so many threads, in milliseconds."""
    return float(next(line["minimum_ms"] for line in lines if line["threads"] == threads))


def _print_layers(layers: list[dict[str, Any]]) -> None:
    from mobilenets.cli.layout import text_table

    table = text_table("layer", "kernel", "µs", "GMAC/s", left=2)
    for layer in layers:
        speed = layer["macs"] / layer["seconds"] / 1e9 if layer["seconds"] else 0.0
        table.add_row(layer["name"], layer["kernel"], f"{1e6 * layer['seconds']:.1f}", f"{speed:.0f}" if speed else "")
    results().print(table)
