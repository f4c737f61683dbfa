"""The page for people, in a real browser with a camera that is not one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.support.browser import Browser, browser
from tests.support.detectors import detector
from tests.support.image_page import ANSWERED, CAMERA, CARDS, SMALLEST_TARGET, UNNAMED, choose, files, looked_at, widest
from tests.support.random_models import random_model
from tests.support.server import ask, photo, small_model, write_model

from mobilenets.model.file import save
from mobilenets.serving.server import ServerOptions, serving
from mobilenets.tasks.multilabel import MultiLabel

KEY = "a-key-of-more-than-16-characters"
READY = "!document.getElementById('work').hidden"
WIDEST = widest(but="pre")


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browser(tmp_path_factory.mktemp("profile"), *CAMERA) as found:
        yield found


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("pets")
    labels = ("Staffordshire bull terrier", "<b>cat</b>", "Großer Schweizer Sennenhund " * 3)
    write_model(folder / "pets" / "model.safetensors", labels=labels)
    (folder / "pets" / "report.html").write_text("<title>Report</title><h1>How good it is</h1>")
    write_model(folder / "hands" / "model.safetensors", seed=1)
    with serving([folder / "pets", folder / "hands"]) as found:
        yield found


def visit(page: Browser, address: str, width: int = 1280, *, dark: bool = False) -> None:
    page.visit(address, width=width, height=844 if width < 500 else 900, dark=dark)
    page.wait_for(READY)


@pytest.mark.parametrize("width", [390, 1280])
def test_images_that_are_chosen_get_labels(width: int, page: Browser, address: str, tmp_path: Path) -> None:
    visit(page, address, width)
    looked_at(page, f"empty-{width}")
    paths = [tmp_path / f"a photo with a rather long name, number {number}.jpg" for number in range(5)]
    for number, path in enumerate(paths):
        path.write_bytes(photo(number, size=(300, 200 + 60 * number)))
    (tmp_path / "not an image.jpg").write_bytes(b"<!DOCTYPE html>")
    choose(page, *paths, tmp_path / "not an image.jpg")
    page.wait_for(f"{ANSWERED} === 6")
    looked_at(page, f"results-{width}")
    assert page.evaluate("document.querySelectorAll('.labels').length") == 5
    assert "is a web page" in page.evaluate("document.querySelector('.card .bad').innerText")
    assert page.evaluate("document.querySelector('.labels').children.length") == 3
    assert page.evaluate("document.querySelector('.labels b')") is None, "labels are text"
    assert "ms on the server" in page.evaluate("document.querySelector('.time').innerText")
    assert page.evaluate(WIDEST) <= width + 0.5
    assert page.evaluate(SMALLEST_TARGET) >= 44
    assert page.evaluate(UNNAMED) == 0
    assert [one for one in page.complaints if "'level': 'verbose'" not in one and "422" not in one] == []
    assert all(one.startswith((address, "blob:")) for one in page.requested)


def test_images_are_dropped_and_pasted(page: Browser, address: str) -> None:
    visit(page, address)
    dropped = files(photo(1), photo(2))
    page.evaluate(f"document.dispatchEvent(new DragEvent('drop', {{dataTransfer: {dropped}, cancelable: true}}))")
    page.wait_for(f"{ANSWERED} === 2")
    page.evaluate(f"document.dispatchEvent(new ClipboardEvent('paste', {{clipboardData: {files(photo(3))}}}))")
    page.wait_for(f"{ANSWERED} === 3")
    page.evaluate("document.getElementById('clear').click()")
    assert page.evaluate(f"{CARDS}.length") == 0


@pytest.mark.parametrize("width", [390, 1280])
def test_the_camera_is_labelled_as_it_runs(width: int, page: Browser, address: str) -> None:
    visit(page, address, width)
    page.evaluate("document.getElementById('start').click()")
    first = page.wait_for("document.querySelector('#live .time')?.innerText")
    page.wait_for(f"document.querySelector('#live .time')?.innerText !== {first!r}")
    looked_at(page, f"camera-{width}")
    page.evaluate("document.getElementById('keep').click()")
    page.wait_for(f"{ANSWERED} === 1")
    page.evaluate("document.getElementById('stop').click()")
    assert page.evaluate("document.getElementById('camera').hidden")
    assert page.evaluate("document.activeElement.id") == "start"


def test_the_keyboard_alone_is_enough(page: Browser, address: str) -> None:
    visit(page, address)
    reached = []
    for _ in range(6):
        page.press("Tab", 9)
        reached.append(page.evaluate("document.activeElement.id || document.activeElement.innerText"))
    assert reached[:4] == ["How good it is", "model", "file", "start"]
    assert page.evaluate("getComputedStyle(document.getElementById('start')).outlineStyle") is not None
    visit(page, address)
    page.evaluate("document.getElementById('start').focus()")
    page.press("Enter", 13, "\r")
    page.wait_for("!document.getElementById('camera').hidden")
    page.press("Enter", 13, "\r")  # the focus is on the button that stops it
    page.wait_for("document.getElementById('camera').hidden")


def test_what_happens_is_said_to_screen_readers(page: Browser, address: str) -> None:
    visit(page, address)
    assert page.evaluate("document.documentElement.lang") == "en"
    assert page.evaluate("document.querySelectorAll('main, h1').length") == 2
    page.evaluate(f"document.dispatchEvent(new ClipboardEvent('paste', {{clipboardData: {files(photo(3))}}}))")
    said = page.wait_for("document.querySelector('[role=status]').innerText")
    assert said.startswith("file 0.jpg: ")
    assert "%" in said
    page.evaluate("document.dispatchEvent(new ClipboardEvent('paste', {clipboardData: new DataTransfer()}))")
    assert page.evaluate("document.querySelector('[role=alert]').innerText") == "That holds no image."


def test_another_model_and_its_report(page: Browser, address: str) -> None:
    visit(page, address)
    assert page.evaluate("document.getElementById('title').innerText") == "pets"
    link = page.evaluate("document.querySelector('#about a').href")
    assert b"How good it is" in ask(address, "GET", link.removeprefix(address)).body
    page.evaluate(
        "(m => { m.selectedIndex = 1; m.dispatchEvent(new Event('change')); })(document.getElementById('model'))"
    )
    assert page.evaluate("document.getElementById('title').innerText") == "hands"
    page.evaluate(f"document.dispatchEvent(new ClipboardEvent('paste', {{clipboardData: {files(photo(3))}}}))")
    page.wait_for(f"{ANSWERED} === 1")
    assert "paper" in page.evaluate("document.querySelector('.labels').innerText")


def test_a_server_with_keys_asks_for_one(page: Browser, tmp_path: Path) -> None:
    model = write_model(tmp_path / "hands.safetensors")
    with serving([model], ServerOptions(port=0, api_keys=(KEY,))) as address:
        page.visit(address, width=390, height=844)
        page.wait_for("!document.getElementById('login').hidden")
        enter = "(k => { document.getElementById('key').value = k; document.querySelector('#login button').click(); })"
        page.evaluate(f"{enter}('wrong')")
        page.wait_for("document.getElementById('problem').innerText.includes('not one of')")
        looked_at(page, "login-390")
        page.evaluate(f"{enter}('{KEY}')")
        page.wait_for(READY)
        page.evaluate(f"document.dispatchEvent(new ClipboardEvent('paste', {{clipboardData: {files(photo(3))}}}))")
        page.wait_for("document.querySelectorAll('.labels').length === 1")


def test_it_is_dark_where_the_system_is(page: Browser, address: str) -> None:
    visit(page, address, 390, dark=True)
    page.evaluate(f"document.dispatchEvent(new ClipboardEvent('paste', {{clipboardData: {files(photo(3))}}}))")
    page.wait_for(f"{ANSWERED} === 1")
    looked_at(page, "dark-390")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(22, 24, 27)"


def test_nothing_runs_in_it_but_its_own_script(address: str) -> None:
    policy = ask(address, "GET", "/").headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "connect-src 'self'" in policy


def test_the_boxes_of_a_detector_are_drawn_on_the_image(page: Browser, tmp_path: Path) -> None:
    network, task = detector()
    made = random_model(np.random.default_rng(0), network, task=replace(task, score_threshold=0.2))
    (tmp_path / "boxes").mkdir()
    save(made, tmp_path / "boxes" / "model.safetensors")
    with serving([tmp_path / "boxes"]) as address:
        visit(page, address)
        (tmp_path / "photo.jpg").write_bytes(photo(3, size=(300, 200)))
        choose(page, tmp_path / "photo.jpg")
        page.wait_for("document.querySelector('.card canvas') !== null")
        looked_at(page, "boxes")
        found = page.evaluate("document.querySelector('.card canvas').getAttribute('aria-label')")
        drawn = "(() => { const c = document.querySelector('.card canvas'); return [c.width, c.height]; })()"
        assert page.evaluate(drawn) == [300, 200]
        assert " found: " in found
        assert page.evaluate("document.querySelector('.labels').children.length") >= 1
        assert [one for one in page.complaints if "'level': 'verbose'" not in one and "422" not in one] == []


def test_several_labels_and_the_camera_s_boxes_are_shown(page: Browser, tmp_path: Path) -> None:
    small = small_model()
    tagger = replace(small, task=MultiLabel(("paper", "scissors", "stone"), (0.0, 1.0, 0.25)))
    network, task = detector()
    boxes = random_model(np.random.default_rng(0), network, task=replace(task, score_threshold=0.01))
    for name, model in (("tags", tagger), ("boxes", boxes)):
        (tmp_path / name).mkdir()
        save(model, tmp_path / name / "model.safetensors")
    with serving([tmp_path / "tags", tmp_path / "boxes"]) as address:
        visit(page, address)
        (tmp_path / "photo.jpg").write_bytes(photo(3, size=(300, 200)))
        choose(page, tmp_path / "photo.jpg")
        page.wait_for(f"{ANSWERED} === 1")
        looked_at(page, "labels")
        marks = "[...document.querySelectorAll('.card .least')].map(each => each.style.width)"
        assert sorted(page.evaluate(marks)) == ["0%", "100%", "25%"]
        assert "scissors, not given" in page.evaluate("document.querySelector('.card .labels').innerText")
        page.evaluate(
            "(m => { m.selectedIndex = 1; m.dispatchEvent(new Event('change')); })(document.getElementById('model'))"
        )
        page.evaluate("document.getElementById('start').click()")
        drawn = "getContext('2d').getImageData(0, 0, marks.width, marks.height).data.some(Boolean)"
        page.wait_for(f"document.querySelectorAll('#live .labels li').length && marks.{drawn}")
        looked_at(page, "camera-boxes")
        page.evaluate("document.getElementById('stop').click()")
