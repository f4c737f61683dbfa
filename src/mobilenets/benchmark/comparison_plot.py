"""Figures 4 and 5 of the paper on one's own images: accuracy against Mult-Adds, and against parameters."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mobilenets.architecture.cost import cost
from mobilenets.architecture.networks.mobilenet_v1 import mobilenet_v1
from mobilenets.architecture.published import MACS, PARAMETERS, PUBLISHED_TABLES, RELEASED_MODELS, TOP1
from mobilenets.benchmark.comparison import Contestant
from mobilenets.errors import MissingDependencyError

COLOURS = ("#1f5fa8", "#c44a12", "#2f7d4f", "#7a4ea3", "#9a5b13", "#50585f")
QUIET = "#8a929b"
FILES = {"macs": "accuracy-macs.png", "parameters": "accuracy-parameters.png"}
AXES = {"macs": ("Mult-Adds, millions", MACS), "parameters": ("parameters, millions", PARAMETERS)}
PUBLISHED_ROWS = (
    (4, "Conv MobileNet"),
    (5, "shallow MobileNet"),
    (8, "GoogLeNet"),
    (8, "VGG16"),
    (9, "SqueezeNet"),
    (9, "AlexNet"),
)
Point = tuple[str, float, float]


def plot_comparison(contestants: Sequence[Contestant], folder: Path, *, title: str, published: bool) -> list[Path]:
    """Draw both figures, with 95 % confidence intervals.

    Args:
        contestants: What was compared.
        folder: Where the images go.
        title: Above them.
        published: Put the published ImageNet figures beside one's own, in a panel of their own.

    Returns:
        The files.

    Raises:
        MissingDependencyError: If matplotlib is not installed.
        OSError: If a file cannot be written.
    """
    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError:
        raise MissingDependencyError("matplotlib", "train") from None
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for what, file_name in FILES.items():
        figure = Figure(figsize=(12 if published else 7, 4.6), layout="constrained")
        panels = figure.subplots(1, 2 if published else 1, squeeze=False)[0]
        _draw_own(panels[0], contestants, what, title)
        if published:
            _draw_published(panels[1], what)
        figure.savefig(folder / file_name, dpi=150)
        written.append(folder / file_name)
    return written


def _draw_own(axes: Any, contestants: Sequence[Contestant], what: str, title: str) -> None:
    points: list[Point] = []
    for number, one in enumerate(contestants):
        share = 100 * one.evaluation.top1
        low, high = (100 * end for end in one.evaluation.top1_interval)
        millions = (one.cost.macs if what == "macs" else one.cost.parameters) / 1e6
        colour = COLOURS[number % len(COLOURS)]
        errors = [[share - low], [high - share]]
        axes.errorbar(millions, share, yerr=errors, fmt="o", color=colour, capsize=3, elinewidth=1)
        points.append((one.size, millions, share))
    _finish(axes, points, what, "test top-1, %", title)


def _draw_published(axes: Any, what: str) -> None:
    released = []
    for one in RELEASED_MODELS:
        total = cost(mobilenet_v1(width_multiplier=one.width_multiplier, resolution=one.resolution))
        released.append(((total.macs if what == "macs" else total.parameters) / 1e6, one.top1))
    axes.scatter(*zip(*released, strict=True), s=16, color=QUIET, label="the 16 released MobileNets")
    points: list[Point] = []
    for number, row in PUBLISHED_ROWS:
        table = PUBLISHED_TABLES[number]
        values = table.figure(row, AXES[what][1]), table.figure(row, TOP1)
        points.append((row, *(float(value or 0) for value in values)))  # type: ignore[arg-type]
    axes.scatter(
        [x for _, x, _ in points], [y for *_, y in points], s=26, color=COLOURS[1], label="Tables 4, 5, 8 and 9"
    )
    axes.legend(frameon=False, fontsize=8, loc="lower right")
    _finish(axes, points, what, "ImageNet top-1, %", "as published, on ImageNet")


def _finish(axes: Any, points: Sequence[Point], what: str, across: str, title: str) -> None:
    from matplotlib.ticker import LogLocator, NullLocator

    axes.set_xscale("log")
    axes.margins(x=0.18, y=0.15)
    for label, x, y in points:
        left = _crowded_on_the_right(points, x, y)
        axes.annotate(
            label,
            (x, y),
            xytext=(-7 if left else 7, 6),
            textcoords="offset points",
            fontsize=8,
            ha="right" if left else "left",
        )
    axes.set(xlabel=AXES[what][0], ylabel=across)
    axes.set_title(title, fontsize=10, loc="left")
    low, high = axes.get_xlim()
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 50 * low else (1,)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter("{x:g}")
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)


def _crowded_on_the_right(points: Sequence[Point], x: float, y: float) -> bool:
    """Whether a label to the right of a point would run into the next one, or out of the image."""
    height = max(other for *_, other in points) - min(other for *_, other in points) or 1.0
    ahead = [other for _, other, up in points if other > x and abs(up - y) < 0.12 * height]
    span = max(other for _, other, _ in points) / min(other for _, other, _ in points)
    return x * span**0.15 > max(other for _, other, _ in points) or bool(ahead and min(ahead) / x < span**0.4)
