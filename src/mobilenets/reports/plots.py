"""Plots as SVG files: the frontier of a plan, and the accuracy of compared networks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from mobilenets.architecture.cost import cost
from mobilenets.architecture.imagenet_results import RELEASED_MODELS
from mobilenets.architecture.networks.mobilenet_v1 import mobilenet_v1
from mobilenets.architecture.published import MACS, PARAMETERS, PUBLISHED_TABLES, TOP1
from mobilenets.base.text import percent
from mobilenets.reports.charts import Axis, Chart, around, around_logarithmic, write_svg
from mobilenets.reports.pages.frontier import PRECISIONS, draw
from mobilenets.reports.pages.markup import Element
from mobilenets.search.costs import ModelCost
from mobilenets.search.plan import PlanResult
from mobilenets.tasks.classification_metrics import ClassificationMetrics

FRONTIER_WIDTH = 760
PANEL_WIDTH, PANEL_HEIGHT = 560, 380
COMPARISON_FILES = {"macs": "accuracy-macs.svg", "parameters": "accuracy-parameters.svg"}
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
"""(name, millions, top-1 as a share of 1)."""


class Compared(Protocol):
    """A network of a comparison: see :class:`mobilenets.benchmark.comparison.ComparedNetwork`."""

    @property
    def size(self) -> str:
        """Its name with its width and resolution."""

    @property
    def evaluation(self) -> ClassificationMetrics:
        """Figures on the test images."""

    @property
    def cost(self) -> ModelCost:
        """Computed and measured."""


def plot_plan(result: PlanResult, path: str | Path) -> None:
    """Draw accuracy against cost of everything that a plan could choose, with the frontier and the choice.

    Args:
        result: Of :func:`mobilenets.search.plan.plan`.
        path: The SVG file.

    Raises:
        OSError: If the file cannot be written.
    """
    chart = draw(result.candidates, result.choice, result.budget, FRONTIER_WIDTH, "top-1", beaten_faded=True)
    present = [name for name in PRECISIONS if any(one.precision == name for one in result.candidates)]
    threads = "1 thread" if result.threads == 1 else f"{result.threads} threads"
    write_svg(
        Path(path),
        [chart],
        title=result.accuracy_of if result.device is None else f"{result.device}, {threads}; {result.accuracy_of}",
        entries=[*((name, name) for name in present), ("chosen", f"{result.choice}: {result.reason}")],
    )


def plot_comparison(
    networks: Sequence[Compared], folder: str | Path, *, title: str, published: bool = False
) -> list[Path]:
    """Draw Figures 4 and 5 of the paper on one's own images: accuracy against Mult-Adds, and against parameters.

    Args:
        networks: What was compared; its accuracies have their 95 % confidence intervals.
        folder: Where the SVG files go.
        title: Above them.
        published: Put the published ImageNet figures beside one's own, in a panel of their own.

    Returns:
        The files.

    Raises:
        OSError: If a file cannot be written.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for what, file_name in COMPARISON_FILES.items():
        charts, entries = [own_chart(networks, what)], [("own", "test top-1 with its 95 % interval")]
        if published:
            charts.append(_published(what))
            entries += [("released", "the 16 released MobileNets"), ("published", "Tables 4, 5, 8 and 9, on ImageNet")]
        write_svg(folder / file_name, charts, title=title, entries=entries)
        written.append(folder / file_name)
    return written


def own_chart(networks: Sequence[Compared], what: str, width: float = PANEL_WIDTH) -> Element:
    """Test top-1 of compared networks against ``macs`` or ``parameters``."""
    points = [
        (one.size, (one.cost.macs if what == "macs" else one.cost.parameters) / 1e6, one.evaluation.top1)
        for one in networks
    ]
    intervals = [one.evaluation.top1_interval for one in networks]
    chart = _panel(points, [share for interval in intervals for share in interval], what, "test top-1", width=width)
    for (name, millions, top1), (low, high) in zip(points, intervals, strict=True):
        chart.interval(millions, low, high, "own")
        chart.dot(millions, top1, "own", title=f"{name}: {percent(top1)}")
    return chart.element(f"Test top-1 of {len(points)} networks against {AXES[what][0]}")


def _published(what: str) -> Element:
    released: list[Point] = []
    for one in RELEASED_MODELS:
        total = cost(mobilenet_v1(width_multiplier=one.width_multiplier, resolution=one.resolution))
        millions = (total.macs if what == "macs" else total.parameters) / 1e6
        released.append((f"{one.width_multiplier:g}-{one.resolution}", millions, one.top1 / 100))
    rows: list[Point] = []
    for number, row in PUBLISHED_ROWS:
        table = PUBLISHED_TABLES[number]
        millions, top1 = (float(table.figure(row, heading) or 0) for heading in (AXES[what][1], TOP1))
        rows.append((row, millions, top1 / 100))
    shares = [share for *_, share in (*released, *rows)]
    chart = _panel(rows, shares, what, "ImageNet top-1, as published", others=released)
    for class_, points, radius in (("released", released, 3.0), ("published", rows, 4.0)):
        for name, millions, top1 in points:
            chart.dot(millions, top1, class_, radius=radius, title=f"{name}: {percent(top1)}")
    return chart.element(f"Published ImageNet top-1 against {AXES[what][0]}")


def _panel(
    named: Sequence[Point],
    shares: Sequence[float],
    what: str,
    title: str,
    *,
    others: Sequence[Point] = (),
    width: float = PANEL_WIDTH,
) -> Chart:
    """Axes with the names of points."""
    low, high = around(shares, least=0.01)
    across = [millions for _, millions, _ in (*named, *others)]
    x = Axis(*around_logarithmic(across, spare=1.6), AXES[what][0], logarithmic=True)
    y = Axis(max(low, 0.0), min(high, 1.02), title, show=lambda share: f"{100 * share:g} %")
    chart = Chart(width, PANEL_HEIGHT, x, y)
    for name, millions, top1 in named:
        chart.label(millions, top1, name, before=_crowded(named, millions, top1, x))
    return chart


def _crowded(points: Sequence[Point], millions: float, top1: float, x: Axis) -> bool:
    """Whether a name to the right of a point would run into the next one, or out of the chart."""
    shares = [share for *_, share in points]
    near = 0.08 * ((max(shares) - min(shares)) or 1.0)
    ahead = [x.share(other) for _, other, share in points if other > millions and abs(share - top1) <= near]
    return x.share(millions) > 0.7 or bool(ahead and min(ahead) - x.share(millions) < 0.25)
