"""What int8 cost, and what it bought."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mobilenets.reports.measured import Measured
from mobilenets.reports.page.answers import bar
from mobilenets.reports.page.markup import Child, Element, section, table, tag
from mobilenets.reports.page.wording import interval, milliseconds, percent, size

GOOD_DB, CLEAN_DB = 10.0, 40.0
"""Signal over noise below which a layer's results are mostly noise that later layers must bear, and above which none
of it is seen."""


def not_compressed(command: str) -> Element:
    """The section of a run that made no int8 Model."""
    words = "This Model is float32. In int8 it would take about a quarter of the room and a half or less of the time:"
    return section("compression", "What int8 would buy", tag("p", words), tag("pre", tag("code", command)))


def compression(verdict: Mapping[str, Any], costs: Mapping[str, Measured], *, trained: bool) -> Element:
    """The section.

    Args:
        verdict: As :meth:`mobilenets.compression.gate.Verdict.encode` gives it; may be empty.
        costs: Of the float32 Model, if it is at hand, and of the int8 one, measured here side by side.
        trained: Whether it was trained with quantisation, too.
    """
    how = "calibrated on training pictures"
    words = f"The int8 Model was {how} and then trained with quantisation." if trained else f"The int8 Model was {how}."
    rows: list[list[Child]] = []
    if verdict:
        agreement = verdict["agreement"]
        words += (
            f" It gives the same answer as the float32 one for {percent(_share(agreement))} of {agreement['of']:,} "
            f"validation pictures (95 % interval {interval(tuple(agreement['interval']))})."
        )
        if verdict.get("top1_before") and verdict.get("top1_after"):
            before, after = (percent(_share(verdict[f"top1_{when}"]), 2) for when in ("before", "after"))
            rows.append(["top-1", before, after, f"{-float(verdict['drop']):+.2f} points"])
        rows.append(_row("file", verdict["bytes_before"], verdict["bytes_after"], size))
    if len(costs) == 2:
        whole, bytes_ = costs["float32"], costs["int8"]
        rows.append(_row("latency", whole.latency_ms, bytes_.latency_ms, milliseconds))
        rows.append(_row("activations", whole.memory_bytes, bytes_.memory_bytes, size))
    made = table("", "float32", "int8", "", rows=rows, class_="figures", caption="float32 and int8 side by side")
    noise = _noise(verdict.get("layers") or ())
    return section("compression", "What int8 did", tag("p", words), made if rows else None, noise)


def _row(what: str, before: float, after: float, show: Callable[[float], str]) -> list[Child]:
    return [what, show(before), show(after), f"÷ {before / after:.1f}" if after < before else f"× {after / before:.1f}"]


def _share(share: Mapping[str, Any]) -> float:
    return int(share["count"]) / int(share["of"])


def _noise(layers: Sequence[Mapping[str, Any]]) -> list[Element]:
    if not layers:
        return []
    worst = sorted(layers, key=lambda layer: float(layer["snr_db"]))
    rows: list[list[Child]] = [
        [str(layer["name"]), str(layer["kind"]), _decibels(float(layer["snr_db"]))] for layer in worst
    ]
    made = table(
        "layer", "kind", "signal over noise", rows=rows, class_="bars", caption="Noise of every layer, worst first"
    )
    summary = f"Noise by layer: {float(worst[0]['snr_db']):.1f} dB in {worst[0]['name']}, the worst of {len(layers)}"
    return [tag("details", tag("summary", summary), made)]


def _decibels(value: float) -> Element:
    return bar(min(max(value / CLEAN_DB, 0.0), 1.0), f"{value:.1f} dB")
