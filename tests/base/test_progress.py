"""What people are told while they wait."""

from __future__ import annotations

from mobilenets.base.text import duration


def test_durations_read_as_people_say_them() -> None:
    assert [duration(seconds) for seconds in (0.4, 99, 100, 5_000, 40_000)] == [
        "0 s",
        "99 s",
        "2 min",
        "83 min",
        "11.1 h",
    ]
