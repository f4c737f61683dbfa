"""Accuracy against latency, or another cost, of everything that could have been chosen, with the choice marked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mobilenets.base.text import macs, milliseconds, percent, plural, size
from mobilenets.reports.charts import NARROW, Axis, Chart, around, around_logarithmic, figure, legend
from mobilenets.reports.pages.markup import Child, Element, html_table, section, tag
from mobilenets.search.budget import Budget
from mobilenets.search.candidates import Candidate, CostKind
from mobilenets.search.contenders import Started
from mobilenets.search.frontier import compared_by, frontier
from mobilenets.search.record import SearchRecord

PRECISIONS = ("float32", "int8")


@dataclass(frozen=True)
class _Shown:
    """How a cost is drawn and said.

    Attributes:
        title: Of the axis.
        unit: What one on the axis is.
        words: A figure with its unit.
    """

    title: str
    unit: float
    words: Callable[[float], str]


_SHOWN: dict[CostKind, _Shown] = {
    "latency_ms": _Shown("ms for one image", 1, milliseconds),
    "instructions": _Shown("instructions of one image, millions", 1e6, macs),
    "flash_bytes": _Shown("kB of flash", 1e3, size),
    "memory_bytes": _Shown("kB of activations", 1e3, size),
    "file_bytes": _Shown("kB of file", 1e3, size),
    "macs": _Shown("Mult-Adds of one image, millions", 1e6, macs),
}


def frontier_section(search: SearchRecord, metric: str = "top-1") -> Element:
    """The section.

    Args:
        search: What was considered and chosen.
        metric: What the accuracies are, in words.
    """
    candidates, choice, budget = search.candidates, search.choice, search.budget
    present = [precision for precision in PRECISIONS if any(one.precision == precision for one in candidates)]
    return section(
        "frontier",
        "The trade-off",
        tag("p", f"{choice} was taken: {search.reason.rstrip('.')}. {_origin(search)}"),
        legend(*((precision, precision) for precision in present), *_stages(candidates), ("chosen", "the choice")),
        figure(
            lambda width: draw(candidates, choice, budget, width, f"validation {metric}"), _caption(candidates, budget)
        ),
        tag("details", tag("summary", f"All {len(candidates)} as a table"), _table(candidates, choice, budget, metric)),
    )


def _stages(candidates: Sequence[Candidate]) -> list[tuple[str, str]]:
    """How the first looks at networks are drawn, for a legend."""
    return [("head", "a head on frozen features")] if any(map(_has_head_only, candidates)) else []


def _has_head_only(one: Candidate) -> bool:
    return isinstance(one, Started) and one.stage == "head"


def _origin(search: SearchRecord) -> str:
    device, images = search.device, plural(search.validation_images, "validation image")
    of = f"Accuracies are of {images}, for subnets of one supernet before any was fine-tuned"
    if any(isinstance(one, Started) for one in search.candidates):
        of = (
            "Each network began from published weights, and is shown with what the last look at it got: a linear head "
            "on its frozen features, on training and validation images that the head was fitted without; a short "
            f"fine-tuning, on {images}; and the choice all of its fine-tuning, on the same"
        )
    if device is None:
        return f"{of}. The budget does not limit latency, so none was measured."
    if search.choice.instructions is not None:
        return (
            f"{of}; {device.engine}, for {device.name}; predictions err by {percent(device.interpolation_error or 0)}."
        )
    measured = "measured on this machine" if device.measured_here else f"those of {device.name}"
    error = device.interpolation_error
    between = "" if error is None else f" (between measured sizes, they err by {percent(error)} at the median)"
    return f"{of}; latencies are {measured}, on {plural(device.threads, 'thread')}{between}."


def draw(
    candidates: Sequence[Candidate],
    choice: Candidate,
    budget: Budget,
    width: float,
    top1: str = "validation top-1",
    *,
    beaten_faded: bool = False,
) -> Element:
    """The chart.

    Args:
        candidates: Everything that there was to choose from.
        choice: The one to mark.
        budget: Its limit on what candidates are compared by is drawn, and what exceeds any of its limits is faded.
        width: In CSS pixels.
        top1: Title of the axis of accuracies.
        beaten_faded: Whether to fade what another candidate beats in both cost and accuracy, too.
    """
    by = compared_by(candidates, budget)
    shown = _SHOWN[by]

    def across(one: Candidate) -> float:
        return one.cost(by) / shown.unit

    limit, least = budget.limit(by), budget.min_accuracy
    if limit is not None:
        limit /= shown.unit
    costs = [across(one) for one in (*candidates, choice)]
    shares = [one.accuracy for one in (*candidates, choice)]  # the choice was trained on since
    near = limit is not None and min(costs) / 3 < limit < max(costs) * 3
    low, high = around(shares + ([least] if least is not None else []), least=0.01)
    x = Axis(*around_logarithmic(costs + ([limit] if near and limit else [])), shown.title, logarithmic=True)
    y = Axis(max(low, 0.0), min(high, 1.02), top1, show=lambda share: f"{100 * share:g} %")
    chart = Chart(width, 380 if width > NARROW else 290, x, y)
    best = frontier(candidates, by)
    if not any(isinstance(one, Started) for one in candidates):  # whose accuracies are not of one kind
        chart.line([(across(one), one.accuracy) for one in best], "frontier")
    if near and limit is not None:
        chart.upright(limit, "limit", f"{shown.words(limit * shown.unit)} allowed", before=x.share(limit) > 0.5)
    for one in candidates:
        faded = " over" if not budget.meets(one) or (beaten_faded and one not in best) else ""
        chart.dot(
            across(one),
            one.accuracy,
            one.precision + faded + (" head" if _has_head_only(one) else ""),
            radius=4 if one in best else 3,
            title=f"{one}: {percent(one.accuracy)}, {shown.words(one.cost(by))}",
        )
    chart.dot(across(choice), choice.accuracy, choice.precision)
    chart.dot(across(choice), choice.accuracy, "chosen", radius=9)
    chart.note(across(choice), choice.accuracy, choice.label, "chosen", above=13)
    return chart.element(
        f"Accuracy against {shown.title} of {len(candidates)} networks; the choice, {choice}, has "
        f"{percent(choice.accuracy)} at {shown.words(choice.cost(by))}"
    )


def _caption(candidates: Sequence[Candidate], budget: Budget) -> str:
    by = compared_by(candidates, budget)
    if any(isinstance(one, Started) for one in candidates):
        return (
            "Up and to the left is better. Fine-tuning adds to what a head on frozen features gets, and the most for "
            "what was cut."
        )
    best, words = frontier(candidates, by), _SHOWN[by].words
    return (
        f"Up and to the left is better. The line joins the {len(best)} that none of the others beats in both; on it, "
        f"{words(best[0].cost(by))} buy {percent(best[0].accuracy)} and {words(best[-1].cost(by))} "
        f"{percent(best[-1].accuracy)}."
    )


def _table(candidates: Sequence[Candidate], choice: Candidate, budget: Budget, metric: str) -> Element:
    by = compared_by(candidates, budget)
    best = frontier(candidates, by)
    started = any(isinstance(one, Started) for one in candidates)

    def mark(one: Candidate) -> Child:
        words = str(one)
        if _is_same(one, choice):
            return tag("b", f"→ {words}")
        return words if budget.meets(one) else tag("span", words, class_="quiet")

    rows: list[list[Child]] = [
        [
            mark(one),
            *(_looks(one) if started else [percent(one.accuracy)]),
            _speed(one),
            macs(one.macs),
            size(one.file_bytes),
            size(one.memory_bytes),
            *([] if started else ["yes" if one in best else ""]),
        ]
        for one in sorted(candidates, key=lambda candidate: candidate.cost(by))
    ]
    accuracies = ["head", "short fine-tuning"] if started else [tag("span", metric, class_="whole")]
    last = [] if started else ["on the line"]
    speed = "latency" if choice.instructions is None else "instructions"
    heads = ("network", *accuracies, speed, "Mult-Adds", "file", "activations", *last)
    return html_table(*heads, rows=rows, class_="figures candidates", caption="Everything that was looked at")


def _speed(one: Candidate) -> str:
    if one.instructions is not None:
        return macs(one.instructions)
    return "–" if one.latency_ms is None else milliseconds(one.latency_ms)


def _looks(one: Candidate) -> list[Child]:
    """What each look at a network got."""
    shares = (one.head_top1, one.tuned_top1) if isinstance(one, Started) else (one.accuracy, None)
    return ["–" if share is None else percent(share) for share in shares]


def _is_same(one: Candidate, other: Candidate) -> bool:
    """Whether two are the same network in the same precision, whatever it got."""
    if isinstance(one, Started) and isinstance(other, Started):
        return str(one) == str(other)
    return one == other
