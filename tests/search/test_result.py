"""The record of a search: what metrics.json keeps comes back as it was."""

from __future__ import annotations

import json

import pytest

from mobilenets.errors import PlanningError
from mobilenets.search.budget import Budget
from mobilenets.search.candidates import Candidate
from mobilenets.search.result import Device, Latency, Search

ONE = Candidate(0.5, 64, "int8", 0.91, 0.4, 300_000, 12_000_000, 60_000)
OTHER = Candidate(0.25, 48, "float32", 0.85, 0.3, 900_000, 2_000_000, 90_000)


def search() -> Search:
    return Search(
        budget=Budget(max_latency_ms=5.0),
        device=Device("a processor", "avx2", 1, measured_here=True),
        candidates=(ONE, OTHER),
        choice=ONE,
        reason="the most accurate within the budget",
        validation_images=200,
        widest=1.0,
        largest=64,
        latency=Latency(0.41, 0.39, 0.4, 1),
    )


def test_a_search_survives_json() -> None:
    assert Search.from_json(json.loads(json.dumps(search().to_json()))) == search()


def test_a_record_with_missing_or_unknown_fields_is_refused() -> None:
    data = search().to_json()
    with pytest.raises(PlanningError, match="not the record of a search"):
        Search.from_json({name: value for name, value in data.items() if name != "reason"})
    with pytest.raises(PlanningError, match="not the record of a search"):
        Search.from_json(data | {"choice": {**data["choice"], "colour": "red"}})
