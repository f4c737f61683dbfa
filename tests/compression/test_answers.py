"""Which of two Models is better, by what they say of every image."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mobilenets.compression.answers import Answers, answers_to, prefers
from mobilenets.errors import CompressionError


def answered(right: int, total: int, loss: float, *, from_the_end: bool = False, divergence: float = 0.0) -> Answers:
    """So many right answers, at one end of the images or the other."""
    hits = (np.arange(total) < right).astype(np.float64)
    wobble = 0.01 * np.sin(np.arange(total))
    return Answers(hits[::-1] if from_the_end else hits, loss + wobble, divergence + wobble)


BEFORE = answered(90, 100, 0.10)


@pytest.mark.parametrize(
    ("new", "better"),
    [
        (answered(95, 100, 0.10), True),  # five gained, none lost: more than 2·√5
        (answered(85, 100, 0.10), False),  # five lost
        (answered(85, 100, 0.01), False),  # however sure
        (answered(92, 100, 0.10), False),  # two gained may be chance, and nothing else is better
        (answered(92, 100, 0.05), True),  # within chance the loss decides, where it is beyond doubt
        (answered(88, 100, 0.05), True),
        (answered(90, 100, 0.10), False),  # the same is not better
        (answered(98, 100, 0.20, from_the_end=True), True),  # ten gained, two lost: more than 2·√12
        (answered(94, 100, 0.20, from_the_end=True), False),  # ten gained, six lost: within 2·√16
        (answered(88, 100, 0.10, divergence=-0.01), True),  # where neither tells, the float Model's answers do
        (answered(92, 100, 0.10, divergence=0.01), False),
    ],
)
def test_counts_decide_beyond_doubt_then_the_loss_then_the_divergence(new: Answers, better: bool) -> None:
    assert prefers(new.minus(BEFORE), doubt=0.0) is better


def test_where_the_float_model_is_unknown_the_loss_has_the_last_word() -> None:
    new, before = (replace(one, divergences=None) for one in (answered(92, 100, 0.0999), BEFORE))
    assert prefers(new.minus(before))
    assert not prefers(before.minus(new))


def test_fewer_standard_errors_are_less_doubt() -> None:
    wobble = np.random.default_rng(0).normal(0, 0.1, 100)
    some = Answers(np.ones(100), wobble - wobble.mean() + 0.095, wobble - wobble.mean() + 0.095)
    other = Answers(some.right, np.full(100, 0.1), np.full(100, 0.1))
    assert not prefers(some.minus(other))
    assert prefers(some.minus(other), doubt=0)
    assert not prefers(other.minus(some), doubt=0)


def test_answers_to_other_images_are_not_compared() -> None:
    with pytest.raises(CompressionError, match="the same images"):
        BEFORE.minus(answered(9, 10, 0.1))


def test_answers_are_read_from_logits() -> None:
    float_logits = np.array([[2, 0], [0, 2], [2, 0]], np.float32)
    logits = np.array([[2, 0], [1, 0], [0, 0]], np.float32)
    labeled = answers_to(logits, float_logits, np.array([1, 0, 0]))
    assert labeled.right.tolist() == [0, 1, 1]
    assert labeled.losses[2] == pytest.approx(np.log(2))
    alone = answers_to(logits, float_logits, None)
    assert alone.right.tolist() == [1, 0, 1]
    assert alone.divergences is not None
    assert alone.divergences[0] == pytest.approx(0)
    np.testing.assert_array_equal(alone.losses, alone.divergences)


def fidelity(rng: np.random.Generator, logits: np.ndarray, error: float) -> np.ndarray:
    """The logits of a Model that strays so far from the float one's."""
    return (logits + rng.normal(0, error, logits.shape)).astype(np.float32)


def test_few_images_choose_what_many_would() -> None:
    """A Model that strays further is worse on 900 images, and 36 say so where a count is often mistaken."""
    rng = np.random.default_rng(0)
    chosen, counted = 0, 0
    for _ in range(200):
        targets = rng.integers(0, 10, 936)
        logits = (2.2 * np.eye(10)[targets] + rng.normal(0, 1, (936, 10))).astype(np.float32)
        near, far = fidelity(rng, logits, 0.45), fidelity(rng, logits, 0.7)
        few = slice(0, 36)
        one, other = (answers_to(each[few], logits[few], targets[few]) for each in (near, far))
        chosen += prefers(one.minus(other), doubt=0.0)
        counted += one.primary > other.primary
    assert counted < 160
    assert chosen > 190
