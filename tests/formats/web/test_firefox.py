"""The page in another browser: Firefox, whose engine compiles WebAssembly in its own way."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.support.detectors import detector
from tests.support.firefox import Firefox, firefox
from tests.support.image_page import ANSWERED
from tests.support.random_models import random_int8_model

from mobilenets.architecture.networks.mobilenet_v1 import mobilenet_v1
from mobilenets.engine.detector import Detector
from mobilenets.engine.session import Session
from mobilenets.formats.exporting import export
from mobilenets.formats.web.engine import FOLDER
from mobilenets.model.model import Model
from mobilenets.tasks.classification import Classification

pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason="the package was built without the engine for pages")


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Firefox]:
    with firefox(tmp_path_factory.mktemp("profile")) as found:
        yield found


def opened(page: Firefox, model: Model, path: Path) -> None:
    export(model, path, verify=False)
    page.visit(path.as_uri())
    page.wait_for("'ready' in document.body.dataset")


def looked_at(page: Firefox, name: str) -> None:
    if folder := os.environ.get("MOBILENETS_SCREENSHOTS"):
        page.screenshot(Path(folder) / f"{name}.png")


def test_labels_of_an_image_and_of_the_camera(page: Firefox, tmp_path: Path) -> None:
    network = mobilenet_v1(width_multiplier=0.25, resolution=64, classes=3)
    task = Classification(("paper", "scissors", "stone"))
    model = random_int8_model(np.random.default_rng(0), network, task=task)
    opened(page, model, tmp_path / "page.html")
    pixels = np.random.default_rng(4).integers(0, 256, (211, 333, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "noise.png")
    page.choose(tmp_path / "noise.png")
    page.wait_for(f"{ANSWERED} === 1")
    looked_at(page, "firefox-labels")
    # What its canvas shows may not be quite what is in the file: numbers are compared from the input on.
    found = page.evaluate(
        "(async () => { const model = await loading, image = document.querySelector('.card canvas');"
        " const input = await model.prepared(image), outputs = await model.outputs(image);"
        " return {input: [...input], logits: [...Object.values(outputs)[0]]}; })()"
    )
    taken = np.array(found["input"], np.uint8).reshape(1, network.height, network.width, 3)
    np.testing.assert_array_equal(np.array(found["logits"], np.float32), Session(model, threads=1).run(taken)[0])
    page.evaluate("document.getElementById('start').click()")
    page.wait_for("document.querySelector('#live .time')?.innerText")
    page.evaluate("document.getElementById('stop').click()")


def test_boxes_of_a_detector(page: Firefox, tmp_path: Path) -> None:
    network, task = detector(64)
    model = random_int8_model(np.random.default_rng(4), network, task=task)
    opened(page, model, tmp_path / "page.html")
    pixels = np.random.default_rng(4).integers(0, 256, (200, 300, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "noise.png")
    page.choose(tmp_path / "noise.png")
    page.wait_for(f"{ANSWERED} === 1")
    looked_at(page, "firefox-boxes")
    expected = Detector(model, threads=1).predict(tmp_path / "noise.png").boxes
    said = page.evaluate("document.querySelector('.card canvas').getAttribute('aria-label')")
    assert said.startswith(f"{len(expected)} found: {expected[0].label}")
