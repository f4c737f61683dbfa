"""Charts as files: SVG that is well-formed whatever is written into it, and needs nothing beside it."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

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
