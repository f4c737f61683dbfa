"""``mobilenets models``: the published weights that are known by name, and filling the cache with them."""

from __future__ import annotations

import itertools
from pathlib import Path
from urllib.parse import urlsplit

import click
from rich.table import Table

from mobilenets.base.text import plural
from mobilenets.cli.console import json_option, print_json, progress_to_stderr, quiet_option, results
from mobilenets.cli.number import Integer
from mobilenets.cli.options import budget_options
from mobilenets.errors import FormatError, MobileNetsError
from mobilenets.formats.carried_weights import put_weights, weights_in
from mobilenets.formats.known_weights import LICENCES, KnownWeights, fetch_weights, known_weights
from mobilenets.search.budget import Budget


@click.group("models", invoke_without_command=True)
@click.option("--family", help="Only architectures whose name begins so, such as mobilenet_v3 or mobilenet_v2.")
@click.option("--cached", is_flag=True, help="Only what is in the cache.")
@budget_options
@click.option("--threads", default=1, show_default=True, type=Integer(1, 256), help="Threads for one image.")
@click.option(
    "--device",
    help="A microcontroller, such as cortex-m4, or a profile from mobilenets profile; else this machine.",
)
@json_option
@quiet_option
@click.pass_context
def command(
    context: click.Context,
    family: str | None,
    cached: bool,
    max_latency: float | None,
    max_size: int | None,
    max_macs: int | None,
    max_memory: int | None,
    max_flash: int | None,
    max_instructions: int | None,
    min_accuracy: float | None,
    threads: int,
    device: str | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """List the published weights that are known by name, wherever a MODEL is taken: fit --weights, predict, export …

    With a budget, those that meet it in float32 or int8. mobilenets models fetch NAME brings weights into the cache.
    """
    if context.invoked_subcommand is not None:
        return
    known = known_weights()
    budget = Budget(max_latency, max_size, max_macs, max_memory, min_accuracy, max_flash, max_instructions)
    if budget.empty and (device is not None or threads != 1):
        raise click.UsageError("--device and --threads say where a budget holds: give one, such as --max-latency 2ms")
    if family is not None or not budget.empty:
        from mobilenets.search.plan import weights_within

        progress = progress_to_stderr(quiet=quiet)
        known = weights_within(budget, family=family, threads=threads, device=device, progress=progress)
    known = [one for one in known if one.cached or not cached]
    if as_json:
        print_json([one.to_json() for one in known])
    else:
        _print(known)


def _print(known: list[KnownWeights]) -> None:
    console = results()
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 1, 0, 0))
    table.add_column("")
    table.add_column("name", overflow="fold")
    for heading in ("α", "px", "parameters", "top-1 %"):
        table.add_column(heading, justify="right", no_wrap=True)
    for family, listed in itertools.groupby(sorted(known, key=_order), key=lambda one: one.family):
        table.add_row("", family, style="bold")
        for one in listed:
            table.add_row(
                "●" if one.cached else "",
                one.short_name,
                f"{one.width_multiplier:g}",
                str(one.resolution),
                f"{one.parameters / 1e6:.2f} M",
                f"{one.top1:.1f}",
            )
    console.print(table)
    publishers = {one.name.partition(":")[0]: one.source for one in known}
    console.print()
    console.print("top-1 on ImageNet, as printed; ● in the cache: mobilenets models fetch NAME")
    for publisher, source in publishers.items():
        place = "the Hugging Face hub" if source.startswith("hub:") else urlsplit(source).hostname
        console.print(f"{publisher}: {LICENCES[publisher]}, from {place}", highlight=False)


def _order(one: KnownWeights) -> tuple[str, float, int, float]:
    return one.family, -one.width_multiplier, -one.resolution, -one.top1


@command.command("fetch")
@click.argument("names", nargs=-1, metavar="[NAME]…")
@click.option(
    "--from",
    "place",
    type=click.Path(path_type=Path),
    help="The publisher's file, or a folder of such files, that was fetched on another machine.",
)
@json_option
@quiet_option
def fetch_command(names: tuple[str, ...], place: Path | None, as_json: bool, quiet: bool) -> None:
    """Bring published weights into the cache: from the network, or from a file or folder of another machine.

    With --from and without NAME, everything that the folder holds, or the file is, as far as it can be recognized.
    """
    progress = progress_to_stderr(quiet=quiet)
    if not names and place is None:
        raise click.UsageError("say which weights, such as keras:0.25-224; mobilenets models lists them")
    found = dict.fromkeys(names, place) if place is None or names else dict(weights_in(place))
    if not found:
        raise FormatError(
            f"{place} holds no published weights that are recognized; say which by their NAME: mobilenets models fetch "
            f"keras:0.25-224 --from {place}"
        )
    done, failed = {}, []
    for name, path in found.items():
        try:
            done[name] = fetch_weights(name, progress=progress) if path is None else put_weights(name, path)
        except MobileNetsError as error:
            failed.append(error)
            if len(found) > 1:
                progress.note(str(error))
    if as_json:
        print_json({name: str(path) for name, path in done.items()})
    else:
        for name, path in done.items():
            click.echo(f"{name}: {path}")
    if failed:
        raise failed[0] if len(found) == 1 else FormatError(f"{plural(len(failed), 'name')} could not be had")
