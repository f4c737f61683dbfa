"""``mobilenets compare``: train several networks on the same images and compare them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from mobilenets.cli.console import json_option, print_json, progress_to_stderr, quiet_option, results
from mobilenets.cli.data_options import data_options
from mobilenets.cli.input_size import SquareSide
from mobilenets.cli.number import POSITIVE, Integer
from mobilenets.cli.ray_address import cluster_of, ray_option
from mobilenets.data.reading import Reading
from mobilenets.errors import MissingDependencyError

if TYPE_CHECKING:
    from mobilenets.benchmark.comparison import ComparedNetwork

DEFAULT_MODELS = "mobilenet_v1@0.5,mobilenet_v1_shallow@0.5,squeezenet@0.5"


def _names(_: click.Context, __: click.Parameter, text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    if not names:
        raise click.BadParameter("expected names such as mobilenet_v1@0.5-160,squeezenet")
    return names


@click.command("compare")
@click.argument("data")
@click.option("--models", default=DEFAULT_MODELS, show_default=True, callback=_names, metavar="NAME,…")
@click.option("-o", "--output", type=click.Path(path_type=Path), default=Path("comparison"), show_default=True)
@click.option("--minutes-each", type=POSITIVE, help="Training time of each network, on this machine.")
@click.option("--epochs", type=Integer(min=1), help="Epochs of every network, instead of minutes.")
@click.option(
    "--resolution", type=SquareSide(), help="Input size of all, in pixels.  [default: by name, or by the images]"
)
@click.option("--recipe", default="default", show_default=True, help="How to train: default or paper.")
@click.option("--seed", type=Integer(0, 2**31 - 1), default=0, show_default=True, help="Random seed.")
@click.option("--training-threads", type=Integer(min=1), help="Threads for training.  [default: all cores]")
@click.option(
    "--plot",
    type=click.Path(file_okay=False, path_type=Path),
    help="Draw the paper's Figures 4 and 5 into this folder.",
)
@click.option("--published", is_flag=True, help="Also draw the published ImageNet figures.")
@click.option("--device", help="A microcontroller, such as cortex-m4: also what each takes there in int8.")
@click.option("--resume", is_flag=True, help="Continue the unfinished comparison in the output folder.")
@click.option("--force", is_flag=True, help="Overwrite what the output folder holds.")
@ray_option("Train the networks beside each other on a Ray cluster.")
@data_options
@json_option
@quiet_option
def command(
    data: str,
    models: tuple[str, ...],
    output: Path,
    minutes_each: float | None,
    epochs: int | None,
    resolution: int | None,
    recipe: str,
    seed: int,
    training_threads: int | None,
    plot: Path | None,
    published: bool,
    device: str | None,
    resume: bool,
    force: bool,
    ray: str | None,
    reading: Reading | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Train networks on DATA and print what each reaches and costs, as the paper's Tables 4, 5, 8 and 9 do.

    The names of --models are architectures, trained from scratch, or what training starts from: published weights such
    as keras:0.25-224, a Model file or a foreign one.

    All have one recipe, batch norm after every convolution, and --minutes-each of training. The number of epochs that
    fit into it is measured first, so another machine may have another; --epochs repeats a comparison exactly. Each
    network is tested once, and timed beside the others on one thread.

    With --ray the trainings are done by a Ray cluster, each by as many cores as --training-threads says, and give the
    same Models; the costs are measured here.
    """
    if resume and force:
        raise click.UsageError("--resume goes on with what the folder holds, and --force begins anew: give one")
    if published and plot is None:
        raise click.UsageError("--published is drawn into the figures of --plot FOLDER: give that too")
    from mobilenets.benchmark.comparison import check_comparison, compare
    from mobilenets.training.recipe import recipe_named

    recipe_named(recipe)
    check_comparison(data, models, resolution=resolution)  # before PyTorch is imported, which takes seconds
    try:
        from mobilenets.training.settings import Settings
    except ModuleNotFoundError as error:
        raise MissingDependencyError(error.name or "torch", "train") from None
    progress = progress_to_stderr(quiet=quiet)
    settings = Settings(
        resolution=resolution, epochs=epochs, seed=seed, recipe=recipe, weights=None, threads=training_threads
    )
    try:
        networks = compare(
            data,
            models,
            output,
            settings,
            reading=reading or Reading(),
            minutes=minutes_each,
            resume=resume,
            replace_existing=force,
            ray=cluster_of(ray),
            device=device,
            progress=progress,
        )
    except KeyboardInterrupt:
        progress.note("the same command with --resume continues from here")
        raise
    if as_json:
        print_json({"data": data, "networks": [one.to_json() for one in networks]})
    else:
        _print(networks)
        if device is not None:
            _print_device(networks, device)
    from mobilenets.reports.comparison_page import COMPARISON_PAGE, write_comparison

    write_comparison(networks, output / COMPARISON_PAGE, source=data)
    progress.note(f"{output / COMPARISON_PAGE} is written")
    if plot is not None:
        from mobilenets.reports.plots import plot_comparison

        for path in plot_comparison(networks, plot, title=f"{data}, {recipe} recipe", published=published):
            progress.note(f"{path} is written")


def _print(networks: list[ComparedNetwork]) -> None:
    from mobilenets.cli.layout import text_table

    console = results()
    table = text_table(
        "network\n", "top-1 %\n(95 %)", "Mult-Adds\nmillions", "params\nmillions", "file\nMB", "ms\n", "epochs\n"
    )
    for one in networks:
        evaluation, cost = one.evaluation, one.cost
        low, high = (100 * end for end in evaluation.top1_interval)
        table.add_row(
            one.size.replace("mobilenet_v1", "v1"),
            f"{100 * evaluation.top1:.1f} ({low:.0f}–{high:.0f})",
            _three(cost.macs / 1e6),
            _three(cost.parameters / 1e6),
            _three(cost.file_bytes / 1e6),
            _three(cost.latency_ms),
            str(one.epochs),
        )
    console.print(table)
    images, cost = networks[0].evaluation.images, networks[0].cost
    console.print(f"\n{images} test images; float32, one image on one thread of {cost.processor}, median")


def _print_device(networks: list[ComparedNetwork], device: str) -> None:
    from mobilenets.cli.layout import text_table
    from mobilenets.search.devices import microcontroller_named

    console, target = results(), microcontroller_named(device)
    table = text_table(f"{target.device}, int8", "million instructions", "flash kB", "RAM kB")
    for one in networks:
        if one.on_device is not None:
            figures = (
                one.on_device.instructions / 1e6,
                one.on_device.flash_bytes / 1e3,
                one.on_device.memory_bytes / 1e3,
            )
            table.add_row(one.size.replace("mobilenet_v1", "v1"), *map(_three, figures))
    console.print()
    console.print(table)
    console.print(f"{target.how_counted[0].upper()}{target.how_counted[1:]}.", highlight=False, width=80)


def _three(value: float) -> str:
    return f"{value:.3g}" if value < 1000 else f"{value:,.0f}"
