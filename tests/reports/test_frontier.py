"""The chart of what could have been chosen."""

from __future__ import annotations

from dataclasses import replace

from mobilenets.reports.pages.frontier import draw
from mobilenets.search.budget import Budget
from mobilenets.search.candidates import Candidate


def test_the_choice_is_in_the_picture_though_it_was_trained_since_the_candidates_were_judged() -> None:
    judged = [
        Candidate(0.25, 96, "int8", 0.5 + cost / 100, float(cost), 300_000, 10_000_000, 60_000) for cost in (1, 2)
    ]
    choice = replace(judged[1], accuracy=0.88, latency_ms=2.1)
    for width in (760, 328):
        drawn = draw(judged, choice, Budget(max_latency_ms=3), width)
        (ring,) = drawn.findall("circle[@class='dot chosen']")
        _, _, right, foot = map(float, str(drawn.get("viewBox")).split())
        assert 0 < float(ring.attrib["cx"]) < right
        assert 0 < float(ring.attrib["cy"]) < foot
        (label,) = (text for text in drawn.findall("text") if text.attrib["class"] == "note chosen")
        assert 0 < float(label.attrib["y"]) < foot
