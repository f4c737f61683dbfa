"""Provenance: typed where it is known, and nothing is lost."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from tests.support.random_models import random_model, random_network

from mobilenets.model.provenance import (
    Conversion,
    Data,
    Imported,
    Provenance,
    QuantizationProvenance,
    Training,
    TrainingMetrics,
)

FITTED: dict[str, Any] = {
    "made_by": "fit",
    "data": {"source": "photos", "fingerprint": "0a1b", "seed": 7, "shards": 3},
    "recipe": {"name": "paper", "epochs": 2},
    "seed": 7,
    "epochs": 2,
    "best_epoch": 1,
    "validation_joined": None,
    "device": "cpu",
    "precision": "float32",
    "threads": 2,
    "metrics": {"validation_top1": 0.5, "test_top1": 1},
    "versions": {"mobilenets": "0.1.0"},
    "quantization": {"made_by": "calibrated", "trained": False, "weight_bits": 4, "rounding": "nearest"},
    "imported": {"from": "keras", "file": "a.h5", "configuration": True},
    "budget": {"max_latency_ms": 5},
    "sliced_from": "1-224",
    "machine": "b",
}

NESTED = ("source", "fingerprint", "from", "format", "file", "test_top1", "weight_bits", "trained", "others")
NAMES = st.sampled_from([*FITTED, *NESTED])
NUMBERS = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
LEAVES = st.none() | st.booleans() | NUMBERS | st.text(max_size=5)
VALUES = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=6))


def test_what_is_known_is_typed() -> None:
    found = Provenance.read(FITTED)
    assert found.data == Data("photos", "0a1b", 7, others={"shards": 3})
    assert found.data.is_complete
    recipe, budget = {"name": "paper", "epochs": 2}, {"max_latency_ms": 5}
    assert found.training == Training("fit", recipe, 7, 2, 1, None, "cpu", "float32", 2, budget=budget)
    assert found.metrics == TrainingMetrics(0.5, 1)
    assert found.quantization == QuantizationProvenance("calibrated", False, 4, rounding="nearest")
    assert found.imported == Imported("keras", "a.h5", configuration=True)
    assert found.versions == {"mobilenets": "0.1.0"}
    assert found.conversion == Conversion("1-224")
    assert found.others == {"validation_joined": None, "machine": "b"}


def test_a_model_without_provenance_has_none() -> None:
    rng = np.random.default_rng(0)
    assert Provenance.of(random_model(rng, random_network(rng))) == Provenance()


def test_a_value_of_another_type_is_kept_but_not_believed() -> None:
    data = {"data": {"source": 1, "fingerprint": "0a1b", "seed": True}, "metrics": [0.5], "epochs": "2"}
    found = Provenance.read(data)
    assert found.data is not None
    assert not found.data.is_complete
    assert (found.data.source, found.data.fingerprint, found.data.seed) == (None, "0a1b", None)
    assert found.metrics is None
    assert found.training.epochs is None
    assert found.encode() == data


@given(st.dictionaries(NAMES, VALUES, max_size=8))
def test_every_json_object_survives(data: dict[str, Any]) -> None:
    assert json.dumps(Provenance.read(data).encode(), sort_keys=True) == json.dumps(data, sort_keys=True)


def test_what_fit_writes_survives() -> None:
    assert Provenance.read(FITTED).encode() == FITTED
