"""The record of a search: what metrics.json keeps comes back as it was."""

from __future__ import annotations

import json

import pytest

from mobilenets.errors import PlanningError
from mobilenets.search.budget import Budget
from mobilenets.search.candidates import Candidate
from mobilenets.search.record import LatencySource, MeasuredLatency, SearchRecord

ONE = Candidate(0.5, 64, "int8", 0.91, 0.4, 300_000, 12_000_000, 60_000)
OTHER = Candidate(0.25, 48, "float32", 0.85, 0.3, 900_000, 2_000_000, 90_000)


def search() -> SearchRecord:
    return SearchRecord(
        budget=Budget(max_latency_ms=5.0),
        device=LatencySource("a processor", "avx2", 1, measured_here=True),
        candidates=(ONE, OTHER),
        choice=ONE,
        reason="the most accurate within the budget",
        validation_images=200,
        widest=1.0,
        largest=64,
        latency=MeasuredLatency(0.41, 0.39, 0.4, 1),
    )


def test_a_search_survives_json() -> None:
    assert SearchRecord.from_json(json.loads(json.dumps(search().to_json()))) == search()


def test_a_record_with_missing_or_unknown_fields_is_refused() -> None:
    data = search().to_json()
    with pytest.raises(PlanningError, match="not the record of a search"):
        SearchRecord.from_json({name: value for name, value in data.items() if name != "reason"})
    with pytest.raises(PlanningError, match="not the record of a search"):
        SearchRecord.from_json(data | {"choice": {**data["choice"], "colour": "red"}})
