"""What a detector finds: figures by class and size, precision by recall, and images with what it gets wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from mobilenets.base.progress import SILENT, Progress
from mobilenets.base.text import GAP, interval, percent, plural
from mobilenets.data.dataset import Dataset
from mobilenets.data.drawing import DrawnBox, Line, draw_boxes
from mobilenets.data.image import ImageSource
from mobilenets.engine.detector import Detector
from mobilenets.errors import DataError
from mobilenets.model.model import Model
from mobilenets.reports.charts import NARROW, Axis, Chart, figure
from mobilenets.reports.pages.advice import MOST_WEAK, WEAK_RECALL, WeakClass
from mobilenets.reports.pages.markup import Child, Element, html_table, name, section, tag
from mobilenets.reports.pages.mistakes import embedded, relative_name
from mobilenets.reports.pages.predictions import bar
from mobilenets.tasks.box_matching import SIZES, match_boxes
from mobilenets.tasks.boxes import GroundTruth, area
from mobilenets.tasks.detection import DetectionPrediction
from mobilenets.tasks.detection_metrics import DetectedClass, DetectionMetrics

MOST, SIDE = 18, 360
"""Images that are shown, and the longer side of each in pixels."""
MOST_CURVES, HALF = 6, 370
"""Classes whose curves are drawn, the weakest first, and the pixels of each."""
FOUND, MISSED, INVENTED = 1, 0, 3
"""Numbers of colors: green, red and orange."""
SIDES = (8, 16, 32, 48, 64, 96, 128, 192, 256, 384, 512, 1024)
"""Ends of the bins of the size histogram: square root of the area, in pixels."""


@dataclass(frozen=True, eq=False)
class JudgedImage:
    """What a detector found in one image, compared with what is there, at an intersection over union of 0.5.

    Attributes:
        image: The image.
        truth: What is there.
        prediction: What was found.
        found: bool, for each object: whether it was found.
        right: bool, for each box that was found: whether it is an object, or one that does not count.
    """

    image: ImageSource
    truth: GroundTruth
    prediction: DetectionPrediction
    found: npt.NDArray[np.bool_]
    right: npt.NDArray[np.bool_]

    @property
    def missed(self) -> npt.NDArray[np.bool_]:
        """Which objects count and were not found."""
        return ~self.found & ~self.truth.ignored

    @property
    def mistakes(self) -> int:
        """Objects that were missed, and boxes that are none."""
        return int(self.missed.sum() + (~self.right).sum())


def judge_images(model: Model, dataset: Dataset, *, progress: Progress = SILENT) -> list[JudgedImage]:
    """Compare what a detector reports on the test images with what is there, those with most mistakes first."""
    subset, detector = dataset.test, Detector(model)
    numbers = [model.task.labels.index(label) for label in dataset.labels] if model.task.labels else []
    judged = []
    with progress.task("detecting", len(subset), "images") as task:
        predictions = detector.predict_many(subset.images)
        for image, truth, prediction in zip(subset.images, subset.targets, predictions, strict=True):
            task.advance()
            if not isinstance(prediction, DataError):
                judged.append(_judged(image, truth, prediction, numbers))
    return sorted(judged, key=lambda one: -one.mistakes)


def _judged(
    image: ImageSource, truth: GroundTruth, prediction: DetectionPrediction, numbers: Sequence[int]
) -> JudgedImage:
    boxes = np.array([one.box for one in prediction.boxes]).reshape(-1, 4)
    given = np.array([one.index for one in prediction.boxes], np.int64)
    there = np.array([numbers[label] for label in truth.labels], np.int64)
    found, right = np.zeros(len(there), np.bool_), np.zeros(len(given), np.bool_)
    for label in np.unique(given):
        mine, theirs = np.flatnonzero(given == label), np.flatnonzero(there == label)
        matched, counts = match_boxes(boxes[mine], truth.boxes[theirs], truth.ignored[theirs], SIZES["all"])
        hits = matched[0] >= 0
        right[mine] = hits | ~counts[0]
        found[theirs[matched[0][hits]]] = True
    return JudgedImage(image, truth, prediction, found, right)


def weak_detections(evaluation: DetectionMetrics) -> list[WeakClass]:
    """The classes that are found least often, worst first."""
    rows = [(one.recall, one) for one in evaluation.classes if one.recall is not None and one.recall < WEAK_RECALL]
    return [
        WeakClass(one.label, f"{percent(recall)} of its {plural(one.objects, 'object')} in the test images are found")
        for recall, one in sorted(rows, key=lambda row: row[0])[:MOST_WEAK]
    ]


def detections_section(evaluation: DetectionMetrics, *, threshold_chosen: bool = False) -> Element:
    """The section: figures of all, by class and by size, and precision by recall.

    Args:
        evaluation: On the test images.
        threshold_chosen: Whether the score from which on boxes are reported was chosen on the validation images.
    """
    found = evaluation.found
    chosen = ", where F1 is best on the validation images" if threshold_chosen else ""
    words = (
        f"mAP 50-95 is {percent(evaluation.map50_95)} (95{GAP}% interval {interval(evaluation.interval)}), mAP 50 "
        f"{percent(evaluation.map50)}. From a score of {evaluation.score_threshold:g} on{chosen}, {found.count:,} of "
        f"{plural(evaluation.objects, 'object')} in {plural(evaluation.images, 'test image')} are found, "
        f"{found.total - found.count:,} are missed, and {plural(evaluation.invented, 'box is', 'boxes are')} invented."
    )
    return section(
        "predictions",
        "Detections",
        tag("p", words),
        tag("h3", "By class, worst first"),
        _class_table(evaluation),
        tag("h3", "By size of the objects"),
        _size_table(evaluation),
        tag("h3", "Precision by recall"),
        _curves(evaluation),
    )


def _class_table(evaluation: DetectionMetrics) -> Element:
    figures = sorted(evaluation.classes, key=lambda one: (one.ap is None, one.ap or 0.0))
    rows: list[list[Child]] = [
        [name(one.label), f"{one.objects:,}", bar(one.ap), bar(one.ap50), bar(one.recall), bar(one.precision)]
        for one in figures
    ]
    heads = ("class", "objects", "AP 50-95", "AP 50", "recall", "precision")
    return html_table(*heads, rows=rows, class_="bars", caption="Figures of every class")


def _size_table(evaluation: DetectionMetrics) -> Element:
    named = {"small": "small, up to 32×32", "medium": "medium", "large": "large, from 96×96 on"}
    rows: list[list[Child]] = [
        [named.get(one.name, one.name), f"{one.objects:,}", bar(one.ap), bar(one.ap50)] for one in evaluation.sizes
    ]
    return html_table("size in pixels", "objects", "mAP 50-95", "mAP 50", rows=rows, class_="bars", caption="By size")


def _curves(evaluation: DetectionMetrics) -> Element:
    drawn = sorted((one for one in evaluation.classes if one.curve), key=lambda one: one.ap or 0.0)[:MOST_CURVES]
    charts = [
        figure(lambda width, one=one: _curve(one, width), [name(one.label)], wide=HALF)  # type: ignore[misc]
        for one in drawn
    ]
    return tag("div", charts, class_="pair")


def _curve(one: DetectedClass, width: float) -> Element:
    def share(value: float) -> str:
        return f"{100 * value:.0f}{GAP}%"

    height = 230 if width > NARROW else 200
    chart = Chart(width, height, Axis(0, 1, "recall", show=share), Axis(0, 1, "precision", show=share))
    steps = len(one.curve) - 1
    chart.line([(number / steps, value) for number, value in enumerate(one.curve)], "validation")
    if one.recall is not None and one.precision is not None:
        title = f"as reported: {percent(one.precision)} precision, {percent(one.recall)} recall"
        chart.dot(one.recall, one.precision, "validation", title=title)
    return chart.element(f"Precision by recall of {one.label}: average precision {percent(one.ap50)}")


def missed_section(judged: Sequence[JudgedImage], source: str) -> Element:
    """The section: images with missed and invented objects first, and how many objects of each size are found.

    Args:
        judged: The test images, those with most mistakes first.
        source: Where they come from; their names are shown from there on.
    """
    missed, invented = (sum(int(one.missed.sum()) for one in judged), sum(int((~one.right).sum()) for one in judged))
    words = (
        f"{missed:,} missed objects are dashed and red, {plural(invented, 'box', 'boxes')} around nothing orange, what "
        "is found green. Images with most mistakes come first; what the data does not name shows up as invented."
    )
    cards = [tag("li", _card(one, source)) for one in judged[:MOST]]
    return section(
        "mistakes",
        "Missed and invented",
        tag("p", words),
        tag("ul", cards, class_="gallery large"),
        tag("h3", "Found by size"),
        _histogram(judged),
    )


def _card(one: JudgedImage, source: str) -> Element:
    called = relative_name(one.image.name, source)
    words = f"{int(one.missed.sum())} missed, {int((~one.right).sum())} invented, {int(one.found.sum())} found"
    return tag(
        "figure",
        embedded(_drawn(one), f"{called}: {words}", coarse=False),
        tag("figcaption", tag("span", words), name(called, class_="file")),
    )


def _drawn(one: JudgedImage) -> Image.Image:
    """The image with what was missed, invented and found, small enough for a page."""
    opened = one.image.open(SIDE)
    opened.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    scale = np.tile(np.array(opened.size) / one.truth.size, 2)

    def placed(box: Sequence[float]) -> tuple[float, float, float, float]:
        left, top, right, bottom = (np.asarray(box, np.float64) * scale).tolist()
        return left, top, right, bottom

    boxes = [DrawnBox(placed(box), MISSED, "", Line.DASHED) for box in one.truth.boxes[one.missed].tolist()]
    for detected, right in zip(one.prediction.boxes, one.right.tolist(), strict=True):
        text = "" if right else f"{detected.label} {percent(detected.score, 0)}".replace(GAP, " ")
        boxes.append(DrawnBox(placed(detected.box), FOUND if right else INVENTED, text))
    return draw_boxes(opened, boxes)


def _histogram(judged: Sequence[JudgedImage]) -> Element:
    """How many objects there are of each size, and the share of them that is found."""
    sides = np.sqrt(np.concatenate([area(one.truth.boxes)[~one.truth.ignored] for one in judged] or [np.empty(0)]))
    found = np.concatenate([one.found[~one.truth.ignored] for one in judged] or [np.empty(0, np.bool_)])
    bins = np.searchsorted(SIDES, sides, side="right")
    rows: list[list[Child]] = []
    for number in range(len(SIDES) + 1):
        inside = bins == number
        if inside.any():
            low, high = SIDES[number - 1] if number else 0, SIDES[number] if number < len(SIDES) else None
            count, hits = int(inside.sum()), int(found[inside].sum())
            size = f"{low} to {high}" if high is not None else f"{low} and more"
            rows.append([size, bar(count / len(sides), f"{count:,}"), bar(hits / count)])
    heads = ("side in pixels", "objects", "found")
    caption = "Objects by the square root of their area"
    return html_table(*heads, rows=rows, class_="bars", caption=caption)
