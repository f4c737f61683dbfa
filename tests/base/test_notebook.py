"""Progress that a notebook shows, and that nothing else does."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest

from mobilenets.base.notebook import default_progress
from mobilenets.base.progress import SILENT


def test_outside_notebooks_nothing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "IPython", raising=False)
    assert default_progress() is SILENT
    terminal = SimpleNamespace(get_ipython=lambda: SimpleNamespace())
    monkeypatch.setitem(sys.modules, "IPython", terminal)
    assert default_progress() is SILENT


def test_a_notebook_shows_one_line_for_each_task(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    notebook = SimpleNamespace(get_ipython=lambda: SimpleNamespace(kernel=object()))
    monkeypatch.setitem(sys.modules, "IPython", notebook)
    progress = default_progress()
    with progress.task("training", 4, "images") as task:
        for _ in range(4):
            task.advance(loss="0.5")
    progress.note("done")
    printed = capsys.readouterr()
    assert printed.err == ""
    first, last = printed.out.splitlines()[-2:]
    assert first.rpartition("\r")[2].startswith("training: 4/4 images (100 %), ")
    assert first.rstrip().endswith(", loss 0.5")
    assert last == "done"
