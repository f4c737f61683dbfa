"""Images whose labels are probably wrong, by all the other images."""

from __future__ import annotations

from collections.abc import Sequence

from mobilenets.base.progress import SILENT, Progress
from mobilenets.base.text import percent
from mobilenets.data.dataset import Dataset
from mobilenets.engine.label_errors import SuspectLabel, suspect_labels
from mobilenets.errors import MobileNetsError
from mobilenets.formats.available import available_weights
from mobilenets.formats.loading import load_model
from mobilenets.model.model import Model
from mobilenets.reports.pages.markup import Element, name, section, tag
from mobilenets.reports.pages.mistakes import relative_name, thumbnail

MOST = 30
"""Images that are shown."""
MOST_IMAGES, FEWEST_IMAGES = 20_000, 100
"""Training images of which so many at most, and at least, are judged."""
SMALLEST_SIDE = 64
"""Pixels of a network's input below which its features tell labels poorly."""


def judged_labels(model: Model, dataset: Dataset, *, progress: Progress = SILENT) -> list[SuspectLabel] | None:
    """The training images whose labels are probably wrong; None where they were not judged.

    Published weights that are in the cache judge them, for they were not trained on these labels; else the Model.

    Args:
        model: What was trained on the images.
        dataset: The images.
        progress: Receives progress updates.
    """
    if not FEWEST_IMAGES <= len(dataset.train) <= MOST_IMAGES:
        return None
    try:
        judge = next((load_model(one.short_name) for one in available_weights() if one.cached), model)
        if judge.network.height < SMALLEST_SIDE:
            return None
        return suspect_labels(judge, dataset.train, dataset.labels, progress=progress)
    except MobileNetsError as error:
        progress.note(f"labels were not judged: {error}")
        return None


def labels_section(found: Sequence[SuspectLabel], total: int, source: str) -> Element:
    """The section.

    Args:
        found: Images whose labels are probably wrong, surest first.
        total: Number of training images.
        source: Where the images come from; their names are shown from there on.
    """
    if not found:
        words = f"None of the {total:,} training images has a label that the others contradict."
        return section("labels", "Probable label errors", tag("p", words))
    words = (
        f"{len(found):,} of the {total:,} training images have a label that all others together make improbable: each "
        "is judged by a classifier that was fitted without it. Rare images that are labeled rightly may be among them."
    )
    shown = tag("ul", [tag("li", _card(one, source)) for one in found[:MOST]], class_="gallery")
    more = [relative_name(one.image.name, source) for one in found[MOST:]]
    rest = tag("ul", [tag("li", name(one, class_="file")) for one in more])
    others = tag("details", tag("summary", f"and {len(more):,} more"), rest) if more else None
    return section("labels", "Probable label errors", tag("p", words), shown, others)


def _card(one: SuspectLabel, source: str) -> Element:
    called = relative_name(one.image.name, source)
    likelier = tag("b", name(one.likelier), class_="wrong")
    return tag(
        "figure",
        thumbnail(one.image, f"{called}: labeled {one.label}, probably {one.likelier}"),
        tag(
            "figcaption",
            tag("span", [name(one.label), ", rather ", likelier, f", {percent(one.probability, 0)}"]),
            name(called, class_="file"),
        ),
    )
