"""A page with a Model inside, opened from disk in a real browser with a camera that is not one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.support.browser import Browser, browser
from tests.support.image_page import ANSWERED, CAMERA, CARDS, SMALLEST_TARGET, UNNAMED, choose, files, looked_at, widest
from tests.support.random_models import random_int8_model
from tests.support.server import in_base64, photo

from mobilenets.architecture.networks.mobilenet_v1 import mobilenet_v1
from mobilenets.engine.session import Session
from mobilenets.formats.exporting import export
from mobilenets.formats.web.engine import FOLDER
from mobilenets.model.model import Model
from mobilenets.tasks.classification import Classification
from mobilenets.tasks.task import Geometry

pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason="the package was built without the engine for pages")

LABELS = ("Staffordshire bull terrier", "<b>cat</b>", "Großer Schweizer Sennenhund " * 3)
READY = "'ready' in document.body.dataset"
WIDEST = widest(but="script")


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browser(tmp_path_factory.mktemp("profile"), *CAMERA) as found:
        yield found


@pytest.fixture(scope="module")
def model() -> Model:
    network = mobilenet_v1(width_multiplier=0.25, resolution=64, classes=3)
    return random_int8_model(np.random.default_rng(0), network, task=Classification(LABELS, temperature=1.5))


@pytest.fixture(scope="module")
def address(model: Model, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("pets") / "page.html"
    export(model, path, verify=False, title="Pets")
    return path.as_uri()


def visit(page: Browser, address: str, width: int = 1280, *, dark: bool = False) -> None:
    page.visit(address, width=width, height=844 if width < 500 else 900, dark=dark)
    page.wait_for(READY)


@pytest.mark.parametrize("width", [390, 1280])
def test_images_that_are_chosen_get_labels(width: int, page: Browser, address: str, tmp_path: Path) -> None:
    visit(page, address, width)
    looked_at(page, f"web-empty-{width}")
    paths = [tmp_path / f"a photo with a rather long name, number {number}.jpg" for number in range(3)]
    for number, path in enumerate(paths):
        path.write_bytes(photo(number, size=(300, 200 + 60 * number)))
    (tmp_path / "not an image.jpg").write_bytes(b"<!DOCTYPE html>")
    choose(page, *paths, tmp_path / "not an image.jpg")
    page.wait_for(f"{ANSWERED} === 4")
    looked_at(page, f"web-results-{width}")
    assert page.evaluate("document.querySelectorAll('.labels').length") == 3
    assert "cannot read this as an image" in page.evaluate("document.querySelector('.card .bad').innerText")
    assert page.evaluate("document.querySelector('.labels').children.length") == 3
    assert page.evaluate("document.querySelector('.labels b')") is None, "labels are text"
    assert page.evaluate("document.querySelector('.time').innerText").endswith(" ms")
    assert page.evaluate(WIDEST) <= width + 0.5
    assert page.evaluate(SMALLEST_TARGET) >= 44
    assert page.evaluate(UNNAMED) == 0
    assert page.complaints == []
    assert [one for one in page.requested if not one.startswith("blob:")] == [address]


def test_the_numbers_are_the_engines(page: Browser, address: str, model: Model, tmp_path: Path) -> None:
    """PNG, which every decoder reads alike: the same input, the same logits, bit for bit."""
    visit(page, address)
    pixels = np.random.default_rng(4).integers(0, 256, (211, 333, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "noise.png")
    content = in_base64((tmp_path / "noise.png").read_bytes())
    found = page.evaluate(
        f"""(async () => {{
          const bytes = Uint8Array.from(atob('{content}'), c => c.charCodeAt(0));
          const image = new Blob([bytes], {{type: 'image/png'}}), model = await loading;
          const input = await model.prepared(image), outputs = await model.outputs(image);
          const prediction = await model.predict(image);
          return {{input: [...input], logits: [...Object.values(outputs)[0]], labels: prediction.labels,
                   set: model.instructionSet}};
        }})()"""
    )
    network = model.network
    expected = model.preprocessing.apply(Image.fromarray(pixels), network.height, network.width)
    np.testing.assert_array_equal(np.array(found["input"], np.uint8), expected.reshape(-1))
    logits = Session(model, threads=1).run(expected[None])
    np.testing.assert_array_equal(np.array(found["logits"], np.float32), logits[0])
    (prediction,) = model.task.decode([logits], [Geometry("noise.png", size=(333, 211), box=(0, 0, 333, 211))])
    said = prediction.to_json()["labels"]
    assert [each["label"] for each in found["labels"]] == [each["label"] for each in said]
    np.testing.assert_allclose(
        [each["probability"] for each in found["labels"]], [each["probability"] for each in said], rtol=1e-6
    )
    assert found["set"] in ("wasm_relaxed_simd", "wasm_simd"), json.dumps(found["set"])


def test_images_are_dropped_and_pasted(page: Browser, address: str) -> None:
    visit(page, address)
    dropped = files(photo(1), photo(2))
    page.evaluate(f"document.dispatchEvent(new DragEvent('drop', {{dataTransfer: {dropped}, cancelable: true}}))")
    page.wait_for(f"{ANSWERED} === 2")
    page.evaluate(f"document.dispatchEvent(new ClipboardEvent('paste', {{clipboardData: {files(photo(3))}}}))")
    page.wait_for(f"{ANSWERED} === 3")
    assert page.evaluate("document.querySelector('[role=status]').innerText").startswith("file 0.jpg: ")
    page.evaluate("document.dispatchEvent(new ClipboardEvent('paste', {clipboardData: new DataTransfer()}))")
    assert page.evaluate("document.querySelector('[role=alert]').innerText") == "That holds no image."
    page.evaluate("document.getElementById('clear').click()")
    assert page.evaluate(f"{CARDS}.length") == 0


@pytest.mark.parametrize("width", [390, 1280])
def test_the_camera_is_labelled_as_it_runs(width: int, page: Browser, address: str) -> None:
    visit(page, address, width)
    page.evaluate("document.getElementById('start').click()")
    page.wait_for("document.querySelector('#live .time')?.innerText")
    page.evaluate("document.querySelector('#live .time').dataset.first = ''")
    page.wait_for(
        "document.querySelector('#live .time') && !('first' in document.querySelector('#live .time').dataset)"
    )
    looked_at(page, f"web-camera-{width}")
    assert page.evaluate(WIDEST) <= width + 0.5
    page.evaluate("document.getElementById('keep').click()")
    page.wait_for(f"{ANSWERED} === 1")
    page.evaluate("document.getElementById('stop').click()")
    assert page.evaluate("document.getElementById('camera').hidden")
    assert page.evaluate("document.activeElement.id") == "start"


def test_the_keyboard_alone_is_enough(page: Browser, address: str) -> None:
    visit(page, address)
    reached = []
    for _ in range(2):
        page.press("Tab", 9)
        reached.append(page.evaluate("document.activeElement.id"))
    assert reached == ["file", "start"]
    page.press("Enter", 13, "\r")
    page.wait_for("!document.getElementById('camera').hidden")
    page.press("Enter", 13, "\r")  # the focus is on the button that stops it
    page.wait_for("document.getElementById('camera').hidden")


def test_it_is_dark_where_the_system_is(page: Browser, address: str) -> None:
    visit(page, address, 390, dark=True)
    page.evaluate(f"document.dispatchEvent(new ClipboardEvent('paste', {{clipboardData: {files(photo(3))}}}))")
    page.wait_for(f"{ANSWERED} === 1")
    looked_at(page, "web-dark-390")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(22, 24, 27)"
