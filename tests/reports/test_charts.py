"""Charts as files: SVG that is well-formed whatever is written into it, and needs nothing beside it."""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from mobilenets.reports.charts import Axis, Chart, write_svg

SVG = "{http://www.w3.org/2000/svg}"


def chart(label: str) -> Chart:
    made = Chart(400, 300, Axis(1, 100, "ms", logarithmic=True), Axis(0, 1, "top-1"))
    made.interval(10, 0.25, 0.75, "own")
    made.dot(10, 0.5, "own", title=label)
    made.label(10, 0.5, label)
    return made


def test_a_file_holds_its_charts_side_by_side_under_a_title(tmp_path: Path) -> None:
    hostile = "<b>\x1b & \udc80"
    charts = [chart(hostile).element("one"), chart("two").element("two")]
    write_svg(tmp_path / "a.svg", charts, title=hostile, entries=[("own", "test top-1")])
    root = ElementTree.parse(tmp_path / "a.svg").getroot()
    panels = root.findall(f"{SVG}svg")
    assert [float(panel.attrib["x"]) for panel in panels] == [24, 448]
    assert float(root.attrib["width"]) == 24 + 400 + 24 + 400 + 24
    said = [text.text for text in root.iter(f"{SVG}text")]
    assert said.count("<b>\ufffd & \\udc80") == 2, "the title, and the label of a point"
    assert {"two", "test top-1", "ms", "100"} <= set(said)
    assert "http" not in (tmp_path / "a.svg").read_text().replace("http://www.w3.org/2000/svg", "")


def test_an_interval_reaches_from_its_low_to_its_high_end() -> None:
    made = chart("one")
    whisker = made.element("one").findall("line[@class='interval own']")[0]
    assert float(whisker.attrib["x1"]) == made.across(10)
    assert (float(whisker.attrib["y1"]), float(whisker.attrib["y2"])) == (made.down(0.75), made.down(0.25))


@pytest.mark.parametrize("share", [0.02, 0.3, 0.5, 0.98])
def test_words_at_a_point_cover_neither_lines_nor_points_and_are_joined_to_it_where_they_are_far(share: float) -> None:
    label, rng = "timm:mobilenetv4_conv_small.e2400_r224, 256 px", np.random.default_rng(0)
    made = Chart(760, 380, Axis(0, 1, "ms"), Axis(0, 1, "top-1"))
    frontier = [(x, x**0.4) for x in np.linspace(0.02, 0.98, 20)]
    others = [(x, x**0.4 * y) for x, y in rng.uniform(0.1, 1, (60, 2))]
    made.line(frontier, "frontier")
    made.upright(share + 0.01, "limit")
    for x, y in (*frontier, *others):
        made.dot(x, y, "int8")
    made.note(share, share**0.4, label, "chosen")
    drawn = made.element("a frontier")
    (words,) = (text for text in drawn.findall("text") if text.text == label)
    left, base = float(words.attrib["x"]), float(words.attrib["y"])
    right = left + 7.5 * len(label)
    assert 50 <= left <= right <= 760 - 12
    places = [(made.across(x), made.down(y)) for x, y in (*frontier, *others)]
    between = [((a + c) / 2, (b + d) / 2) for (a, b), (c, d) in pairwise(places[: len(frontier)])]
    assert not [(x, y) for x, y in (*places, *between) if left <= x <= right and base - 10 <= y <= base + 3]
    assert not left <= made.across(share + 0.01) <= right
    leaders = drawn.findall("line[@class='leader chosen']")
    point = made.across(share), made.down(share**0.4)
    aside = max(left - point[0], point[0] - right, 0.0), max(base - 10 - point[1], point[1] - base - 3, 0.0)
    assert len(leaders) == (math.hypot(*aside) > 24)
