"""Budgets: the units that people write, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from mobilenets.errors import PlanningError
from mobilenets.search.budget import (
    Budget,
    parse_accuracy,
    parse_bytes,
    parse_latency,
    parse_macs,
)


def test_units_as_people_write_them() -> None:
    assert parse_latency("5 ms") == parse_latency("0.005s") == parse_latency("5000us") == 5
    assert parse_latency("5MS") == 5
    assert parse_bytes("300k") == 300_000
    assert parse_bytes("500kB") == parse_bytes("0.5 MB") == parse_bytes("500KB") == 500_000
    assert parse_bytes("1KiB") == 1024
    assert parse_macs("50M") == parse_macs("0.05G") == 50_000_000
    assert parse_accuracy("90%") == parse_accuracy(".9") == 0.9


@pytest.mark.parametrize(
    ("parse", "text", "message"),
    [
        (parse_latency, "5", "'5' has no unit; did you mean 5ms[?] Write a latency like 5ms"),
        (parse_latency, "5 parsecs", "unknown unit 'parsecs'"),
        (
            parse_latency,
            "5kB",
            "the unit of a size, and goes with max_file_bytes=SIZE, max_memory_bytes=SIZE and max_flash_bytes=SIZE",
        ),
        (parse_latency, "0ms", "must be above zero"),
        (parse_latency, "-3ms", "is not a latency"),
        (parse_bytes, "12", "has no unit"),
        (parse_bytes, "9e999kB", "must be above zero and finite"),
        (parse_bytes, "1e-9B", "a size must be at least 1, not '1e-9B'"),
        (parse_macs, "some", "is not a number of Mult-Adds"),
        (parse_accuracy, "90", "did you mean 90%"),
        (parse_accuracy, "101%", "'101%' is more$"),
        (parse_accuracy, "0%", "must be above zero"),
    ],
)
def test_other_units_are_refused_with_an_example(parse: object, text: str, message: str) -> None:
    with pytest.raises(PlanningError, match=message):
        parse(text)  # type: ignore[operator]


@pytest.mark.parametrize(
    "limits",
    [
        {"max_latency_ms": 0},
        {"max_file_bytes": -1},
        {"max_latency_ms": float("nan")},
        {"max_latency_ms": "5ms"},
        {"max_macs": [1]},
        {"max_memory_bytes": True},
        {"min_accuracy": "90%"},
        {"min_accuracy": 90},
    ],
)
def test_a_budget_that_makes_no_sense_is_refused(limits: dict[str, Any]) -> None:
    with pytest.raises(PlanningError, match=next(iter(limits))):
        Budget(**limits)


def test_an_accuracy_above_all_percent_has_no_percentage_that_is_meant() -> None:
    with pytest.raises(PlanningError, match=r"'92' is more: did you mean 92%\?$"):
        parse_accuracy("92")
    with pytest.raises(PlanningError, match=r"'101' is more$"):
        parse_accuracy("101")
