"""Where the cache lies, and the names of what is in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from mobilenets.base.cache import cache_folder, cache_key


def test_the_variable_moves_the_whole_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MOBILENETS_CACHE", str(tmp_path / "here"))
    assert cache_folder() == tmp_path / "here"
    assert cache_folder("tuning", "x") == tmp_path / "here" / "tuning" / "x"


def test_it_lies_in_the_users_cache_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("MOBILENETS_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "mobilenets"


def test_on_windows_it_lies_where_programs_keep_what_is_of_this_machine(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("MOBILENETS_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr("sys.platform", "win32")
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path))
    assert cache_folder() == tmp_path / "mobilenets"


def test_a_key_depends_on_every_fact_and_on_nothing_else() -> None:
    assert cache_key("tuning", {"a": 1, "b": 2}) == cache_key("tuning", {"b": 2, "a": 1})
    assert len({cache_key("x"), cache_key("x", 1), cache_key("x", 2), cache_key("x", "1"), cache_key()}) == 5
