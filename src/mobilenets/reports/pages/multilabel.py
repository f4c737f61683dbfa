"""The labels that a Model gives: figures of each, and the images that it is furthest off with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mobilenets.base.progress import SILENT, Progress
from mobilenets.base.text import percent, plural
from mobilenets.data.dataset import Dataset
from mobilenets.data.image import ImageSource
from mobilenets.engine.predictor import Predictor
from mobilenets.model.model import Model
from mobilenets.reports.pages.advice import MOST_WEAK, WEAK_RECALL, WeakClass
from mobilenets.reports.pages.markup import Child, Element, html_table, name, section, tag
from mobilenets.reports.pages.mistakes import relative_name, thumbnail
from mobilenets.reports.pages.predictions import bar
from mobilenets.tasks.multilabel import LabelsPrediction
from mobilenets.tasks.multilabel_metrics import MultiLabelMetrics

MOST = 30
"""Images that are shown."""


def weak_labels(evaluation: MultiLabelMetrics) -> list[WeakClass]:
    """The labels of the lowest average precision, worst first."""
    rows = [(one.average_precision, one) for one in evaluation.labels if one.average_precision is not None]
    weak = sorted((row for row in rows if row[0] < WEAK_RECALL), key=lambda row: row[0])[:MOST_WEAK]
    return [
        WeakClass(
            one.label, f"its average precision is {percent(value)}, on {plural(one.images, 'test image')} with it"
        )
        for value, one in weak
    ]


def label_figures_section(evaluation: MultiLabelMetrics) -> Element:
    """The section: the figures of every label, worst first."""
    figures = sorted(evaluation.labels, key=lambda row: (row.average_precision is None, row.average_precision or 0.0))
    rows: list[list[Child]] = [
        [
            name(row.label),
            f"{row.images:,}",
            bar(row.average_precision),
            percent(row.threshold),
            bar(row.precision),
            bar(row.recall),
        ]
        for row in figures
    ]
    heads = ("label", "images", "average precision", "threshold", "precision", "recall")
    words = (
        f"{percent(evaluation.exact.value)} of {plural(evaluation.images, 'test image')} are given exactly the labels "
        f"that they have; F1 of all labels together is {percent(evaluation.f1)}. An image is given a label from its "
        "threshold on, which was chosen on the validation images for the largest F1."
    )
    table = html_table(*heads, rows=rows, class_="bars labels", caption="Figures of every label, worst first")
    return section("predictions", "Labels", tag("p", words), table)


@dataclass(frozen=True, eq=False)
class WrongLabels:
    """An image that was not given exactly the labels that it has.

    Attributes:
        image: The image.
        missing: Labels that it has and was not given.
        surplus: Labels that it was given and has not.
        distance: Of the probabilities from the truth, summed over these labels.
    """

    image: ImageSource
    missing: tuple[str, ...]
    surplus: tuple[str, ...]
    distance: float


def wrong_labels(model: Model, dataset: Dataset, *, progress: Progress = SILENT) -> list[WrongLabels]:
    """The test images that are not given exactly the labels that they have, the furthest off first."""
    found, subset = [], dataset.test
    with progress.task("predicting", len(subset), "images") as task:
        predictions = Predictor(model).predict_many(subset.images)
        for image, target, given in zip(subset.images, subset.targets, predictions, strict=True):
            task.advance()
            if not isinstance(given, LabelsPrediction):
                continue
            truth = {label for label, present in zip(dataset.labels, target, strict=True) if present}
            share, names = dict(given.probabilities), set(given.names)
            missing = tuple(label for label in dataset.labels if label in truth - names)
            surplus = tuple(label for label in dataset.labels if label in names - truth)
            distance = sum(1 - share[label] for label in missing) + sum(share[label] for label in surplus)
            if missing or surplus:
                found.append(WrongLabels(image, missing, surplus, distance))
    return sorted(found, key=lambda one: -one.distance)


def wrong_labels_section(found: Sequence[WrongLabels], images: int, source: str) -> Element:
    """The section.

    Args:
        found: The images that were not given exactly the labels that they have, the furthest off first.
        images: Number of test images.
        source: Where they come from; their names are shown from there on.
    """
    if not found:
        return section("mistakes", "Mistakes", tag("p", f"There are none among {plural(images, 'test image')}."))
    shown = found[:MOST]
    words = "All of them" if len(shown) == len(found) else f"The {len(shown)} furthest off of {len(found):,}"
    text = f"{words}, the furthest off first. A wrong label in the data shows up here first."
    gallery = tag("ul", [tag("li", _card(one, source)) for one in shown], class_="gallery")
    return section("mistakes", "Mistakes", tag("p", text), gallery)


def _card(one: WrongLabels, source: str) -> Element:
    called = relative_name(one.image.name, source)
    words: list[Child] = []
    if one.missing:
        words += ["not given ", tag("b", name(", ".join(one.missing)))]
    if one.surplus:
        words += ["; " * bool(words), "wrongly given ", tag("b", name(", ".join(one.surplus)), class_="wrong")]
    return tag(
        "figure",
        thumbnail(one.image, f"{called}: labels that are missing or wrong"),
        tag("figcaption", tag("span", words), name(called, class_="file")),
    )
