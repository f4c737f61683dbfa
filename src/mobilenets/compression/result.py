"""The result of the int8 pipeline: the Model, how it was made and what it lost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from mobilenets.compression.config import QuantizationConfig
from mobilenets.compression.images import QuantizationImages
from mobilenets.compression.quality import DEFAULT_MAX_DROP, QualityReport, refuse
from mobilenets.compression.techniques import Contribution
from mobilenets.model.model import Model


class Method(StrEnum):
    """How an int8 Model is made."""

    CALIBRATED = "calibrated"
    """With calibration images, without training."""
    TRAINED = "trained"
    """With calibration images and quantization-aware training."""
    DATA_FREE = "data-free"
    """Without images."""


@dataclass(frozen=True, eq=False)
class CompressionResult:
    """An int8 Model, how it was made and what it lost.

    Attributes:
        model: The int8 Model; its provenance says how it was made.
        report: What it lost, with file sizes and latencies.
        config: What it was made with.
        method: How it was made.
        images: Which images calibrated, evaluated and trained.
        max_drop: Percentage points of top-1 that might be lost.
        next_steps: What is left to try.
        contributions: What each technique contributes, if it was asked for.
        untrained: Report before training, which contributions are compared with.
    """

    model: Model
    report: QualityReport
    config: QuantizationConfig
    method: Method
    images: QuantizationImages
    max_drop: float = DEFAULT_MAX_DROP
    next_steps: tuple[str, ...] = ()
    contributions: tuple[Contribution, ...] = ()
    untrained: QualityReport | None = None

    @property
    def refusal(self) -> str | None:
        """Why the Model is not good enough, or None if it is."""
        return self.report.refusal(self.max_drop)

    @property
    def doubt(self) -> str | None:
        """What the images show against the Model and do not prove; None where they show nothing."""
        return self.report.doubt(self.max_drop)

    def check(self, next_steps: Sequence[str] | None = None) -> None:
        """Raise if the Model is not good enough.

        Args:
            next_steps: What the message proposes to try, if not :attr:`next_steps`.

        Raises:
            GateError: With the reason, the layers of lowest SQNR, and what to try next.
        """
        refuse(self.report, next_steps or self.next_steps, self.max_drop)
