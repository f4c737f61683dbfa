"""The time of a run that may take only so long: when it must begin to cool down, and when it is over."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

COOLING_SHARE = 0.35
"""Share of the time in which the learning rate falls to zero, where a run cannot have all its steps."""
WARM_STEPS = 3
"""Steps whose times say nothing yet: they prepare their operators."""
LOOK_STEPS = 50
"""Steps by which the rate is told."""


class Clock:
    """Counts the time of a run's steps against its limit.

    Args:
        limit: Seconds that the run may take; None for no limit.
        spent: Seconds that an earlier part of it has taken.
        now: In seconds.
    """

    def __init__(self, limit: float | None, spent: float = 0.0, *, now: Callable[[], float] = time.monotonic) -> None:
        self._limit, self._before, self._now = limit, spent, now
        self._begun = now()
        self._times: deque[float] = deque(maxlen=LOOK_STEPS)

    @property
    def spent(self) -> float:
        """Seconds that the run has taken so far."""
        return self._before + self._now() - self._begun

    @property
    def over(self) -> bool:
        """Whether the time is over."""
        return self._limit is not None and self.spent >= self._limit

    def step(self) -> None:
        """Say that a step is done."""
        if self._limit is not None:
            self._times.append(self._now())

    def steps_to_cool(self, left: int) -> int | None:
        """For how many steps to cool down from now on; None while it is too early for that, or not needed.

        Args:
            left: Steps that the run would still have.
        """
        if self._limit is None or len(self._times) <= WARM_STEPS:
            return None
        rate = (len(self._times) - 1) / max(1e-9, self._times[-1] - self._times[0])
        remaining = self._limit - self.spent
        if left <= rate * remaining or remaining > COOLING_SHARE * self._limit:
            return None
        return max(1, int(rate * remaining))
