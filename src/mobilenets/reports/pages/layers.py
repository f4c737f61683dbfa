"""Where the time of one image goes, layer by layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mobilenets.base.text import macs, milliseconds, percent
from mobilenets.engine.session import PlannedLayer, Session
from mobilenets.model.model import Model
from mobilenets.reports.pages.markup import Child, Element, html_table, section, tag
from mobilenets.reports.pages.predictions import bar

REPEATS = 50
KINDS = {
    "pointwise": "pointwise 1×1",
    "depthwise": "depthwise 3×3",
    "convolution": "convolution",
    "linear": "linear",
}


@dataclass(frozen=True)
class TimedLayer:
    """One layer of a Model, with what the engine took for it.

    Attributes:
        name: The layer.
        kind: Its kind.
        output: Shape that it makes.
        planned: What the engine says of it.
    """

    name: str
    kind: str
    output: str
    planned: PlannedLayer


def timed_layers(model: Model) -> list[TimedLayer]:
    """Every layer with its least time, measured on one thread.

    Raises:
        EngineError: If the engine cannot take the Model.
    """
    network = model.network
    return [
        TimedLayer(layer.name, network[layer.name].kind, str(network.shapes[layer.name]), layer)
        for step in Session(model, 1).plan(repeats=REPEATS)
        for layer in step.layers
    ]


def layers_section(found: Sequence[TimedLayer]) -> Element:
    """The section."""
    seconds = sum(layer.planned.seconds for layer in found)
    return section(
        "layers",
        "Where the time goes",
        tag(
            "p",
            f"Layer by layer one image takes {milliseconds(1e3 * seconds)} on one thread, the least of {REPEATS} "
            f"runs. {_largest(found, seconds)}",
        ),
        _kinds(found, seconds),
        tag("details", tag("summary", f"All {len(found)} layers"), _table(found, seconds)),
    )


def _largest(found: Sequence[TimedLayer], seconds: float) -> str:
    slowest = max(found, key=lambda layer: layer.planned.seconds)
    return f"The slowest is {slowest.name} with {percent(slowest.planned.seconds / seconds)} of that."


def _kinds(found: Sequence[TimedLayer], seconds: float) -> Element:
    total = sum(layer.planned.macs for layer in found) or 1
    rows: list[list[Child]] = []
    for kind in dict.fromkeys(layer.kind for layer in found):
        some = [layer.planned for layer in found if layer.kind == kind]
        time, count = sum(one.seconds for one in some), sum(one.macs for one in some)
        rows.append(
            [KINDS.get(kind, kind), str(len(some)), bar(count / total), bar(time / seconds), _speed(count, time)]
        )
    heads = ("kind", "layers", "share of Mult-Adds", "share of time", "GMAC/s")
    return html_table(*heads, rows=rows, class_="bars kinds", caption="Mult-Adds and time by kind of layer")


def _table(found: Sequence[TimedLayer], seconds: float) -> Element:
    most_macs = max(layer.planned.macs for layer in found) or 1
    most_seconds = max(layer.planned.seconds for layer in found) or 1.0
    rows: list[list[Child]] = [
        [
            layer.name,
            layer.output,
            bar(layer.planned.macs / most_macs, macs(layer.planned.macs) if layer.planned.macs else "–"),
            bar(layer.planned.seconds / most_seconds, milliseconds(1e3 * layer.planned.seconds)),
            _speed(layer.planned.macs, layer.planned.seconds),
            tag("code", layer.planned.kernel),
        ]
        for layer in found
    ]
    heads = ("layer", "output", "Mult-Adds", "time", "GMAC/s", "kernel")
    return html_table(*heads, rows=rows, class_="bars all-layers", caption="Mult-Adds and time of every layer")


def _speed(count: int, seconds: float) -> str:
    return f"{count / seconds / 1e9:.0f}" if count and seconds else "–"
