"""The report as people see it: laid out on a phone and on a desk, printed, with the network switched off."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.browser import Browser, browser
from tests.support.runs import HOSTILE, make_run

from mobilenets.reports.finished_run import read_run
from mobilenets.reports.run_report import write_report

CLASSES = {
    "hostile": HOSTILE,
    "two": ("cat", "dog"),
    "thirty": tuple(f"sort {number}" for number in range(30)),
    "hundred": tuple(f"a sort of thing, number {number}" for number in range(100)),
}
WINDOWS = {"phone": (360, 800), "desk": (1280, 900)}

WIDEST = """Math.max(document.documentElement.scrollWidth, ...[...document.querySelectorAll('body *')]
    .filter(element => !element.closest('.scrolling') && !element.closest('.spoken'))
    .map(element => element.getBoundingClientRect().right))"""
SMALLEST_LETTERS = """Math.min(...[...document.querySelectorAll('body *')]
    .filter(element => element.checkVisibility() && [...element.childNodes].some(n => n.nodeType == 3 && n.data.trim()))
    .map(element => parseFloat(getComputedStyle(element).fontSize) *
        (element.ownerSVGElement ? element.getScreenCTM().a : 1)))"""
IN_SIGHT = """(([top]) => { const box = document.querySelector(top).getBoundingClientRect();
    return box.top >= 0 && box.bottom <= innerHeight && box.width > 200 })"""
CONTRAST = """(() => { const luminance = colour => colour.match(/[\\d.]+/g).slice(0, 3).map(Number)
        .map(v => v / 255).map(v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
        .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
    const paper = luminance(getComputedStyle(document.body).backgroundColor);
    return Math.min(...['h1', 'h1 .figure', 'p', 'figcaption', '.cards small', 'nav a', 'summary', 'dt'].map(one => {
        const ink = luminance(getComputedStyle(document.querySelector(one)).color);
        return (Math.max(ink, paper) + 0.05) / (Math.min(ink, paper) + 0.05) })) })()"""
IMAGES = "[...document.images].map(image => [image.naturalWidth, image.alt.length])"
UNNAMED = "[...document.querySelectorAll('svg')].filter(svg => !svg.getAttribute('aria-label')).length"
HEADED = """[...document.querySelectorAll('table')].every(table => table.caption &&
    [...table.rows].every(row => row.cells[0].tagName == 'TH' && row.cells[0].scope))"""


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browser(tmp_path_factory.mktemp("profile")) as page:
        yield page


@pytest.fixture(scope="module")
def reports(chromium: Browser, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    made = {}
    for name, labels in CLASSES.items():
        run = make_run(tmp_path_factory.mktemp(name), labels, search=name in ("hostile", "thirty"))
        made[name] = run / "report.html"
        write_report(read_run(run), made[name])
    return made


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("name", CLASSES)
def test_it_fits_its_window_and_shows_its_verdict(
    name: str, window: str, chromium: Browser, reports: dict[str, Path]
) -> None:
    width, height = WINDOWS[window]
    chromium.open(reports[name], width=width, height=height)
    assert chromium.evaluate("innerWidth") == width
    assert chromium.evaluate(WIDEST) <= width + 0.5
    assert chromium.evaluate(f"{IN_SIGHT}(['h1'])")
    words = chromium.evaluate("document.querySelector('h1').innerText").replace("\u00a0", " ")
    assert "MobileNet α 0.25 at 32 px" in words
    assert "95 % interval" in words
    assert chromium.evaluate(SMALLEST_LETTERS) >= 7
    assert chromium.evaluate("getComputedStyle(document.body).fontSize") == "16px"


@pytest.mark.parametrize("name", CLASSES)
def test_it_is_whole_and_asks_for_nothing(name: str, chromium: Browser, reports: dict[str, Path]) -> None:
    chromium.open(reports[name], width=360, height=800)
    images = chromium.evaluate(IMAGES)
    assert len(images) >= 2
    assert all(width > 0 and words > 0 for width, words in images)
    assert chromium.requested == [reports[name].as_uri()]
    assert chromium.complaints == []
    assert chromium.evaluate("document.scripts.length") == 0
    assert reports[name].stat().st_size < 1_500_000


def test_what_it_says_can_be_heard(chromium: Browser, reports: dict[str, Path]) -> None:
    chromium.open(reports["hostile"], width=1280, height=900)
    assert chromium.evaluate("document.documentElement.lang") == "en"
    assert chromium.evaluate(UNNAMED) == 0
    assert chromium.evaluate(HEADED)
    assert chromium.evaluate("document.title").startswith("MobileNet α 0.25 at 32 px on ")


@pytest.mark.parametrize("dark", [False, True])
def test_letters_stand_out_from_the_paper(dark: bool, chromium: Browser, reports: dict[str, Path]) -> None:
    chromium.open(reports["two"], width=1280, height=900, dark=dark)
    paper = chromium.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (paper == "rgb(255, 255, 255)") != dark
    assert chromium.evaluate(CONTRAST) >= 4.5  # what WCAG 2.1 asks for, level AA


def test_folded_parts_unfold_without_a_script_and_still_fit(chromium: Browser, reports: dict[str, Path]) -> None:
    chromium.open(reports["thirty"], width=360, height=800)
    chromium.evaluate("document.querySelectorAll('summary').forEach(summary => summary.click())")
    assert chromium.evaluate("document.querySelectorAll('details[open]').length") >= 3
    assert chromium.evaluate(WIDEST) <= 360.5
    assert chromium.evaluate("document.body.innerText.includes('block13.pointwise')")


def test_it_prints_on_some_pages_of_paper(chromium: Browser, reports: dict[str, Path]) -> None:
    chromium.open(reports["hostile"], width=1280, height=900)
    paper = chromium.pdf()
    assert paper.startswith(b"%PDF-")
    assert 2 <= paper.count(b"/Type /Page\n") + paper.count(b"/Type /Page ") <= 8
    chromium.call("Emulation.setEmulatedMedia", media="print")
    assert chromium.evaluate("getComputedStyle(document.querySelector('nav')).display") == "none"
    assert chromium.evaluate("getComputedStyle(document.querySelector('figure .wide')).display") == "block"
    tops = "new Set([...document.querySelectorAll('.cards > div')].map(card => card.getBoundingClientRect().top)).size"
    assert chromium.evaluate(tops) == 1, "the figures of the verdict stand in one row"
    chromium.call("Emulation.setEmulatedMedia", media="")
