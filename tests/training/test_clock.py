"""A run with a time limit cools down in time, and a run without one never."""

from __future__ import annotations

from mobilenets.training.clock import Clock


class Hands:
    """A clock that a test turns."""

    def __init__(self) -> None:
        self.time = 0.0

    def __call__(self) -> float:
        return self.time


def test_without_a_limit_nothing_is_over() -> None:
    hands = Hands()
    clock = Clock(None, now=hands)
    for _ in range(100):
        hands.time += 10
        clock.step()
    assert not clock.over
    assert clock.steps_to_cool(1000) is None


def test_a_run_that_would_take_longer_cools_down_for_the_last_third_of_its_time() -> None:
    hands = Hands()
    clock = Clock(100.0, now=hands)
    begun = None
    for step in range(100):
        hands.time += 1
        clock.step()
        left = clock.steps_to_cool(1000 - step)
        if begun is None and left is not None:
            begun = step + 1, left
    assert begun == (65, 35)
    assert clock.over


def test_a_run_that_ends_in_time_is_left_alone() -> None:
    hands = Hands()
    clock = Clock(100.0, now=hands)
    for step in range(90):
        hands.time += 1
        clock.step()
        assert clock.steps_to_cool(95 - step) is None


def test_time_before_an_interruption_counts() -> None:
    hands = Hands()
    clock = Clock(100.0, spent=99.0, now=hands)
    assert not clock.over
    hands.time += 1
    assert clock.spent == 100.0
    assert clock.over
