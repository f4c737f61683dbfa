"""What the stages of a search may take, where all of it may take only so long."""

from __future__ import annotations

import math
from dataclasses import dataclass

TURN_SECONDS = 0.033
"""What one network's turn takes where latencies are measured."""
FITTING_SECONDS = 0.002
"""What a classifier on frozen features takes to fit, for each image."""
QUANTIZING = 90.0
"""How many times as long it takes to quantize with an image as to run the float32 network on it."""


@dataclass(frozen=True)
class Pace:
    """How fast this machine is just now, as the first images tell.

    Attributes:
        decoding: Seconds to decode an image.
        running: Seconds of a float32 network for each Mult-Add of an image.
    """

    decoding: float
    running: float

    def looking(self, macs: float) -> float:
        """Seconds to decode an image and to compute its features.

        Args:
            macs: Of the network.
        """
        return self.decoding + self.running * macs

    def probing(self, macs: float) -> float:
        """Seconds for an image that a classifier on frozen features is fitted to.

        Args:
            macs: Of the network.
        """
        return self.looking(macs) + FITTING_SECONDS

    def quantizing(self, macs: float) -> float:
        """Seconds for an image that quantization is calibrated with.

        Args:
            macs: Of the network.
        """
        return QUANTIZING * self.running * macs


@dataclass(frozen=True)
class Timetable:
    """What each stage may take, where all of it may take only so long.

    Attributes:
        seconds: For everything; None for no limit.
    """

    seconds: float | None

    MEASURING = 0.06
    """Share of the time in which the latencies of some networks are measured, ..."""
    FIRST = 0.12
    """... in which the images of the heads are decoded and those of the first usable Model computed, ..."""
    QUICK = 0.03
    """... and for a quantization that only compares."""
    HEADS = 0.15
    """Share of the time after which no further head is fitted, ..."""
    LATE_HEADS = 0.1
    """... or of what is left of it, where they begin late."""
    TUNING = 0.3
    """Share of the time for all short fine-tunings."""
    SUPERNET = 0.6
    """Share of the time after which a supernet is not trained further."""
    SUBNETS = 0.1
    """Share of the time in which its subnets are evaluated."""
    ENDING = 0.08
    """Share of the time that is kept for evaluation, files and the report, ..."""
    COMPRESSION = 0.12
    """... and for int8, ..."""
    MOST_KEPT = 0.4
    """... and for both at most, where this machine is slow at them."""

    FEWEST_PROBED, FEWEST_CALIBRATED = 200, 8
    """Images that heads are fitted to, and that int8 is calibrated with, however short the time is."""

    def rounds(self, networks: int, usual: int) -> int:
        """How often latencies are measured.

        Args:
            networks: How many networks are measured, each precision for itself.
            usual: Rounds without a limit.
        """
        if self.seconds is None:
            return usual
        return min(usual, max(2, int(self.MEASURING * self.seconds / (TURN_SECONDS * max(1, networks)))))

    def probed(self, seconds_per_image: float, usual: int) -> int:
        """Images that heads are fitted to.

        Args:
            seconds_per_image: As :meth:`Pace.probing` gives it.
            usual: Their number without a limit.
        """
        if self.seconds is None:
            return usual
        return min(usual, max(self.FEWEST_PROBED, int(self.FIRST * self.seconds / seconds_per_image)))

    def calibrated(self, seconds_per_image: float, usual: int) -> int:
        """Images that a quantization is calibrated with that only compares.

        Args:
            seconds_per_image: As :meth:`Pace.quantizing` gives it.
            usual: Their number without a limit.
        """
        if self.seconds is None:
            return usual
        return min(usual, max(self.FEWEST_CALIBRATED, int(self.QUICK * self.seconds / seconds_per_image)))

    def heads_end(self, passed: float = 0.0) -> float:
        """Seconds after the beginning at which no further head is fitted.

        Args:
            passed: Seconds since the beginning when the first is fitted.
        """
        if self.seconds is None:
            return math.inf
        return max(self.HEADS * self.seconds, passed + self.LATE_HEADS * (self.seconds - passed))

    def finalists(self, preparing: float, most: int) -> int:
        """Networks that are fine-tuned shortly; fewer than two where there is no time for it.

        Args:
            preparing: Seconds before one of them takes its first step.
            most: How many there are without a limit.
        """
        if self.seconds is None:
            return most
        return min(most, int(self.TUNING * self.seconds / (1.5 * max(preparing, 1e-9))))

    def short(self, finalists: int) -> float | None:
        """Seconds for one short fine-tuning; None for no limit."""
        return None if self.seconds is None else self.TUNING * self.seconds / finalists

    def supernet(self, passed: float) -> float | None:
        """Seconds for the training of a supernet; None for no limit.

        Args:
            passed: Seconds since the beginning.
        """
        return None if self.seconds is None else max(self.SUPERNET * self.seconds - passed, 0.05 * self.seconds)

    def subnets_end(self, passed: float) -> float:
        """Seconds after the beginning at which no further subnet is evaluated.

        Args:
            passed: Seconds since the beginning when the first is evaluated.
        """
        return math.inf if self.seconds is None else min(passed + self.SUBNETS * self.seconds, 0.8 * self.seconds)

    def full(self, passed: float, *, int8: bool, ending: float = 0.0) -> float | None:
        """Seconds for the fine-tuning of the choice; None for no limit.

        Args:
            passed: Seconds since the beginning.
            int8: Whether the choice is quantized afterwards.
            ending: Seconds of all that follows, as far as they are known.
        """
        if self.seconds is None:
            return None
        usual = (self.ENDING + (self.COMPRESSION if int8 else 0)) * self.seconds
        kept = max(usual, min(ending, self.MOST_KEPT * self.seconds))
        return max(self.seconds - passed - kept, 0.05 * self.seconds)

    def compression(self, passed: float) -> float | None:
        """Seconds for int8; None for no limit.

        Args:
            passed: Seconds since the beginning.
        """
        if self.seconds is None:
            return None
        return max(self.seconds - passed - self.ENDING * self.seconds, 0.0)
