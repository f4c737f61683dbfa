"""What a linear head on frozen features is worth: exactly what heads that are fitted without each image answer."""

from __future__ import annotations

import numpy as np
import pytest

from mobilenets.errors import ModelError
from mobilenets.search.heads import probe


def clusters(count: int, features: int, distance: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    targets = np.arange(count) % 3
    centers = np.eye(3, features) * distance
    return rng.normal(centers[targets], 1).astype(np.float32), targets.astype(np.int64)


@pytest.mark.parametrize(("count", "features"), [(60, 5), (30, 50)])
def test_the_answers_are_those_of_heads_that_were_fitted_without_the_image(count: int, features: int) -> None:
    values, targets = clusters(count, features, 2.0)
    scaled = (values - values.mean(axis=0)) / (values.std(axis=0) + 1e-8)
    penalty = 0.1 * count
    right = 0
    for left in range(count):
        kept = np.arange(count) != left
        rows, wanted = np.c_[scaled[kept], np.ones(count - 1)], np.eye(3)[targets[kept]]
        square = rows.T @ rows + np.diag([penalty] * features + [0.0])
        answer = np.append(scaled[left], 1) @ np.linalg.solve(square, rows.T @ wanted)
        right += int(answer.argmax() == targets[left])
    found = probe(values, targets, 3, penalties=[0.1])
    assert found.accuracy == right / count
    assert found.images == count


def test_better_features_have_a_better_score_and_noise_none() -> None:
    scores = [probe(*clusters(90, 20, distance), 3) for distance in (0.0, 1.5, 3.0)]
    assert scores[0].accuracy < 0.5 < scores[1].accuracy < scores[2].accuracy
    assert scores[0].loss > scores[1].loss > scores[2].loss
    assert scores[0].loss < 1.3  # about ln 3: noise is not believed


def test_a_rare_class_is_not_lost() -> None:
    values, targets = clusters(300, 8, 3.0)
    kept = (targets != 2) | (np.arange(300) % 30 == 2)
    assert probe(values[kept], targets[kept], 3).accuracy > 0.85


def test_features_that_are_not_finite_are_an_error() -> None:
    values, targets = clusters(30, 4, 1.0)
    values[3, 2] = np.nan
    with pytest.raises(ModelError, match="NaN or infinite"):
        probe(values, targets, 3)
