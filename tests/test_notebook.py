"""The notebook for researchers does what it says, cell by cell, as a kernel would run it."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import numpy as np
import pytest
from tests.conftest import ROOT

NOTEBOOK = ROOT / "docs" / "research.ipynb"


def code_cells() -> list[str]:
    notebook = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    return ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What is defined when all cells have run."""
    found: dict[str, Any] = {"__name__": "__main__"}
    with contextlib.chdir(tmp_path_factory.mktemp("notebook")):  # it writes a video
        for number, cell in enumerate(code_cells()):
            exec(compile(cell, f"cell {number}", "exec"), found)
    return found


def test_it_is_less_than_forty_lines_of_code() -> None:
    assert sum(bool(line.strip()) for cell in code_cells() for line in cell.splitlines()) < 40


def test_it_holds_no_outputs_of_some_machine() -> None:
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in cells if "outputs" in cell)


def test_callbacks_augmentation_and_features_work(names: dict[str, Any]) -> None:
    assert names["curve"].top1 == [epoch.validation_primary for epoch in names["result"].history]
    assert names["result"].evaluation.primary.value > 0.8
    assert names["neighbors"].score(names["table"].values[400:], names["labels"][400:]) > 0.8


def test_the_way_through_pytorch_and_back_keeps_the_numbers(names: dict[str, Any]) -> None:
    again = names["mobilenets"].Session(names["model"]).run(names["images"][:8])
    np.testing.assert_allclose(again, names["logits"], atol=2e-3)
    assert not np.array_equal(again, names["mobilenets"].Session(names["result"].model).run(names["images"][:8]))


def test_frames_are_answered_in_order(names: dict[str, Any]) -> None:
    assert len(names["answers"]) == 20
    right = [answer.label == label for answer, label in zip(names["answers"], names["labels"][:20], strict=True)]
    assert sum(right) >= 15
