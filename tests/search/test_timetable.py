"""What each stage of a search may take."""

from __future__ import annotations

import math

import pytest

from mobilenets.search.timetable import Pace, Timetable


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


def test_without_a_limit_nothing_is_shortened() -> None:
    unlimited = Timetable(None)
    assert unlimited.rounds(100, 5) == 5
    assert unlimited.probed(10.0, 1500) == 1500
    assert unlimited.calibrated(10.0, 64) == 64
    assert unlimited.finalists(1000.0, 3) == 3
    assert unlimited.heads_end(50.0) == math.inf
    assert unlimited.compression(50.0) is None


def test_a_short_time_shortens_every_stage_by_what_it_takes_here() -> None:
    minute, hour = Timetable(60.0), Timetable(3600.0)
    slow, fast = Pace(0.05, 1e-9), Pace(0.0001, 1e-11)
    macs = 50e6
    assert (minute.probed(slow.probing(macs), 1500), hour.probed(slow.probing(macs), 1500)) == (200, 1500)
    assert minute.probed(fast.probing(macs), 1500) == 1500
    assert (minute.calibrated(slow.quantizing(macs), 64), minute.calibrated(fast.quantizing(macs), 64)) == (8, 40)
    assert (minute.rounds(50, 5), minute.rounds(20, 5), hour.rounds(50, 5)) == (2, 5, 5)
    assert [minute.finalists(preparing, 3) for preparing in (20.0, 6.0, 4.0, 0.0)] == [0, 2, 3, 3]


def test_the_end_is_given_what_it_takes_here_within_bounds() -> None:
    minute = Timetable(60.0)
    usual = minute.full(20.0, int8=True)
    assert usual == pytest.approx(60 - 20 - 0.2 * 60)
    assert minute.full(20.0, int8=True, ending=5.0) == usual
    assert minute.full(20.0, int8=True, ending=15.0) == pytest.approx(60 - 20 - 15)
    assert minute.full(20.0, int8=True, ending=500.0) == pytest.approx(60 - 20 - 0.4 * 60)
    assert minute.compression(50.0) == pytest.approx(60 - 50 - 0.08 * 60)
    assert minute.compression(70.0) == 0


def test_heads_that_begin_late_have_a_share_of_what_is_left() -> None:
    minute = Timetable(60.0)
    assert minute.heads_end(1.0) == pytest.approx(9.0)
    assert minute.heads_end(20.0) == pytest.approx(24.0)
    assert minute.heads_end(90.0) < 90.0
