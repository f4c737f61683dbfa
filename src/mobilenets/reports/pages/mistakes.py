"""The mistakes that a Model is surest of, as images."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from mobilenets.base.progress import SILENT, Progress
from mobilenets.base.text import percent, plural
from mobilenets.data.dataset import Dataset
from mobilenets.data.image import ImageSource
from mobilenets.engine.activation_map import ActivationMaps
from mobilenets.engine.predictor import Classifier
from mobilenets.errors import DataError, EngineError
from mobilenets.model.model import Model
from mobilenets.reports.pages.markup import Child, Element, name, section, tag

MOST = 30
"""Images that are shown."""
THUMBNAIL = 200
"""Longest side of one, in pixels."""
COARSE = 64
"""Images with fewer pixels a side are shown with their pixels visible."""
QUALITY = 78
HEAT = 170
"""Opacity, of 255, of the red where most speaks for a class."""
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


def mistakes_section(found: Sequence[LabeledPrediction], source: str, model: Model | None = None) -> Element:
    """The section.

    Args:
        found: What the Model said of every test image.
        source: Where the images come from; their names are shown from there on.
        model: The Model, for maps of what spoke for its mistakes; None for none.
    """
    wrong = sorted((one for one in found if one.given != one.truth), key=lambda one: -one.probability)
    unsure = sorted((one for one in found if one.given == one.truth), key=lambda one: one.probability)
    parts: list[Element] = []
    maps = None if model is None else _maps(model)
    if wrong:
        shown = wrong[:MOST]
        words = "All of them" if len(shown) == len(wrong) else f"The {len(shown)} surest of {len(wrong)}"
        parts.append(tag("p", f"{words}, surest first. A wrong label in the data shows up here first."))
        if maps is not None:
            parts.append(tag("p", "Below each, what of it spoke for the wrong class is red (class activation map)."))
        parts.append(_gallery(shown, source, maps))
    else:
        parts.append(tag("p", f"There are none among {plural(len(found), 'test image')}."))
    if len(wrong) < FEW and unsure:
        parts.append(tag("h3", "Right, and least sure"))
        parts.append(_gallery(unsure[: 6 if wrong else 12], source))
    return section("mistakes", "Surest mistakes", parts)


def section_without_images() -> Element:
    """The section where the images are not at hand."""
    return section("mistakes", "Surest mistakes", tag("p", "The images were not at hand when this report was written."))


def section_out_of_time() -> Element:
    """The section where there was no time to look at the images."""
    words = "There was no time left to look at the test images one by one; mobilenets report makes this page whole."
    return section("mistakes", "Surest mistakes", tag("p", words))


def _maps(model: Model) -> ActivationMaps | None:
    """Activation maps, where the network has them."""
    try:
        return ActivationMaps(model)
    except EngineError:
        return None


def _gallery(found: Sequence[LabeledPrediction], source: str, maps: ActivationMaps | None = None) -> Element:
    return tag("ul", [tag("li", _card(one, source, maps)) for one in found], class_="gallery")


def _card(answer: LabeledPrediction, source: str, maps: ActivationMaps | None) -> Element:
    right = answer.given == answer.truth
    called = relative_name(answer.image.name, source)
    words: list[Child]
    if right:
        words = [name(answer.truth), f", {percent(answer.probability, 0)}"]
    else:
        words = [name(answer.truth), " taken for ", tag("b", name(answer.given), class_="wrong")]
        words.append(f", {percent(answer.probability, 0)}")
    return tag(
        "figure",
        thumbnail(answer.image, f"{called}: an image of {answer.truth}, taken for {answer.given}"),
        None if maps is None else _heat_map(answer, maps),
        tag("figcaption", tag("span", words), name(called, class_="file")),
    )


def thumbnail(image: ImageSource, spoken: str) -> Element:
    """An image of a page, small and within it.

    Args:
        image: The image.
        spoken: What is said of it where it is not seen.
    """
    opened = image.open(THUMBNAIL)
    coarse = max(opened.size) < COARSE
    opened.thumbnail((THUMBNAIL, THUMBNAIL), Image.Resampling.LANCZOS)
    return embedded(opened, spoken, coarse=coarse)


def _heat_map(answer: LabeledPrediction, maps: ActivationMaps) -> Element:
    """The image in gray, with what spoke for its answer in red."""
    opened = answer.image.open(THUMBNAIL)
    opened.thumbnail((THUMBNAIL, THUMBNAIL), Image.Resampling.LANCZOS)
    values, (left, top, right, bottom) = maps.of(answer.image, answer.given)
    strength = np.clip(values, 0, None) / max(float(values.max()), 1e-6)
    size = max(1, round((right - left) * opened.width)), max(1, round((bottom - top) * opened.height))
    heat = Image.fromarray((HEAT * strength).astype(np.uint8)).resize(size, Image.Resampling.BICUBIC)
    mask = Image.new("L", opened.size)
    mask.paste(heat, (round(left * opened.width), round(top * opened.height)))
    shown = opened.convert("L").convert("RGB")
    shown.paste((255, 0, 0), mask=mask)
    return embedded(shown, f"What of it spoke for {answer.given}, in red", coarse=False)


def embedded(shown: Image.Image, spoken: str, *, coarse: bool) -> Element:
    """An image within a page.

    Args:
        shown: The image, as large as it is shown.
        spoken: What is said of it where it is not seen.
        coarse: Whether its pixels are to be seen; it is then kept exactly.
    """
    content = io.BytesIO()
    if coarse:
        shown.save(content, "PNG", optimize=True)
    else:
        shown.save(content, "JPEG", quality=QUALITY, optimize=True)
    kind = "png" if coarse else "jpeg"
    source = f"data:image/{kind};base64,{base64.b64encode(content.getvalue()).decode()}"
    width, height = shown.size
    return tag("img", src=source, alt=spoken, width=width, height=height, class_="pixels" if coarse else None)


def relative_name(path: str, source: str) -> str:
    """An image's name from its source on: where that lies is nobody's business who reads the report."""
    try:
        return str(Path(path).relative_to(source))
    except ValueError:
        return "/".join(Path(path).parts[-2:])
