"""A budget for data with boxes says what to do instead."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image
from tests.support.drawn_objects import drawn_objects

from mobilenets.errors import PlanningError
from mobilenets.search.budget import Budget
from mobilenets.search.search import search
from mobilenets.training.settings import Settings


def test_a_budget_for_boxes_is_refused_with_the_way_out(tmp_path: Path) -> None:
    rows = ["file,class,xmin,ymin,xmax,ymax"]
    subset = drawn_objects(12)
    for number, (image, truth) in enumerate(zip(subset.images, subset.targets, strict=True)):
        opened = image.open()
        assert isinstance(opened, Image.Image)
        opened.save(tmp_path / f"{number}.png")
        rows += [
            f"{number}.png,{('blue', 'red')[label]},{','.join(str(int(side)) for side in box)}"
            for box, label in zip(truth.boxes, truth.labels, strict=True)
        ]
    (tmp_path / "boxes.csv").write_text("\n".join(rows))
    with pytest.raises(PlanningError, match="has boxes, and a budget chooses among classifiers; for a detector name"):
        search(tmp_path / "boxes.csv", None, Budget(max_latency_ms=5.0), Settings(weights=None))
