"""The page of a comparison: what every network reaches and costs, as a table and as two charts."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from mobilenets.base.atomic_write import write_atomically
from mobilenets.base.text import interval, macs, milliseconds, percent, plural, size
from mobilenets.reports.charts import figure
from mobilenets.reports.pages.document import colophon, html_document
from mobilenets.reports.pages.markup import Child, Element, html_table, name, scrolling, section, tag
from mobilenets.reports.plots import COMPARISON_FILES, Compared, own_chart

COMPARISON_PAGE = "report.html"
HEADS = ("network", "test top-1", "95 % interval", "latency", "file", "Mult-Adds", "parameters")


def write_comparison(networks: Sequence[Compared], path: str | Path, *, source: str) -> None:
    """Write what was compared as one HTML file that opens anywhere.

    Args:
        networks: As :func:`mobilenets.benchmark.comparison.compare` gives them.
        path: The file; written atomically.
        source: Where the images came from.

    Raises:
        OSError: If the file cannot be written.
    """
    best = max(networks, key=lambda one: one.evaluation.top1)
    title = f"{plural(len(networks), 'network')} compared on {source}"
    ranked = sorted(networks, key=lambda one: -one.evaluation.top1)
    table = html_table(*HEADS, rows=[_row(one) for one in ranked], class_="figures", caption="Accuracy and cost")
    head = tag(
        "header",
        tag("p", "Comparison on ", name(source), class_="overline"),
        tag("h1", tag("strong", best.size), " is right most often: ", percent(best.evaluation.top1)),
        tag(
            "p",
            f"Of {plural(best.evaluation.images, 'test image')}. Networks whose intervals overlap may be equally good.",
        ),
    )
    charts = [
        figure(partial(_chart, networks, what), "Test top-1 with its 95 % interval.") for what in COMPARISON_FILES
    ]
    body = [
        head,
        section("networks", "Networks, best first", scrolling(table, "Accuracy and cost")),
        section("cost", "Accuracy against cost", *charts),
        colophon(),
    ]
    write_atomically(Path(path), html_document(title, *body).encode("utf-8"))


def _chart(networks: Sequence[Compared], what: str, width: float) -> Element:
    return own_chart(networks, what, width)


def _row(one: Compared) -> list[Child]:
    cost, evaluation = one.cost, one.evaluation
    return [
        one.size,
        percent(evaluation.top1),
        interval(evaluation.top1_interval),
        milliseconds(cost.latency_ms),
        size(cost.file_bytes),
        macs(cost.macs),
        f"{cost.parameters:,}",
    ]
