"""A package that is also a function."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import pytest

from mobilenets.base.callable_package import make_callable


def test_a_package_is_the_function_it_names_and_still_a_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "room").mkdir()
    (tmp_path / "room" / "__init__.py").write_text('"""A room."""\n')
    (tmp_path / "room" / "work.py").write_text("def work(first, *, second=2):\n    return first, second\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    room: Any = importlib.import_module("room")
    make_callable("room", "work:work")
    assert "room.work" not in sys.modules
    assert room(1) == (1, 2)
    assert room(1, second=3) == (1, 3)
    assert importlib.import_module("room.work").work(4) == (4, 2)
    assert room.__doc__ == "A room."
