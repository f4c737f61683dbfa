"""What each stage of a search may take."""

from __future__ import annotations

import pytest

from mobilenets.search.timetable import Timetable


def test_a_timetable_leaves_time_for_every_stage() -> None:
    unlimited = Timetable(None)
    assert (unlimited.short(3), unlimited.supernet(1.0), unlimited.full(10.0, int8=True)) == (None, None, None)
    hour = Timetable(3600.0)
    short, full = hour.short(3), hour.full(hour.heads_end() + 3 * 360.0, int8=True)
    assert short == pytest.approx(360.0)
    assert full is not None
    assert hour.heads_end() + 3 * 360.0 + full <= 0.8 * 3600 + 1e-6
    assert hour.full(3600.0, int8=False) == pytest.approx(180.0)  # something always comes of it


def test_a_timetable_leaves_a_supernet_time_to_fine_tune() -> None:
    hour = Timetable(3600.0)
    supernet = hour.supernet(60.0)
    assert supernet is not None
    assert supernet == pytest.approx(0.6 * 3600 - 60)
    full = hour.full(60.0 + supernet, int8=True)
    assert full is not None
    assert full >= 0.15 * 3600
    assert hour.supernet(3600.0) == pytest.approx(180.0)
