"""What to do next: the steps that are likeliest to make the Model of a run better or cheaper, with their commands."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mobilenets.base.text import percent, plural
from mobilenets.reports.finished_run import Run
from mobilenets.reports.pages.markup import Element, name, section, tag
from mobilenets.reports.pages.usage import model_path
from mobilenets.tasks.classification_metrics import ClassificationMetrics

WEAK_RECALL = 0.9
"""Share of a class that is right, below which more images of it are asked for."""
MOST_WEAK = 3
"""Classes that are named."""
FEW_IMAGES = 500
"""Training images of a class up to which weights of another network are likely to help."""
UNBALANCED = 5
"""How many times as many images the largest class may have as the smallest."""


@dataclass(frozen=True)
class WeakClass:
    """A class that a Model finds too seldom.

    Attributes:
        label: Name of the class.
        found: What of it is found, in words, such as "80.0 % of its 5 test images are right".
    """

    label: str
    found: str


def weak_classes(evaluation: ClassificationMetrics) -> list[WeakClass]:
    """The classes that are right least often, worst first.

    Args:
        evaluation: On the test images.
    """
    rows = [(one.recall, one) for one in evaluation.classes if one.recall is not None and one.recall < WEAK_RECALL]
    return [
        WeakClass(
            one.label,
            f"{percent(recall)} of its {plural(one.images, 'test image')} {'is' if one.images == 1 else 'are'} right",
        )
        for recall, one in sorted(rows, key=lambda row: row[0])[:MOST_WEAK]
    ]


def advice_section(run: Run, weak: Sequence[WeakClass], *, perfect: bool) -> Element:
    """The section: a list, what is likely to help most first.

    Args:
        run: The run.
        weak: The classes that more images are asked for, the worst first.
        perfect: Whether nothing was wrong with the test images.
    """
    return section("next", "What to do next", tag("ul", [tag("li", step) for step in _steps(run, weak, perfect)]))


def _steps(run: Run, weak: Sequence[WeakClass], perfect: bool) -> Iterator[list[str | Element]]:
    facts = run.data_facts
    trained = {} if facts is None else {label: counts[0] for label, counts in facts.classes.items()}
    for one in weak:
        has = f"; it has {plural(trained[one.label], 'training image')}" if one.label in trained else ""
        yield ["Add images of ", name(one.label), f": {one.found}{has}."]
    if trained and min(trained.values()) * UNBALANCED < max(trained.values()):
        few, many = min(trained, key=trained.__getitem__), max(trained, key=trained.__getitem__)
        yield [
            "Balance the classes: ", name(few), f" has {plural(trained[few], 'training image')}, ",
            name(many), f" {trained[many]:,}.",
        ]  # fmt: skip
    source, model = shlex.quote(run.source), shlex.quote(model_path(run))
    named = any(str(word).startswith("--weights") for word in run.metrics.get("command", ()))
    fine_tuned = named or run.provenance.training.weights is not None
    tuned = shlex.quote(f"{run.place.rstrip('/')}-tuned")
    if trained and not fine_tuned and run.search is None and min(trained.values()) < FEW_IMAGES and not perfect:
        yield [
            "Start from the weights of a network that has seen many images: ",
            tag("code", f"mobilenets fit {source} --weights keras:0.5-160 --output {tuned}"), ".",
        ]  # fmt: skip
    if run.int8 is None:
        yield [
            "Make it smaller and quicker: ",
            tag("code", f"mobilenets quantize {model} --calibration {source} --data {source}"), ".",
        ]  # fmt: skip
    yield [
        "Try it on images from where it will be used, which were not taken together with these: ",
        tag("code", f"mobilenets evaluate {model} FOLDER"), ".",
    ]  # fmt: skip
