"""The predictions of a Model on the test images: the confusion matrix, and the figures of every class."""

from __future__ import annotations

import base64
import io

import numpy as np
import numpy.typing as npt
from PIL import Image

from mobilenets.base.text import percent, plural
from mobilenets.reports.charts import figure, svg
from mobilenets.reports.pages.markup import Child, Element, html_table, name, scrolling, section, tag
from mobilenets.tasks.classification_metrics import ClassificationMetrics, ClassMetrics
from mobilenets.tasks.metrics import Counts

MOST_COUNTED = 12
"""Classes up to which the matrix is a table of counts; beyond, it is a map of colors."""
MOST_NAMED = 40
"""Classes up to which the map's rows are named."""
SHORT = 3
"""Characters up to which the labels of columns lie."""
MOST_PAIRS = 8
MOST_CLASSES = 12
"""Classes that are listed at once; the others can be unfolded."""
RIGHT, WRONG = (31, 95, 168), (196, 74, 18)


def predictions_section(evaluation: ClassificationMetrics) -> Element:
    """The section."""
    few = len(evaluation.labels) <= MOST_COUNTED
    return section(
        "predictions",
        "Predictions",
        tag("p", _summary(evaluation)),
        _counts(evaluation) if few else _map(evaluation),
        _pairs(evaluation),
        _classes(evaluation),
    )


def _summary(evaluation: ClassificationMetrics) -> str:
    wrong = evaluation.wrong
    if not wrong:
        return f"All {plural(evaluation.images, 'test image')} are right."
    five = (
        f" The right class is among the five likeliest for {percent(evaluation.top5)}."
        if len(evaluation.labels) > 5
        else ""
    )
    return f"{wrong:,} of {plural(evaluation.images, 'test image')} {'is' if wrong == 1 else 'are'} wrong.{five}"


# The matrix -----------------------------------------------------------------------------------------------------------


def _counts(evaluation: ClassificationMetrics) -> Element:
    confusion = evaluation.confusion
    totals = np.maximum(confusion.sum(axis=1), 1)
    rows: list[list[Child]] = [
        [
            name(label),
            *(_cell(int(count), count / totals[row], right=row == column) for column, count in enumerate(counts)),
        ]
        for row, (label, counts) in enumerate(zip(evaluation.labels, confusion, strict=True))
    ]
    heads = [tag("span", name(label), title=label) for label in evaluation.labels]
    short = max(map(len, evaluation.labels)) <= SHORT
    upright = "" if short else " upright"
    made = html_table("", *heads, rows=rows, class_=f"confusion{upright}", caption="Confusion matrix")
    return tag(
        "figure",
        scrolling(made, "Confusion matrix"),
        tag(
            "figcaption",
            "Test images by their class (rows) and by the answer (columns). Darker: a larger share of the row.",
        ),
    )


def _cell(count: int, share: float, *, right: bool) -> Element | None:
    if not count:
        return tag("span", "·", class_="none")
    strength = 0.12 + 0.88 * float(share)
    color = "right" if right else "wrong"
    return tag(
        "span", str(count), class_=f"{color}{' strong' if strength > 0.62 else ''}", style=f"--share:{strength:.2f}"
    )


def _map(evaluation: ClassificationMetrics) -> Element:
    """An image of one pixel for each cell, scaled up, with names beside it."""
    image = _image(evaluation.confusion)
    count = len(evaluation.labels)

    def draw(width: float) -> Element:
        named = count <= (MOST_NAMED if width > 500 else MOST_NAMED // 2)
        left = min(150.0, width / 3) if named else 34.0
        side = min(width, 620.0) - left
        cell = side / count
        marks = [
            tag("image", href=image, x=left, y=0, width=side, height=side, preserveAspectRatio="none", class_="pixels")
        ]
        marks.append(tag("rect", x=left, y=0, width=side, height=side, class_="frame"))
        step = 1 if named else 10 ** max(1, round(np.log10(count / 8)))
        for row in range(0, count, step):
            down = (row + 0.5) * cell
            label = _shortened(evaluation.labels[row], left) if named else str(row + 1)
            size = min(12.0, max(7.0, 0.9 * cell)) if named else 11.0
            marks.append(
                tag(
                    "text",
                    label,
                    x=left - 5,
                    y=round(down + 0.35 * size, 1),
                    class_="tick",
                    text_anchor="end",
                    font_size=size,
                )
            )
        return svg(left + side, side, marks, spoken=_spoken(evaluation))

    caption = (
        "Test images by their class (rows) and by the answer (columns, in the same order). Blue: right. "
        "Orange: wrong. Stronger: a larger share of the row."
    )
    return figure(draw, caption, class_="map")


def _shortened(label: str, width: float) -> str:
    most = int(width / 6.5)
    return label if len(label) <= most else f"{label[: most - 1]}…"


def _image(confusion: Counts) -> str:
    shares = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    count = len(confusion)
    pixels: npt.NDArray[np.uint8] = np.zeros((count, count, 4), np.uint8)
    pixels[..., :3] = WRONG
    pixels[np.arange(count), np.arange(count), :3] = RIGHT
    pixels[..., 3] = np.where(confusion > 0, 255 * (0.2 + 0.8 * shares), 0).round()
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(content.getvalue()).decode()}"


def _spoken(evaluation: ClassificationMetrics) -> str:
    count, right = len(evaluation.labels), percent(evaluation.top1)
    return f"Confusion matrix of {count} classes; {right} of the images are on its diagonal"


def _pairs(evaluation: ClassificationMetrics) -> list[Element]:
    pairs = evaluation.most_confused(MOST_PAIRS)
    if not pairs:
        return []
    lines = [
        tag(
            "li",
            name(pair.truth),
            " taken for ",
            name(pair.given),
            " ",
            tag("span", f"{pair.share.count} of {pair.share.total}", class_="quiet"),
        )
        for pair in pairs
    ]
    return [tag("h3", "Most often confused"), tag("ol", lines, class_="pairs")]


# Classes --------------------------------------------------------------------------------------------------------------


def _classes(evaluation: ClassificationMetrics) -> list[Element]:
    figures = sorted(evaluation.classes, key=lambda row: (row.recall is None, row.recall or 0.0))
    shown, others = figures[:MOST_CLASSES], figures[MOST_CLASSES:]
    made = [tag("h3", "By class, worst first"), _class_table(shown, "Figures of every class")]
    if others:
        rest = _class_table(others, "Figures of the other classes")
        made.append(tag("details", tag("summary", f"The other {len(others)} classes"), rest))
    return made


def _class_table(figures: list[ClassMetrics], caption: str) -> Element:
    rows: list[list[Child]] = [
        [name(row.label), f"{row.images:,}", bar(row.recall), bar(row.precision)] for row in figures
    ]
    return html_table("class", "images", "recall", "precision", rows=rows, class_="bars", caption=caption)


def bar(share: float | None, words: str | None = None) -> Element:
    """A share of 1 as a number with a bar under it."""
    return tag("span", words or percent(share), class_="bar", style=f"--share:{100 * (share or 0.0):.1f}%")
