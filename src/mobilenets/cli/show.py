"""``mobilenets show``: a network's layers and what they cost, and what a Model file says of itself."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mobilenets.cli.console import json_option, print_json, results
from mobilenets.cli.data_options import data_options
from mobilenets.cli.input_size import SquareSide
from mobilenets.cli.number import POSITIVE
from mobilenets.cli.output_file import OutputFile
from mobilenets.data.reading import Reading

if TYPE_CHECKING:
    from mobilenets.architecture.cost import Cost
    from mobilenets.architecture.layers import Layer
    from mobilenets.architecture.network import Network
    from mobilenets.model.model import Model

MODEL_SUFFIX = ".safetensors"
DATA_SUFFIXES = (".csv", ".tsv", ".jsonl", ".yaml", ".yml")


@click.command()
@click.argument("name", metavar="NAME|MODEL|DATA")
@click.option("--width", type=POSITIVE, help="Width multiplier α.  [default: the architecture's]")
@click.option(
    "--resolution", type=SquareSide(), help="Side of the square input in pixels.  [default: the architecture's]"
)
@click.option("--classes", type=int, help="Outputs of the last layer, or kinds of objects.  [default: 1000; 90]")
@click.option("--plan", "with_plan", is_flag=True, help="How the engine runs a MODEL: steps, bytes, measured time.")
@click.option("--draw", type=OutputFile(".jpg", ".png"), help="Of DATA: a sheet of labeled images.", metavar="FILE")
@data_options
@json_option
def command(
    name: str,
    width: float | None,
    resolution: int | None,
    classes: int | None,
    with_plan: bool,
    draw: Path | None,
    reading: Reading | None,
    as_json: bool,
) -> None:
    """Print the layers of a network with their shapes, Mult-Adds and parameters, and what they cost in total.

    NAME is an architecture such as mobilenet_v1, or mobilenet_v1@0.5-160 for its width and resolution; MODEL is a
    Model file, a folder that fit wrote, a foreign file, or published weights such as keras:0.25-224; of it labels,
    preprocessing and provenance are printed too. Of DATA, a folder or table of labeled
    images or digits, the parts and classes are printed that fit would train on; --draw writes a sheet of its images,
    each with its class or its boxes.
    """
    if _is_data(name):
        from mobilenets.cli.dataset import print_dataset

        print_dataset(name, 0, reading or Reading(), as_json=as_json, quiet=False)
        if draw is not None:
            from mobilenets.engine.drawing import write_label_sheet

            write_label_sheet(name, draw, reading or Reading())
        return
    if reading is not None:
        raise click.UsageError(f"--parts and the options after it go with a folder or table of images, not with {name}")
    if draw is not None:
        raise click.UsageError(f"--draw goes with a folder or table of images, not with {name}")
    from mobilenets.architecture.cost import cost

    model: Model | None = None
    if _is_model(name):
        if (width, resolution, classes) != (None, None, None):
            raise click.UsageError("--width, --resolution and --classes go with an architecture's name, not a Model")
        from mobilenets.cli.console import progress_to_stderr
        from mobilenets.formats.loading import load_model

        model = load_model(name, progress=progress_to_stderr(quiet=False))
        network = model.network
    else:
        network = _network(name, width, resolution, classes)
    if with_plan:
        if model is None:
            raise click.UsageError("--plan needs a Model, not an architecture's name: its numbers decide what runs")
        _show_plan(model, as_json)
        return
    whole = model is None or model.precision == "float32"
    total = cost(network) if whole else cost(network, bytes_per_weight=1, bytes_per_activation=1)
    if as_json:
        print_json(_encode(network, total) | (_describe(model) if model else {}))
        return
    _print_layers(network, total)
    _print_kinds(total)
    _print_totals(network, total, model)


def _show_plan(model: Model, as_json: bool) -> None:
    from mobilenets.engine.session import Session

    session = Session(model)
    steps = session.plan()
    memory = {
        "arena_bytes": session.arena_bytes,
        "scratch_bytes_per_thread": session.scratch_bytes,
        "packed_bytes": session.packed_bytes,
    }
    if as_json:
        facts = {"instruction_set": session.instruction_set, "threads": session.threads}
        print_json(facts | memory | {"steps": [asdict(step) for step in steps]})
        return
    from mobilenets.base.text import plural
    from mobilenets.cli.layout import WIDEST_TEXT, text_table

    headings = ("#\n", "layer\n", "kernel\n", "shared\nby", "weights\nKB", "buffer\nKB", "time\nµs", "GMAC/s\n")
    table = text_table(*headings, left=4)
    table.padding = (0, 1, 0, 0)
    for number, step in enumerate(steps, start=1):
        for layer in step.layers:
            first = layer is step.layers[0]
            table.add_row(
                str(number) if first else "",
                layer.name,
                _short_kernel(layer.kernel, session.instruction_set),
                step.split if first else "",
                f"{layer.weight_bytes / 1e3:,.1f}",
                f"{layer.buffer_bytes / 1e3:,.1f}",
                f"{1e6 * layer.seconds:.1f}",
                f"{layer.macs / layer.seconds / 1e9:.0f}" if layer.macs and layer.seconds else "",
            )
    results().print(table)
    total = sum(layer.seconds for step in steps for layer in step.layers)
    summary = (
        f"{model.precision}, {session.instruction_set}, {plural(session.threads, 'thread')}; "
        f"{1e3 * total:.3f} ms on one thread; "
        "activations "
        f"{_megabytes(session.arena_bytes)}, packed weights {_megabytes(session.packed_bytes)}, "
        f"{session.scratch_bytes:,} bytes of scratch per thread"
    )
    results().print(textwrap.fill(summary, min(results().width, WIDEST_TEXT)))


def _short_kernel(name: str, instruction_set: str) -> str:
    """``u8_pointwise_6x16_avx2`` → ``pointwise_6x16``: the type and the usual instruction set stand below the table."""
    return name.partition("_")[2].removesuffix(f"_{instruction_set}").replace("_avx512", "_")


def _is_model(name: str) -> bool:
    """Whether a word names a Model, and no architecture."""
    from mobilenets.architecture.catalog import CATALOG, DETECTORS
    from mobilenets.formats.loading import is_remote

    if name in CATALOG or name in DETECTORS:
        return False
    return name.endswith(MODEL_SUFFIX) or Path(name).exists() or is_remote(name)


def _is_data(name: str) -> bool:
    from mobilenets.data.sources import DIGITS
    from mobilenets.formats.source import WEIGHTS_FILES

    path = Path(name)
    if name == DIGITS and not path.exists():
        return True
    if path.is_dir():
        return not any((path / file).exists() for file in WEIGHTS_FILES) and not any(path.glob("*.index"))
    if path.suffix.lower() == ".json" and path.is_file():
        from mobilenets.data.coco import is_coco

        return is_coco(path)
    return path.suffix.lower() in DATA_SUFFIXES and path.is_file()


def _network(name: str, width: float | None, resolution: int | None, classes: int | None) -> Network:
    from mobilenets.architecture.catalog import Specification

    specification = Specification.parse(name)
    if width is not None:
        specification = replace(specification, width_multiplier=width)
    if resolution is not None:
        specification = replace(specification, resolution=resolution)
    return specification.network(classes=classes)


def _encode(network: Network, total: Cost) -> dict[str, Any]:
    return {
        "network": network.name,
        "width_multiplier": network.width_multiplier,
        "input": [network.channels, network.height, network.width],
        **_outputs(network),
        "layers": [
            {"inputs": network[layer.name].inputs} | asdict(layer) | _window(network[layer.name])
            for layer in total.layers
        ],
        "by_kind": {kind: _sums(part) for kind, part in total.by_kind().items()},
        "total": _sums(total) | {"peak_activation_bytes": total.peak_activation_bytes},
    }


def _outputs(network: Network) -> dict[str, Any]:
    """The number of classes of a classifier; of others the shape of every output."""
    shapes = [network.shapes[name] for name in network.outputs]
    if len(shapes) == 1 and shapes[0].height == shapes[0].width == 1:
        return {"classes": shapes[0].channels}
    return {"outputs": {name: list(shape) for name, shape in zip(network.outputs, shapes, strict=True)}}


def _outputs_in_words(network: Network) -> str:
    from mobilenets.base.text import plural

    classes = _outputs(network).get("classes")
    return plural(len(network.outputs), "output") if classes is None else f"{classes} classes"


def _window(layer: Layer) -> dict[str, Any]:
    from mobilenets.architecture.layers import Windowed

    return {"kernel": layer.kernel, "stride": layer.stride} if isinstance(layer, Windowed) else {}


def _step(stride: int | tuple[int, int]) -> str:
    return str(stride) if isinstance(stride, int) else "×".join(map(str, stride))


def _sums(cost: Cost) -> dict[str, int]:
    return {
        "macs": cost.macs,
        "parameters": cost.parameters,
        "weight_bytes": cost.weight_bytes,
        "activation_bytes": cost.activation_bytes,
    }


def _describe(model: Model) -> dict[str, Any]:
    return {
        "precision": model.precision,
        **({"task": model.task.kind} if model.task.labels is None else {"labels": list(model.task.labels)}),
        "preprocessing": model.preprocessing.encode(),
        "provenance": dict(model.provenance),
        "parameter_bytes": model.parameter_bytes,
    }


def _print_layers(network: Network, total: Cost) -> None:
    from rich.text import Text

    from mobilenets.cli.layout import text_table

    table = text_table("layer", "kind", "window", "output", "Mult-Adds", "parameters", left=3)
    for layer in total.layers:
        window = _window(network[layer.name])
        table.add_row(
            Text(layer.name),
            layer.kind,
            f"{window['kernel']}×{window['kernel']} s{_step(window['stride'])}" if window else "",
            str(layer.output_shape),
            f"{layer.macs:,}" if layer.macs else "",
            f"{layer.parameters:,}" if layer.parameters else "",
        )
    results().print(table)


def _print_kinds(total: Cost) -> None:
    from mobilenets.cli.layout import text_table

    table = text_table("kind", "layers", "Mult-Adds", "%", "parameters", "%")
    for kind, part in total.by_kind().items():
        if not part.macs:
            continue
        table.add_row(
            kind,
            str(len(part.layers)),
            f"{part.macs:,}",
            f"{100 * part.macs / total.macs:.2f}",
            f"{part.parameters:,}",
            f"{100 * part.parameters / total.parameters:.2f}",
        )
    table.add_row("total", str(len(total.layers)), f"{total.macs:,}", "", f"{total.parameters:,}", "", style="bold")
    results().print()
    results().print(table)


def _print_totals(network: Network, total: Cost, model: Model | None) -> None:
    from mobilenets.architecture.cost import cost

    facts = {
        "network": f"{network.name}, α = {network.width_multiplier:g}, input {network.channels}×{network.height}×"
        f"{network.width}, {_outputs_in_words(network)}",
    }
    if model is None:
        integer = cost(network, bytes_per_weight=1, bytes_per_activation=1)
        facts["weights"] = f"{_megabytes(total.weight_bytes)} as float32, {_megabytes(integer.weight_bytes)} as int8"
        facts["peak activations"] = (
            f"{_megabytes(total.peak_activation_bytes)} as float32, {_megabytes(integer.peak_activation_bytes)} as int8"
        )
    else:
        facts["precision"] = model.precision
        facts["weights"] = _megabytes(model.parameter_bytes)
        facts["peak activations"] = _megabytes(total.peak_activation_bytes)
        if model.task.labels is None:
            facts["task"] = model.task.description
        else:
            facts["labels"] = _some(model.task.labels)
        facts["preprocessing"] = ", ".join(f"{key} {value}" for key, value in model.preprocessing.encode().items())
        facts |= {f"provenance: {key}": _in_words(value) for key, value in model.provenance.items()}
    from mobilenets.cli.layout import WIDEST_TEXT, print_facts

    console = results()
    console.print()
    print_facts(facts, width=min(console.width, WIDEST_TEXT))


def _in_words(value: object) -> str:
    """A value of JSON as a line for people: names and values, those within others in parentheses."""

    def inner(part: object) -> str:
        return f"({_in_words(part)})" if isinstance(part, Mapping | list | tuple) else _in_words(part)

    if isinstance(value, Mapping):
        return ", ".join(f"{str(key).replace('_', ' ')} {inner(part)}" for key, part in value.items()) or "nothing"
    if isinstance(value, list | tuple):
        return ", ".join(inner(part) for part in value) or "nothing"
    if value is None or isinstance(value, bool):
        return {None: "none", True: "yes", False: "no"}[value]
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _some(labels: tuple[str, ...], most: int = 8) -> str:
    more = f", … and {len(labels) - most} more" if len(labels) > most else ""
    return f"{len(labels)}: {', '.join(labels[:most])}{more}"


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.2f} MB"
