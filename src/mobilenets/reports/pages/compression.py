"""Quantization to int8: the accuracy that it lost, and the size and time that it saved."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from mobilenets.base.text import GAP, interval, milliseconds, percent, size
from mobilenets.reports.pages.markup import Child, Element, html_table, section, tag
from mobilenets.reports.pages.predictions import bar
from mobilenets.search.costs import ModelCost
from mobilenets.tasks.metrics import Share
from mobilenets.tasks.task import Metric

GOOD_DB, CLEAN_DB = 10.0, 40.0
"""SQNR below which a layer's results are mostly quantization error, and above which the error is negligible."""


def uncompressed_section(command: str) -> Element:
    """The section of a run that made no int8 Model."""
    words = "This Model is float32. As int8 it would need about a quarter of the space and at most half of the time:"
    return section("compression", "Quantization", tag("p", words), tag("pre", tag("code", command)))


def compression_section(
    quality: Mapping[str, Any],
    costs: Mapping[str, ModelCost],
    *,
    trained: bool,
    tested: Mapping[str, Share] = MappingProxyType({}),
) -> Element:
    """The section.

    Args:
        quality: As ``to_json`` or ``provenance`` of a ``QualityReport`` gives it; may be empty.
        costs: Of the float32 Model, if it is at hand, and of the int8 one, measured here side by side.
        trained: Whether it was trained with quantization, too.
        tested: Precision → right answers on the test images; empty where they are not at hand.
    """
    how = "calibrated on training images"
    words = f"The int8 Model was {how} and then trained with quantization." if trained else f"The int8 Model was {how}."
    rows: list[list[Child]] = []
    if (agreement := _share(quality.get("agreement"))) is not None:
        words += (
            f" It gives the same answer as the float32 Model for {percent(agreement.value)} of {agreement.total:,} "
            f"validation images (95{GAP}% interval {interval(agreement.interval)})."
        )
    before, after = _share(quality.get("top1_before")), _share(quality.get("top1_after"))
    if before is not None and after is not None:
        rows.append(_accuracy("validation top-1", before, after))
    if "metric" in quality:
        title = Metric(str(quality["metric"]), 0.0, (0.0, 0.0)).title
        rows.append(_points(f"validation {title}", float(quality["before"]), float(quality["after"])))
    if len(tested) == 2:
        rows.append(_accuracy("test top-1", tested["float32"], tested["int8"]))
    if len(costs) == 2:
        whole, bytes_ = costs["float32"], costs["int8"]
        rows.append(_row("file", whole.file_bytes, bytes_.file_bytes, size))
        rows.append(_row("latency", whole.latency_ms, bytes_.latency_ms, milliseconds))
        rows.append(_row("activations", whole.memory_bytes, bytes_.memory_bytes, size))
    elif "bytes_before" in quality:
        rows.append(_row("file", quality["bytes_before"], quality["bytes_after"], size))
    made = html_table("", "float32", "int8", "", rows=rows, class_="figures", caption="float32 and int8 side by side")
    errors = _errors(quality.get("layers") or ())
    return section("compression", "What int8 did", tag("p", words), made if rows else None, errors)


def _accuracy(what: str, before: Share, after: Share) -> list[Child]:
    return _points(what, before.value, after.value)


def _points(what: str, before: float, after: float) -> list[Child]:
    points = f"{100 * (after - before):+.2f} points".replace("-", "−")
    return [what, percent(before, 2), percent(after, 2), points]


def _row(what: str, before: float, after: float, show: Callable[[float], str]) -> list[Child]:
    return [what, show(before), show(after), f"÷ {before / after:.1f}" if after < before else f"× {after / before:.1f}"]


def _share(value: Any) -> Share | None:
    """A share as ``metrics.json`` has it, or as a Model's provenance has it, which keeps counts only."""
    return None if value is None else Share.from_json(value)


def _errors(layers: Sequence[Mapping[str, Any]]) -> list[Element]:
    if not layers:
        return []
    worst = sorted(layers, key=lambda layer: float(layer["snr_db"]))
    rows: list[list[Child]] = [
        [str(layer["name"]), str(layer["kind"]), _decibels(float(layer["snr_db"]))] for layer in worst
    ]
    made = html_table("layer", "kind", "SQNR", rows=rows, class_="bars", caption="SQNR of every layer, worst first")
    summary = f"SQNR by layer: {float(worst[0]['snr_db']):.1f} dB in {worst[0]['name']}, the worst of {len(layers)}"
    return [tag("details", tag("summary", summary), made)]


def _decibels(value: float) -> Element:
    return bar(min(max(value / CLEAN_DB, 0.0), 1.0), f"{value:.1f} dB")
