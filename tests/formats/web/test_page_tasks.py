"""Pages of Models that say something else than one label: boxes, several labels, unknown, numbers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.support.browser import Browser, browser
from tests.support.detectors import detector
from tests.support.image_page import ANSWERED, CAMERA, SMALLEST_TARGET, UNNAMED, choose, looked_at, widest
from tests.support.random_models import random_int8_model

from mobilenets.architecture.networks.mobilenet_v1 import mobilenet_v1
from mobilenets.engine.detector import Detector
from mobilenets.engine.predictor import Predictor
from mobilenets.formats.exporting import export
from mobilenets.formats.web.engine import FOLDER
from mobilenets.model.features import feature_model
from mobilenets.model.model import Model
from mobilenets.model.preprocessing import Preprocessing, ResizeMode
from mobilenets.tasks.classification import Classification
from mobilenets.tasks.detection import DetectedBox
from mobilenets.tasks.multilabel import MultiLabel
from mobilenets.tasks.task import Task
from mobilenets.tasks.unknown import UnknownThreshold

pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason="the package was built without the engine for pages")

WIDEST = widest(but="script")
COLORS = ((0xC2, 0x18, 0x5B), (0x2E, 0x7D, 0x32), (0x15, 0x65, 0xC0))
"""Of the first classes."""
LABELS = ("beach", "boat", "cloud", "crowd", "dog", "night", "people", "rain", "road", "snow", "sun", "tree")


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browser(tmp_path_factory.mktemp("profile"), *CAMERA) as found:
        yield found


def opened(page: Browser, model: Model, path: Path, width: int = 1280) -> None:
    """Export a Model as a page, and open it."""
    export(model, path, verify=False)
    page.visit(path.as_uri(), width=width, height=844 if width < 500 else 900)
    page.wait_for("'ready' in document.body.dataset")


def letterboxing_detector(score_threshold: float = 0.5) -> Model:
    network, task = detector(64)
    task = replace(task, score_threshold=score_threshold, iou_threshold=0.1)
    model = random_int8_model(np.random.default_rng(4), network, task=task)
    return replace(model, preprocessing=Preprocessing(fit=ResizeMode.LETTERBOX))


def classifier(task: Task, classes: int) -> Model:
    network = mobilenet_v1(width_multiplier=0.25, resolution=32, classes=classes)
    return random_int8_model(np.random.default_rng(0), network, task=task)


def noise(path: Path, size: tuple[int, int]) -> Path:
    pixels = np.random.default_rng(size[0]).integers(0, 256, (size[1], size[0], 3), np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def lines(page: Browser, inside: str) -> list[str]:
    """The lines of the list of an answer."""
    entries = f"[...document.querySelector('{inside} .labels').children].map(each => each.innerText)"
    return [" ".join(line.split()).replace(" ,", ",") for line in page.evaluate(entries)]


def has_edge(page: Browser, box: DetectedBox, scale: float) -> bool:
    """Whether the left edge of a box is drawn in its color, but for the names of others that lie over it."""
    left, top, _, bottom = (int(scale * side) for side in box.box)
    canvas = "document.querySelector('.card canvas').getContext('2d')"
    column = np.array(page.evaluate(f"[...{canvas}.getImageData({left}, {top}, 1, {bottom - top}).data]")).reshape(
        -1, 4
    )
    return bool((column[:, :3] == COLORS[(box.index + 1) % 7]).all(axis=1).mean() > 0.4)


@pytest.mark.parametrize("width", [390, 1280])
def test_boxes_are_drawn_where_python_finds_them(width: int, page: Browser, tmp_path: Path) -> None:
    model = letterboxing_detector()
    opened(page, model, tmp_path / "page.html", width)
    image = noise(tmp_path / "noise.png", (300, 200))
    expected = Detector(model, threads=1).predict(image).boxes
    assert expected
    choose(page, image)
    page.wait_for(f"{ANSWERED} === 1")
    looked_at(page, f"web-boxes-{width}")
    canvas = "document.querySelector('.card canvas')"
    assert page.evaluate(f"[{canvas}.width, {canvas}.height]") == [300, 200]
    names = ", ".join(box.label for box in expected[:8])
    assert page.evaluate(f"{canvas}.getAttribute('aria-label')") == f"{len(expected)} found: {names}"
    assert page.evaluate("document.querySelector('[role=status]').innerText").startswith("noise.png: ")
    shown = [f"{box.label} {100 * box.score:.1f} %" for box in expected[:8]]
    more = [f"and {len(expected) - 8} more"] if len(expected) > 8 else []
    assert lines(page, ".card") == shown + more
    assert has_edge(page, expected[0], 1)
    assert page.evaluate(WIDEST) <= width + 0.5
    assert page.evaluate(SMALLEST_TARGET) >= 44
    assert page.evaluate(UNNAMED) == 0
    assert page.complaints == []


@pytest.mark.parametrize("width", [390, 1280])
def test_boxes_are_drawn_on_what_the_camera_sees(width: int, page: Browser, tmp_path: Path) -> None:
    opened(page, letterboxing_detector(0.1), tmp_path / "page.html", width)
    page.evaluate("document.getElementById('start').click()")
    page.wait_for("document.querySelectorAll('#live .labels li').length")
    looked_at(page, f"web-camera-boxes-{width}")
    marks = "document.getElementById('marks')"
    drawn = f"{marks}.getContext('2d').getImageData(0, 0, {marks}.width, {marks}.height).data.some(Boolean)"
    page.wait_for(drawn)
    same_place = (
        "(() => { const [a, b] = ['marks', 'video'].map(id => document.getElementById(id).getBoundingClientRect());"
        " return [a.x - b.x, a.y - b.y, a.width - b.width, a.height - b.height]; })()"
    )
    assert page.evaluate(same_place) == [0, 0, 0, 0]
    size = f"[{marks}.width - video.videoWidth, {marks}.height - video.videoHeight]"
    assert page.evaluate(size) == [0, 0]
    page.evaluate("document.getElementById('keep').click()")
    page.wait_for(f"{ANSWERED} === 1")
    page.evaluate("document.getElementById('stop').click()")
    assert page.evaluate("document.getElementById('camera').hidden")
    assert page.complaints == []


def test_boxes_of_a_small_copy_are_in_pixels_of_the_image(page: Browser, tmp_path: Path) -> None:
    """Large images are drawn small, and their boxes with them; what the Model says is in pixels of the whole image."""
    model = letterboxing_detector()
    opened(page, model, tmp_path / "page.html")
    image = noise(tmp_path / "large.png", (2400, 900))
    expected = Detector(model, threads=1).predict(image).boxes
    choose(page, image)
    page.wait_for(f"{ANSWERED} === 1")
    canvas = "document.querySelector('.card canvas')"
    assert page.evaluate(f"[{canvas}.width, {canvas}.height]") == [960, 360]
    assert has_edge(page, expected[0], 0.4)


def test_several_labels_are_shown_with_their_thresholds(page: Browser, tmp_path: Path) -> None:
    thresholds = tuple(0.05 * (number + 1) for number in range(len(LABELS)))
    model = classifier(MultiLabel(LABELS, thresholds), len(LABELS))
    opened(page, model, tmp_path / "page.html", 390)
    image = noise(tmp_path / "noise.png", (300, 200))
    choose(page, image)
    page.wait_for(f"{ANSWERED} === 1")
    looked_at(page, "web-labels-390")
    said = Predictor(model, threads=1).predict(image).to_json()
    given = [each["label"] for each in said["labels"]]
    assert 0 < len(given) < len(LABELS)
    rest = sorted(set(LABELS) - set(given), key=lambda label: -said["probabilities"][label])
    others = rest[: max(0, 8 - len(given))]
    share = {label: f"{100 * said['probabilities'][label]:.1f} %" for label in LABELS}
    expected = [f"{label} {share[label]}" for label in given]
    expected += [f"{label}, not given {share[label]}" for label in others]
    expected += [f"and {len(rest) - len(others)} more"] if len(rest) > len(others) else []
    assert lines(page, ".card") == expected
    lefts = "[...document.querySelectorAll('.card .least')].map(each => parseFloat(each.style.width) / 100)"
    assert page.evaluate(lefts) == pytest.approx([thresholds[LABELS.index(label)] for label in given + others])
    assert page.evaluate("document.querySelector('[role=status]').innerText") == f"noise.png: {', '.join(given)}"
    assert page.complaints == []


def test_an_image_without_any_label_says_so(page: Browser, tmp_path: Path) -> None:
    opened(page, classifier(MultiLabel(LABELS, (1.0,) * len(LABELS)), len(LABELS)), tmp_path / "page.html")
    choose(page, noise(tmp_path / "noise.png", (300, 200)))
    page.wait_for(f"{ANSWERED} === 1")
    assert page.evaluate("document.querySelector('.card').innerText").count("None of the labels.") == 1
    assert page.evaluate("document.querySelector('[role=status]').innerText") == "noise.png: none of the labels"


def test_a_classifier_that_knows_its_limits_says_unknown(page: Browser, tmp_path: Path) -> None:
    task = Classification(("paper", "scissors", "stone"), unknown=UnknownThreshold(energy=1e3, images=50))
    opened(page, classifier(task, 3), tmp_path / "page.html")
    choose(page, noise(tmp_path / "noise.png", (300, 200)))
    page.wait_for(f"{ANSWERED} === 1")
    assert page.evaluate("document.querySelector('.card p.first').innerText") == "unknown"
    assert len(lines(page, ".card")) == 3
    assert page.evaluate("document.querySelector('[role=status]').innerText") == "noise.png: unknown"


def test_features_are_shown_as_numbers(page: Browser, tmp_path: Path) -> None:
    model = feature_model(classifier(Classification(("paper", "scissors", "stone")), 3))
    opened(page, model, tmp_path / "page.html")
    choose(page, noise(tmp_path / "noise.png", (300, 200)))
    page.wait_for(f"{ANSWERED} === 1")
    assert page.evaluate("document.querySelector('.card .labels').innerText").startswith("256 numbers: ")


def test_what_the_browser_cannot_read_is_said_with_the_way_out(page: Browser, tmp_path: Path) -> None:
    opened(page, classifier(Classification(("paper", "scissors", "stone")), 3), tmp_path / "page.html")
    (tmp_path / "phone.heic").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100))
    choose(page, tmp_path / "phone.heic")
    page.wait_for(f"{ANSWERED} === 1")
    said = page.evaluate("document.querySelector('.card .bad').innerText")
    assert "HEIC" in said
    assert "Safari" in said
    assert "most compatible" in said
