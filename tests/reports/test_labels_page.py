"""The pages that show images: probable label errors, and what spoke for a mistake."""

from __future__ import annotations

import numpy as np
from tests.support.random_models import random_model

from mobilenets.architecture.networks.mobilenet_v1 import mobilenet_v1
from mobilenets.data.dataset import Dataset
from mobilenets.data.image import ArrayImage
from mobilenets.data.subset import Subset
from mobilenets.engine.label_errors import SuspectLabel, suspect_labels
from mobilenets.model.model import Model
from mobilenets.reports.pages.labels import MOST, judged_labels, labels_section
from mobilenets.reports.pages.markup import to_html
from mobilenets.reports.pages.mistakes import LabeledPrediction, mistakes_section
from mobilenets.tasks.classification import Classification


def model(resolution: int = 64) -> Model:
    network = mobilenet_v1(width_multiplier=0.25, resolution=resolution, classes=2)
    return random_model(np.random.default_rng(0), network, task=Classification(("dark", "light")))


def images(count: int) -> Subset:
    rng = np.random.default_rng(0)
    pixels = [rng.integers(0, 60, (80, 100, 3), np.uint8) + np.uint8(150 * (number % 2)) for number in range(count)]
    return Subset(tuple(ArrayImage(f"photos/{n}.png", one) for n, one in enumerate(pixels)), np.arange(count) % 2)


def test_an_image_under_a_wrong_label_is_suspected() -> None:
    subset = images(60)
    targets = subset.targets.copy()
    targets[10] = 1
    (found,) = suspect_labels(model(), Subset(subset.images, targets), ("dark", "light"))
    assert (found.image.name, found.label, found.likelier) == ("photos/10.png", "light", "dark")
    page = to_html(labels_section([found], 60, "photos"))
    assert "1 of the 60 training images have a label" in page
    assert page.count("<img ") == 1
    assert ">10.png<" in page


def test_many_suspects_are_listed_by_name_and_none_is_said() -> None:
    image = ArrayImage("photos/a.png", np.zeros((9, 9, 3), np.uint8))
    page = to_html(labels_section([SuspectLabel(image, "a", "b", 0.9, 0.01)] * (MOST + 3), 900, "photos"))
    assert page.count("<img ") == MOST
    assert "and 3 more" in page
    assert "None of the 900 training images" in to_html(labels_section([], 900, "photos"))


def test_small_networks_and_few_images_judge_no_labels() -> None:
    few = images(20)
    dataset = Dataset(("dark", "light"), few, few, few, "", "memory")
    assert judged_labels(model(), dataset) is None


def test_a_mistake_is_shown_with_what_spoke_for_it() -> None:
    wrong = LabeledPrediction(images(1).images[0], "dark", "light", 0.8)
    assert to_html(mistakes_section([wrong], "photos")).count("<img ") == 1
    page = to_html(mistakes_section([wrong], "photos", model()))
    assert page.count("<img ") == 2
    assert "What of it spoke for light, in red" in page
