"""The mistakes that a Model is surest of, as images."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from mobilenets.base.progress import SILENT, Progress
from mobilenets.base.text import percent, plural
from mobilenets.data.dataset import Dataset
from mobilenets.data.image import ImageSource
from mobilenets.engine.predictor import Classifier
from mobilenets.errors import DataError
from mobilenets.model.model import Model
from mobilenets.reports.pages.markup import Child, Element, name, section, tag

MOST = 30
"""Images that are shown."""
THUMBNAIL = 200
"""Longest side of one, in pixels."""
COARSE = 64
"""Images with fewer pixels a side are shown with their pixels visible."""
QUALITY = 78
FEW = 4
"""With fewer mistakes than this, the right answers that were least sure are shown too."""


@dataclass(frozen=True, eq=False)
class LabeledPrediction:
    """What a Model said of one labeled image.

    Attributes:
        image: The image.
        truth: Its class.
        given: The likeliest class.
        probability: Of that.
    """

    image: ImageSource
    truth: str
    given: str
    probability: float


def predict_all(model: Model, dataset: Dataset, *, progress: Progress = SILENT) -> list[LabeledPrediction]:
    """What a Model says of every test image that can be decoded."""
    classifier = Classifier(model)
    subset = dataset.test
    found = []
    with progress.task("predicting", len(subset), "images") as task:
        predictions = classifier.predict_many(subset.images, top=1)
        for image, target, given in zip(subset.images, subset.targets, predictions, strict=True):
            task.advance()
            if not isinstance(given, DataError):
                found.append(LabeledPrediction(image, dataset.labels[target], given.label, given.probability))
    return found


def mistakes_section(found: Sequence[LabeledPrediction], source: str) -> Element:
    """The section.

    Args:
        found: What the Model said of every test image.
        source: Where the images come from; their names are shown from there on.
    """
    wrong = sorted((one for one in found if one.given != one.truth), key=lambda one: -one.probability)
    unsure = sorted((one for one in found if one.given == one.truth), key=lambda one: one.probability)
    parts: list[Element] = []
    if wrong:
        shown = wrong[:MOST]
        words = "All of them" if len(shown) == len(wrong) else f"The {len(shown)} surest of {len(wrong)}"
        parts.append(tag("p", f"{words}, surest first. A wrong label in the data shows up here first."))
        parts.append(_gallery(shown, source))
    else:
        parts.append(tag("p", f"There are none among {plural(len(found), 'test image')}."))
    if len(wrong) < FEW and unsure:
        parts.append(tag("h3", "Right, and least sure"))
        parts.append(_gallery(unsure[: 6 if wrong else 12], source))
    return section("mistakes", "Surest mistakes", parts)


def section_without_images() -> Element:
    """The section where the images are not at hand."""
    return section("mistakes", "Surest mistakes", tag("p", "The images were not at hand when this report was written."))


def _gallery(found: Sequence[LabeledPrediction], source: str) -> Element:
    return tag("ul", [tag("li", _card(one, source)) for one in found], class_="gallery")


def _card(answer: LabeledPrediction, source: str) -> Element:
    right = answer.given == answer.truth
    called = _relative(answer.image.name, source)
    words: list[Child]
    if right:
        words = [name(answer.truth), f", {percent(answer.probability, 0)}"]
    else:
        words = [name(answer.truth), " taken for ", tag("b", name(answer.given), class_="wrong")]
        words.append(f", {percent(answer.probability, 0)}")
    return tag(
        "figure",
        _thumbnail(answer.image, f"{called}: an image of {answer.truth}, taken for {answer.given}"),
        tag("figcaption", tag("span", words), name(called, class_="file")),
    )


def _thumbnail(image: ImageSource, spoken: str) -> Element:
    opened = image.open(THUMBNAIL)
    coarse = max(opened.size) < COARSE
    opened.thumbnail((THUMBNAIL, THUMBNAIL), Image.Resampling.LANCZOS)
    content = io.BytesIO()
    if coarse:
        opened.save(content, "PNG", optimize=True)
    else:
        opened.save(content, "JPEG", quality=QUALITY, optimize=True)
    kind = "png" if coarse else "jpeg"
    source = f"data:image/{kind};base64,{base64.b64encode(content.getvalue()).decode()}"
    width, height = opened.size
    return tag("img", src=source, alt=spoken, width=width, height=height, class_="pixels" if coarse else None)


def _relative(path: str, source: str) -> str:
    """An image's name from its source on: where that lies is nobody's business who reads the report."""
    try:
        return str(Path(path).relative_to(source))
    except ValueError:
        return "/".join(Path(path).parts[-2:])
