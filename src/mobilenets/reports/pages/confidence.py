"""How far the probabilities of a Model can be believed: the reliability diagram of the test images."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mobilenets.base.text import GAP, percent, plural
from mobilenets.reports.charts import NARROW, Axis, Chart, figure, legend
from mobilenets.reports.pages.markup import Element, section, tag
from mobilenets.tasks.classification_metrics import ClassificationMetrics

if TYPE_CHECKING:
    from mobilenets.training.held_out import HeldOut

MOST_NAMED = 4
"""Classes of a group that are named."""
HALF = 370
"""CSS pixels of the chart."""
SERIES = (("validation", "test images"), ("training", "as sure as right"))
GOOD = 0.05
"""Expected calibration error up to which probabilities are called true."""


CLEARLY = 1.5
"""How many times the error that chance makes an error is that says something of the Model."""


def confidence_section(
    evaluation: ClassificationMetrics, temperature: float, command: str, held_out: HeldOut | None = None
) -> Element:
    """The section.

    Args:
        evaluation: Of the test images, with their reliability.
        temperature: Of the Model.
        command: What fits one.
        held_out: How well classes that are left out are told from the others; None where it was not measured.
    """
    error, sure = evaluation.expected_calibration_error or 0.0, evaluation.mean_confidence or 0.0
    chance = evaluation.calibration_error_by_chance or 0.0
    words = (
        f"It is {percent(sure)} sure on average and right for {percent(evaluation.top1)}. The expected calibration "
        f"error, by how much a probability differs from how often it is right, is {percent(error)}; of "
        f"probabilities that are exactly true it would be {percent(chance)} on so few images."
    )
    fitted = (
        f"Its temperature, by which logits are divided before the softmax, is {temperature:.3g}, fitted on images that "
        "are not test images."
        if temperature != 1
        else "It has no temperature."
    )
    parts: list[Element] = [tag("p", words), tag("p", fitted)]
    if error > GOOD and error > CLEARLY * chance:
        parts.append(tag("p", "More validation images would make its probabilities truer: ", tag("code", command), "."))
    parts += _unknown(evaluation)
    parts += [] if held_out is None else [_of_held_out(held_out)]
    chart = figure(lambda width: _draw(evaluation, width), None, wide=HALF)
    return section("confidence", "How sure it is", *parts, legend(*SERIES), chart)


def _unknown(evaluation: ClassificationMetrics) -> list[Element]:
    """What ``predict --unknown`` says of the test images, which are all of known classes."""
    called, wrong = evaluation.called_unknown, evaluation.wrong_called_unknown
    if called is None or wrong is None:
        return []
    words = (
        f'With "unknown" as an answer (predict --unknown) it calls {called.count} of the '
        f"{plural(called.total, 'image')} so, though all are of known classes ({percent(called.value)})"
    )
    caught = f", and among them {wrong.count} of its {plural(wrong.total, 'mistake')}" if wrong.total else ""
    return [tag("p", f"{words}{caught}.")]


def _of_held_out(held_out: HeldOut) -> Element:
    """How well new classes are told from known ones, by leaving some of the known ones out."""
    each = ", ".join(
        f"{area:.2f} without {', '.join(group[:MOST_NAMED])}{' …' * (len(group) > MOST_NAMED)}"
        for area, group in zip(held_out.areas, held_out.groups, strict=True)
    )
    return tag(
        "p",
        f"How well it would tell things of no known class: with some of the classes left out, the area under the ROC "
        f"curve of their test images against the others is {held_out.mean:.2f} on average ({each}); 0.5 is chance and "
        "1 tells all apart. Measured with linear classifiers on published weights, which have seen none of the labels.",
    )


def _draw(evaluation: ClassificationMetrics, width: float) -> Element:
    def share(value: float) -> str:
        return f"{100 * value:.0f}{GAP}%"

    chart = Chart(
        width, 260 if width > NARROW else 230, Axis(0, 1, "sure", show=share), Axis(0, 1, "right", show=share)
    )
    chart.line([(0, 0), (1, 1)], "training")
    for one in evaluation.reliability:
        radius = 2.5 + 5 * (one.images / evaluation.images) ** 0.5
        title = f"{plural(one.images, 'image')}: {percent(one.confidence)} sure, {percent(one.accuracy)} right"
        chart.dot(one.confidence, one.accuracy, "validation", radius=round(radius, 1), title=title)
    listed = "; ".join(
        f"{percent(one.confidence)} sure, {percent(one.accuracy)} right" for one in evaluation.reliability
    )
    return chart.element(f"Share of right answers by how sure they are: {listed}")
