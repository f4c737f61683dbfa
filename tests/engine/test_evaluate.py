"""Figures of accuracy, against counts made by hand."""

from __future__ import annotations

import numpy as np
import pytest

from mobilenets.data.dataset import Collection
from mobilenets.data.subset import Subset
from mobilenets.engine.evaluate import match_labels, score
from mobilenets.errors import DataError


def test_figures_equal_a_count_by_hand() -> None:
    #           truth: 0          0          1          2
    logits = np.array([[9, 1, 0, 0], [0, 5, 1, 0], [0, 7, 1, 0], [8, 0, 1, 0]], np.float32)
    evaluation = score(logits, np.array([0, 0, 1, 2]), ("a", "b", "c", "d"))
    assert evaluation.confusion.tolist() == [[1, 1, 0, 0], [0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0]]
    assert evaluation.top1 == 0.5
    assert evaluation.top5 == 1.0
    figures = {row.label: (row.images, row.precision, row.recall) for row in evaluation.classes}
    assert figures == {"a": (2, 0.5, 0.5), "b": (1, 0.5, 1.0), "c": (1, None, 0.0)}
    assert evaluation.to_json()["confusion"] == [[1, 1, 0], [0, 1, 0], [1, 0, 0]]


def test_top5_looks_at_five() -> None:
    logits = np.tile(np.arange(6, dtype=np.float32), (2, 1))
    assert score(logits, np.array([1, 0]), tuple("abcdef")).top5 == 0.5


def test_the_interval_is_wilsons() -> None:
    logits = np.eye(2, dtype=np.float32)[[0] * 90 + [1] * 10]
    low, high = score(logits, np.zeros(100, np.int64), ("a", "b")).top1_interval
    assert low == pytest.approx(0.8256, abs=1e-4)
    assert high == pytest.approx(0.9448, abs=1e-4)


def test_nothing_to_evaluate_on_is_an_error() -> None:
    with pytest.raises(DataError, match="no images"):
        score(np.zeros((0, 2)), np.zeros(0, np.int64), ("a", "b"))


def collection(labels: tuple[str, ...], indices: tuple[int, ...] | None = None) -> Collection:
    return Collection(labels, {"all": Subset((), np.zeros(0, np.int64))}, "test", indices)


def test_labels_are_matched_by_name_then_by_number() -> None:
    assert match_labels(collection(("b", "a")), ("a", "b", "c")).tolist() == [1, 0]
    thousand = tuple(f"n{index}" for index in range(1000))
    assert match_labels(collection(("zebra", "tench"), (340, 0)), thousand).tolist() == [340, 0]
    assert match_labels(collection(("zebra", "tench"), (340, 0)), ("background", *thousand)).tolist() == [341, 1]


def test_a_class_that_the_model_lacks_is_named() -> None:
    with pytest.raises(DataError, match=r"class 'dog'; the model knows 2 classes: a, b"):
        match_labels(collection(("a", "dog")), ("a", "b"))
    with pytest.raises(DataError, match="class 'dog'"):
        match_labels(collection(("a", "dog"), (0, 5)), ("a", "b"))
