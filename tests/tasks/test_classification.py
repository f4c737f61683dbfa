"""Classification: labels, likeliest classes, metrics and agreement."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mobilenets.architecture.layers import INPUT, GlobalAveragePool, PointwiseConvolution
from mobilenets.architecture.network import Network
from mobilenets.architecture.networks.mobilenet_v1 import mobilenet_v1
from mobilenets.errors import DataError, ModelError
from mobilenets.tasks.catalog import decode_task
from mobilenets.tasks.classification import Classification, class_count
from mobilenets.tasks.classification_metrics import ClassificationMetrics
from mobilenets.tasks.logits import softmax
from mobilenets.tasks.task import Geometry

CATS = Classification(("cat", "dog", "owl"))
IMAGE = Geometry("a.png", (8, 6), (1.0, 0.0, 7.0, 6.0))


def test_softmax_survives_large_logits() -> None:
    assert softmax(np.array([1000, 1000, -1000], np.float32)).tolist() == [0.5, 0.5, 0]


def test_decode_gives_the_likeliest_labels_first_and_of_equals_the_first() -> None:
    logits = np.log(np.array([[2, 6, 2]], np.float32))
    (prediction,) = CATS.decode([logits], [IMAGE])
    assert [label for label, _ in prediction.labels] == ["dog", "cat", "owl"]
    assert [round(probability, 3) for _, probability in prediction.labels] == [0.6, 0.2, 0.2]
    assert (prediction.name, prediction.label) == ("a.png", "dog")
    assert prediction.probability == pytest.approx(0.6)


@pytest.mark.parametrize("top", [1, 2, 3, 5])
def test_decode_gives_at_most_as_many_labels_as_were_asked_for(top: int) -> None:
    (prediction,) = CATS.decode([np.array([[1, 1, 0]], np.float32)], [IMAGE], top=top)
    assert [label for label, _ in prediction.labels] == ["cat", "dog", "owl"][:top]


def test_a_prediction_is_json() -> None:
    (prediction,) = CATS.decode([np.zeros((1, 3), np.float32)], [IMAGE], top=1)
    third = pytest.approx(1 / 3)
    assert json.loads(json.dumps(prediction.to_json())) == {
        "image": "a.png",
        "labels": [{"label": "cat", "probability": third}],
    }


def test_metrics_of_four_images() -> None:
    logits = np.eye(3, dtype=np.float32)[[0, 1, 1, 2]]
    metrics = CATS.metrics([logits], np.array([0, 1, 0, 0]))
    assert metrics.confusion.tolist() == [[1, 1, 1], [0, 1, 0], [0, 0, 0]]
    assert (metrics.images, metrics.top1, metrics.top5) == (4, 0.5, 1.0)
    assert (metrics.primary.name, metrics.primary.value) == ("top1", 0.5)
    low, high = metrics.primary.interval
    assert (round(low, 4), round(high, 4)) == (0.15, 0.85)
    rows = {row.label: (row.images, row.precision, row.recall) for row in metrics.classes}
    assert rows == {"cat": (3, 1.0, 1 / 3), "dog": (1, 0.5, 1.0), "owl": (0, 0.0, None)}


def test_figures_equal_a_count_by_hand() -> None:
    #           truth: 0          0          1          2
    logits = np.array([[9, 1, 0, 0], [0, 5, 1, 0], [0, 7, 1, 0], [8, 0, 1, 0]], np.float32)
    evaluation = Classification(tuple("abcd")).metrics([logits], np.array([0, 0, 1, 2]))
    assert evaluation.confusion.tolist() == [[1, 1, 0, 0], [0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0]]
    assert evaluation.top1 == 0.5
    assert evaluation.top5 == 1.0
    figures = {row.label: (row.images, row.precision, row.recall) for row in evaluation.classes}
    assert figures == {"a": (2, 0.5, 0.5), "b": (1, 0.5, 1.0), "c": (1, None, 0.0)}
    assert evaluation.to_json()["confusion"] == [[1, 1, 0], [0, 1, 0], [1, 0, 0]]


def test_top5_looks_at_five() -> None:
    logits = np.tile(np.arange(6, dtype=np.float32), (2, 1))
    assert Classification(tuple("abcdef")).metrics([logits], np.array([1, 0])).top5 == 0.5


def test_the_interval_is_wilsons() -> None:
    logits = np.eye(2, dtype=np.float32)[[0] * 90 + [1] * 10]
    low, high = Classification(("a", "b")).metrics([logits], np.zeros(100, np.int64)).top1_interval
    assert low == pytest.approx(0.8256, abs=1e-4)
    assert high == pytest.approx(0.9448, abs=1e-4)


def test_the_most_confused_classes_come_first() -> None:
    logits = np.eye(3, dtype=np.float32)[[0, 1, 1, 2, 0, 0]]
    metrics = CATS.metrics([logits], np.array([0, 0, 0, 0, 1, 2]))
    assert metrics.wrong == 5
    pairs = [(pair.truth, pair.given, pair.share.count, pair.share.total) for pair in metrics.most_confused(3)]
    assert pairs == [("cat", "dog", 2, 4), ("cat", "owl", 1, 4), ("dog", "cat", 1, 1)]
    assert CATS.metrics([logits[:1]], np.array([0])).most_confused(3) == []


def test_metrics_of_no_images_are_refused() -> None:
    with pytest.raises(DataError, match="no images"):
        CATS.metrics([np.zeros((0, 3), np.float32)], np.zeros(0, np.int64))


@given(answers=st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=40))
def test_metrics_come_back_from_json(answers: list[tuple[int, int]]) -> None:
    targets, said = (np.array(column) for column in zip(*answers, strict=True))
    metrics = CATS.metrics([np.eye(3, dtype=np.float32)[said]], targets)
    written = json.loads(json.dumps(metrics.to_json()))
    assert ClassificationMetrics.from_json(written).to_json() == written
    assert metrics.top1 == float((targets == said).mean())


@pytest.mark.parametrize(
    "change", [{"top5": 10**400}, {"top5": float("inf")}, {"top5": float("nan")}, {"confusion": [[10**400]]}]
)
def test_metrics_that_no_images_give_are_refused(change: dict[str, object]) -> None:
    written = Classification(("a",)).metrics([np.zeros((1, 1), np.float32)], np.zeros(1, np.int64)).to_json()
    with pytest.raises(ValueError, match=r"top-5|confusion matrix"):
        ClassificationMetrics.from_json(written | change)


def test_agreement_counts_equal_answers_and_measures_the_error() -> None:
    expected = np.array([[4, 0, 0], [0, 0, 0.1], [0, 3, 0]], np.float32)
    changed = np.array([[4, 0, 0], [0, 0.2, 0.1], [0, 3, 1]], np.float32)
    agreement = CATS.compare([changed], [expected])
    assert (agreement.same.count, agreement.same.total) == (2, 3)
    assert (agreement.same_where_confident.count, agreement.same_where_confident.total) == (2, 2)
    assert agreement.largest_difference == 1.0
    assert agreement.relative_difference == 0.25
    assert agreement.sqnr_db == round(10 * np.log10((16 + 0.01 + 9) / (0.04 + 1)), 2)


def test_outputs_agree_with_themselves() -> None:
    logits = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    agreement = CATS.compare([logits], [logits])
    assert (agreement.same.value, agreement.largest_difference, agreement.sqnr_db) == (1.0, 0.0, 200.0)


def test_a_network_needs_as_many_classes_as_there_are_labels() -> None:
    network = mobilenet_v1(width_multiplier=0.25, resolution=32, classes=4)
    assert class_count(network) == 4
    Classification.numbered(network).check(network)
    with pytest.raises(ModelError, match="3 labels for a network of 4 classes"):
        CATS.check(network)


def test_a_map_is_no_output_of_a_classifier() -> None:
    pool = GlobalAveragePool("pool", ("map",))
    layers = (PointwiseConvolution("map", (INPUT,), out_channels=3), pool)
    features = Network("n", 2, 4, layers, ("pool", "map"))
    CATS.check(features)
    maps = replace(features, outputs=("map", "pool"))
    expected = "the first output of a classifier holds one logit per class; that of n, map, is a map of 3×2×4"
    for asked in (CATS.check, class_count, Classification.numbered):
        with pytest.raises(ModelError, match=expected):
            asked(maps)


@pytest.mark.parametrize("label", ["a\nb", "\x1b[31m", "\udcff"])
def test_labels_that_cannot_be_printed_are_refused(label: str) -> None:
    with pytest.raises(ModelError, match="control character"):
        Classification(("cat", label))


@given(labels=st.lists(st.text(st.characters(exclude_categories=("Cc", "Cs"))), max_size=5))
def test_a_task_comes_back_from_json(labels: list[str]) -> None:
    task = Classification(tuple(labels))
    assert decode_task(json.loads(json.dumps(task.encode()))) == task


@pytest.mark.parametrize(
    "data",
    [
        None,
        [],
        {},
        {"kind": 1},
        {"kind": "sorting"},
        {"kind": "classification"},
        {"kind": "classification", "labels": "cat"},
        {"kind": "classification", "labels": [1]},
        {"kind": "classification", "labels": ["\x00"]},
        {"kind": "classification", "labels": [], "more": 1},
    ],
)
def test_what_is_no_task_is_refused(data: object) -> None:
    with pytest.raises(ModelError):
        decode_task(data)
