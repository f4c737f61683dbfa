"""What the stages of a search may take, where all of it may take only so long."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Timetable:
    """What each stage may take, where all of it may take only so long.

    Attributes:
        seconds: For everything; None for no limit.
    """

    seconds: float | None

    HEADS = 0.15
    """Share of the time after which no further head is fitted."""
    TUNING = 0.3
    """Share of the time for all short fine-tunings."""
    SUPERNET = 0.6
    """Share of the time after which a supernet is not trained further."""
    ENDING = 0.08
    """Share of the time that is kept for evaluation and files, ..."""
    COMPRESSION = 0.12
    """... and for int8."""

    def heads_end(self) -> float:
        """Seconds after the beginning at which no further head is fitted."""
        return math.inf if self.seconds is None else self.HEADS * self.seconds

    def short(self, finalists: int) -> float | None:
        """Seconds for one short fine-tuning; None for no limit."""
        return None if self.seconds is None else self.TUNING * self.seconds / finalists

    def supernet(self, passed: float) -> float | None:
        """Seconds for the training of a supernet; None for no limit.

        Args:
            passed: Seconds since the beginning.
        """
        return None if self.seconds is None else max(self.SUPERNET * self.seconds - passed, 0.05 * self.seconds)

    def full(self, passed: float, *, int8: bool) -> float | None:
        """Seconds for the fine-tuning of the choice; None for no limit.

        Args:
            passed: Seconds since the beginning.
            int8: Whether the choice is quantized afterwards.
        """
        if self.seconds is None:
            return None
        kept = (self.ENDING + (self.COMPRESSION if int8 else 0)) * self.seconds
        return max(self.seconds - passed - kept, 0.05 * self.seconds)
