"""``mobilenets export``: a Model in another runtime's format, run before it takes its place."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import MISSING, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar

import click

from mobilenets.cli.console import json_option, print_json, progress_to_stderr, quiet_option, say
from mobilenets.cli.output_file import OutputFile
from mobilenets.formats.exporting import Exported, export
from mobilenets.formats.format import Footprint
from mobilenets.formats.loading import file_for, load_model
from mobilenets.formats.registry import FORMAT_NAMES, format_of, writable
from mobilenets.model.model import Model
from mobilenets.tasks.classification import Classification
from mobilenets.tasks.task import Agreement, Task

Command = TypeVar("Command", bound=Callable[..., Any])


def format_options(function: Command) -> Command:
    """A flag for every option of a format; where several formats have it, its help names them all."""
    owners: dict[str, list[str]] = {}
    known = {}
    for name, (_, writer) in writable().items():
        for field in fields(writer.options):
            owners.setdefault(field.name, []).append(name)
            known[field.name] = field
    for option, names in reversed(owners.items()):
        field = known[option]
        flag, text = f"--{option.replace('_', '-')}", f"{field.metadata['help']} ({', '.join(names)})."
        if field.default is False:
            function = click.option(flag, is_flag=True, default=None, help=text)(function)
        else:
            default = "" if field.default is MISSING else str(field.default)
            function = click.option(flag, default=None, show_default=default or False, help=text)(function)
    return function


class FormatName(click.Choice[str]):
    """A format by its name, or by a suffix of its files: ``tflite`` is ``litert``."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The name of the format; of one that nothing is called, the nearest."""
        name = FORMAT_NAMES.get(str(value).lower(), value)
        if name not in self.choices and (near := get_close_matches(str(value).lower(), FORMAT_NAMES, 1)):
            self.fail(f"{value!r} is no format that is written; did you mean {FORMAT_NAMES[near[0]]}?", param, ctx)
        return super().convert(name, param, ctx)


@click.command("export")
@click.argument("model")
@click.option("--to", "format_name", type=FormatName(list(writable())), help="Format; by default FILE's suffix tells.")
@click.option("-o", "--output", type=OutputFile(folder=True), help="FILE to write; by default MODEL's name.")
@click.option("--images", multiple=True, help="Images, or folders of them, to run the written file on.")
@format_options
@click.option("--no-verify", is_flag=True, help="Do not run what was written.")
@json_option
@quiet_option
def command(
    model: str,
    format_name: str | None,
    output: Path | None,
    images: tuple[str, ...],
    no_verify: bool,
    as_json: bool,
    quiet: bool,
    **options: Any,
) -> None:
    """Write MODEL in another runtime's format.

    MODEL is a Model file, a folder that fit wrote, a foreign file, or published weights such as keras:0.25-224.
    The file is run on synthetic and on real images, and must give MODEL's outputs, before it takes its place; the
    largest difference is printed. Without --images, scikit-learn's two photographs are used where it is installed.
    Batch norms are folded where the format has none.
    """
    if output is None and format_name is None:
        raise click.UsageError("say where to write with -o FILE, or which format with --to")
    name = format_name if output is None and format_name is not None else format_of(output or Path(model), format_name)
    row, _ = writable()[name]
    given = {name: value for name, value in options.items() if value is not None}
    _refuse_contradictions(row.name, given, images=bool(images), no_verify=no_verify)
    output = output or file_for(model, row.suffixes[0])
    if output.resolve() == Path(model).resolve():
        raise click.UsageError(f"the export would overwrite {model}; say where to write with -o FILE")
    progress = progress_to_stderr(quiet=quiet)
    loaded = load_model(model, progress=progress)
    begun = time.perf_counter()
    exported = export(loaded, output, row.name, images=images, verify=not no_verify, progress=progress, **given)
    seconds = time.perf_counter() - begun
    if as_json:
        print_json(_to_json(exported, loaded, seconds))
    else:
        _print(exported, loaded, seconds, probabilities=bool(given.get("probabilities")))


def _refuse_contradictions(format_name: str, given: dict[str, Any], *, images: bool, no_verify: bool) -> None:
    """Raise a misuse if an option would do nothing."""
    if images and no_verify:
        raise click.UsageError("--images are what the written file is run on, which --no-verify forbids: give one")
    for option in given:
        owners = [
            name for name, (_, writer) in writable().items() if option in {one.name for one in fields(writer.options)}
        ]
        if format_name not in owners:
            flag, what = f"--{option.replace('_', '-')}", writable()[format_name][0].title
            raise click.UsageError(f"{flag} is an option of {' and '.join(owners)}, and what is written is {what}")


def _print(exported: Exported, model: Model, seconds: float, *, probabilities: bool) -> None:
    names = ", ".join(str(path) for path in exported.paths)
    say(f"{names}: {exported.format.title}, {model.precision}, {exported.bytes / 1e6:.2f} MB, {seconds:.1f} s")
    if exported.footprint is not None:
        footprint = exported.footprint
        say(f"needs {footprint.flash_bytes:,} bytes of flash for weights and {footprint.ram_bytes:,} of RAM")
        if footprint.by_rows:
            _print_rows(model, footprint)
    for note in exported.notes:
        say(note)
    if probabilities:
        say("it gives probabilities, as predict prints them")
    elif (advice := _probabilities(exported, model)) is not None:
        say(advice)
    agreement = exported.agreement
    if agreement is None:
        say(f"not verified: {exported.not_run}")
        return
    say(
        f"verified on {agreement.same.total} images, {exported.real_images} of them real: "
        f"largest difference {agreement.largest_difference:.2g} of {agreement.largest_value:.3g}, "
        f"same {model.task.compared_by} for {100 * agreement.same.value:.0f} %"
    )
    second, also = exported.second, writable()[exported.format.name][1].also
    if also is not None and second is not None:
        say(
            f"{also.title} too: largest difference {second.largest_difference:.2g}, same {model.task.compared_by} for "
            f"{second.same.count} of {second.same.total} images; its arena takes {exported.second_bytes:,} bytes here"
        )
    elif exported.second_refusal:
        say(f"not for microcontrollers: {exported.second_refusal}")
    if exported.at_defaults is not None:
        plain = exported.at_defaults
        say(
            f"that is {exported.advice}; at its default settings int8 sums saturate on this processor: "
            f"largest difference {plain.largest_difference:.2g}, "
            f"same {model.task.compared_by} for {100 * plain.same.value:.0f} %"
        )


def _print_rows(model: Model, footprint: Footprint) -> None:
    """What computing by rows costs, where that is known."""
    from mobilenets.search.devices import cost_by_rows

    say(f"its first {footprint.by_rows} layers are computed by rows, and the image is read by rows")
    costs = cost_by_rows(model.network, footprint.ram_bytes)
    if costs is not None:
        whole, by_rows = (cost / 1e6 for cost in costs)
        say(f"about {by_rows:.2f} million instructions on a Cortex-M4 in the place of {whole:.2f}, not cycles")


def _probabilities(exported: Exported, model: Model) -> str | None:
    """How an app gets the Model's probabilities from what the file gives, where that is not the plain softmax."""
    if not isinstance(model.task, Classification) or model.task.temperature == 1:
        return None
    if exported.format.name in ("coreml", "web"):  # which give probabilities themselves
        return None
    said = f"it gives logits; probabilities are softmax(logits / {model.task.temperature:.4g})"
    offered = any(field.name == "probabilities" for field in fields(writable()[exported.format.name][1].options))
    return f"{said} (--probabilities)" if offered else said


def _to_json(exported: Exported, model: Model, seconds: float) -> dict[str, Any]:
    footprint = exported.footprint
    return {
        "files": [str(path) for path in exported.paths],
        "format": exported.format.title,
        "precision": model.precision,
        "temperature": model.task.temperature if isinstance(model.task, Classification) else None,
        "bytes": exported.bytes,
        "seconds": round(seconds, 3),
        "verified": _agreement_to_json(exported.agreement, model.task),
        "at_default_settings": _agreement_to_json(exported.at_defaults, model.task),
        "setting": exported.advice or None,
        "not_verified": exported.not_run or None,
        "notes": list(exported.notes),
        "second_runtime": _second_to_json(exported, model.task),
        "flash_bytes": footprint.flash_bytes if footprint else None,
        "ram_bytes": footprint.ram_bytes if footprint else None,
        "layers_by_rows": footprint.by_rows if footprint else None,
    }


def _second_to_json(exported: Exported, task: Task) -> dict[str, Any] | None:
    also = writable()[exported.format.name][1].also
    agreement = _agreement_to_json(exported.second, task)
    if also is None or (agreement is None and not exported.second_refusal):
        return None
    refusal = exported.second_refusal or None
    return {"runtime": also.title, "verified": agreement, "ram_bytes": exported.second_bytes, "refusal": refusal}


def _agreement_to_json(agreement: Agreement | None, task: Task) -> dict[str, Any] | None:
    if agreement is None:
        return None
    return {
        "images": agreement.same.total,
        "largest_difference": agreement.largest_difference,
        "largest_value": agreement.largest_value,
        task.compared_by.replace("-", "").replace(" ", "_"): agreement.same.value,
    }
