"""What quantization lost: the SQNR of every layer, and the quality report of a whole int8 Model.

SQNR is the signal-to-quantization-noise ratio: the power of a layer's float results over that of what int8 changes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mobilenets.architecture.layers import INPUT, Layer
from mobilenets.errors import GateError
from mobilenets.model.map_sums import Map
from mobilenets.model.model import Model
from mobilenets.model.numpy_runtime import BATCH, layers
from mobilenets.model.preprocessing import Pixels
from mobilenets.model.quantization import TensorQuantization
from mobilenets.tasks.metrics import Share, decibels, paired_interval
from mobilenets.tasks.task import Metric

LEAST_SURE_AGREEMENT = 0.97
"""Without labels, the share of the images on which the float Model is sure that int8 must answer alike."""
DEFAULT_MAX_DROP = 1.0
"""With labels, the percentage points of top-1 that may be lost."""
_WORST = 3


# SQNR of layers -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class LayerSqnr:
    """What int8 did to one layer's results.

    Attributes:
        name: The layer.
        kind: Its kind.
        sqnr_db: SQNR of its results on calibration images, with all layers before it in int8 too, in dB.
        dead_channels: Output channels whose weights are all zero.
    """

    name: str
    kind: str
    sqnr_db: float
    dead_channels: int


def measure_sqnr(float_model: Model, quantized: Model, pixels: Pixels) -> tuple[LayerSqnr, ...]:
    """SQNR of every layer of an int8 Model.

    Args:
        float_model: The folded float32 Model whose layers those of ``quantized`` stand for, equalized as it is.
        quantized: int8.
        pixels: uint8 (N, height, width, 3).
    """
    activations = quantized.quantization.activations if quantized.quantization else {}
    found: dict[str, list[tuple[float, float]]] = {layer.name: [] for layer in quantized.network.layers}
    for begin in range(0, len(pixels), BATCH):
        some = pixels[begin : begin + BATCH]
        for (name, real), (_, result) in zip(layers(float_model, some), layers(quantized, some), strict=True):
            if name != INPUT:
                found[name].append(signal_and_error(real, result, activations.get(name)))
    return tuple(
        layer_sqnr(layer, found[layer.name], quantized.parameters.get(f"{layer.name}.weight"))
        for layer in quantized.network.layers
    )


def signal_and_error(real: Map, quantized: Map, target: TensorQuantization | None) -> tuple[float, float]:
    """Sums of squares of a layer's float results, and of their quantization error.

    Args:
        real: float32.
        quantized: uint8; float32 where ``target`` is None.
        target: Scale and zero point of ``quantized``.
    """
    value: Map = quantized
    if target is not None:
        value = (quantized.astype(np.float32) - np.float32(target.zero_point)) * np.float32(target.scale)
    return float(np.square(real, dtype=np.float64).sum()), float(np.square(value - real, dtype=np.float64).sum())


def layer_sqnr(layer: Layer, parts: Iterable[tuple[float, float]], weight: Map | None) -> LayerSqnr:
    """SQNR of a layer from the :func:`signal_and_error` of its batches and its integer weights."""
    signal, error = (sum(values) for values in zip(*parts, strict=True))
    dead = 0 if weight is None else int(np.count_nonzero(~weight.reshape(len(weight), -1).any(axis=1)))
    return LayerSqnr(layer.name, layer.kind, decibels(signal, error), dead)


# The quality report ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class QualityReport:
    """What an int8 Model lost against the float32 Model that it was made from.

    Attributes:
        agreement: Images on which both Models give the same best class.
        sure_agreement: The same, of the images on which the float Model is sure.
        logits_sqnr_db: SQNR of the logits, in dB; 0 where there were no images.
        top1_before: Images that the float Model classifies correctly; None without labels.
        top1_after: Images that the int8 Model classifies correctly.
        primary_before: The primary figure of the float Model, of a task that is no classification; None without labels.
        primary_after: The same of the int8 Model.
        lost: Images that only the float Model classifies correctly; None where that was not counted.
        gained: Images that only the int8 Model classifies correctly.
        layers: SQNR of each layer; empty where there were no images.
        calibration_overlap: Whether images that calibrated the Model are among those that evaluated it.
        bytes_before: Size of the float Model's file; None where it was not measured, as the next three.
        bytes_after: Size of the int8 Model's file.
        latency_before_ms: Shortest measured time of one image on one thread, float32.
        latency_after_ms: The same of the int8 Model.
    """

    agreement: Share = Share(0, 0)
    sure_agreement: Share = Share(0, 0)
    logits_sqnr_db: float = 0.0
    top1_before: Share | None = None
    top1_after: Share | None = None
    layers: tuple[LayerSqnr, ...] = ()
    calibration_overlap: bool = False
    bytes_before: int | None = None
    bytes_after: int | None = None
    latency_before_ms: float | None = None
    latency_after_ms: float | None = None
    lost: int | None = None
    gained: int | None = None
    primary_before: Metric | None = None
    primary_after: Metric | None = None

    @property
    def evaluated(self) -> bool:
        """Whether there were images to evaluate on."""
        return self.agreement.total > 0

    @property
    def primary(self) -> float | None:
        """The primary figure of the int8 Model, from 0 to 1: of a classifier top-1; None without labels."""
        if self.primary_after is not None:
            return self.primary_after.value
        return None if self.top1_after is None else self.top1_after.value

    @property
    def drop(self) -> float | None:
        """Percentage points of the primary figure lost, of a classifier top-1; None without labels."""
        if self.primary_before is not None and self.primary_after is not None:
            return 100 * (self.primary_before.value - self.primary_after.value)
        if self.top1_before is None or self.top1_after is None:
            return None
        return 100 * (self.top1_before.value - self.top1_after.value)

    @property
    def drop_interval(self) -> tuple[float, float] | None:
        """95 % confidence interval of :attr:`drop`, in percentage points; None without labels."""
        if self.drop is None:
            return None
        if self.lost is None or self.gained is None:
            return self.drop, self.drop
        low, high = paired_interval(self.lost, self.gained, self.agreement.total)
        return 100 * low, 100 * high

    @property
    def worst(self) -> tuple[LayerSqnr, ...]:
        """The layers with the lowest SQNR."""
        return tuple(sorted(self.layers, key=lambda layer: layer.sqnr_db)[:_WORST])

    def shortfall(self, max_drop: float = DEFAULT_MAX_DROP) -> str | None:
        """What the Model lost too much on these images, beyond doubt or not; None where it lost no more than it may.

        Args:
            max_drop: Percentage points of top-1 that may be lost, where there are labels.
        """
        if not self.evaluated:
            return "there are no images to evaluate it on"
        if self.drop is not None:
            if self.drop <= max_drop:
                return None
            ends = ""
            if self.lost is not None and self.drop_interval is not None:
                low, high = self.drop_interval
                ends = f" (95 % interval {low:.1f} to {high:.1f})"
            what = "top-1" if self.primary_after is None else self.primary_after.title
            return f"{what} falls by {self.drop:.2f} points{ends}; at most {max_drop:g} are allowed"
        if self._followed.value >= LEAST_SURE_AGREEMENT:
            return None
        # A float Model that is never sure must be followed on every image.
        where = "where the float Model is sure, " if self.sure_agreement.total else ""
        return f"{where}the Models agree on {self._followed}; without labels {LEAST_SURE_AGREEMENT:.0%} are needed"

    def refusal(self, max_drop: float = DEFAULT_MAX_DROP) -> str | None:
        """Why the Model is not good enough, or None if it is, or may be.

        A loss that so few images do not tell from an allowed one is no reason: see :meth:`doubt`.

        Args:
            max_drop: Percentage points of top-1 that may be lost, where there are labels.
        """
        return None if self._is_undecided(max_drop) else self.shortfall(max_drop)

    def doubt(self, max_drop: float = DEFAULT_MAX_DROP) -> str | None:
        """What these images show and do not prove: a loss that is larger than allowed, but may be chance.

        Args:
            max_drop: Percentage points of top-1 that may be lost, where there are labels.
        """
        shortfall = self.shortfall(max_drop)
        if shortfall is None or not self._is_undecided(max_drop):
            return None
        return f"{shortfall}, but {self.agreement.total} images cannot tell that from chance"

    def _is_undecided(self, max_drop: float) -> bool:
        """Whether the true loss may be an allowed one, whatever it is on these images."""
        if not self.evaluated:
            return False
        if self.drop_interval is not None:
            return self.drop_interval[0] <= max_drop
        return self._followed.interval[1] >= LEAST_SURE_AGREEMENT

    @property
    def _followed(self) -> Share:
        return self.sure_agreement if self.sure_agreement.total else self.agreement

    def provenance(self) -> dict[str, Any]:
        """JSON-ready metrics that a Model's provenance keeps.

        Nothing that follows from the others, and no measured time: the same images give the same file.
        """
        counts = {
            "agreement": self.agreement,
            "sure_agreement": self.sure_agreement,
            "top1_before": self.top1_before,
            "top1_after": self.top1_after,
        }
        return {
            **{name: [share.count, share.total] for name, share in counts.items() if share is not None},
            "logits_snr_db": self.logits_sqnr_db,
            **self._primary_to_json(),
            "calibration_images_used": self.calibration_overlap,
        }

    def _primary_to_json(self) -> dict[str, Any]:
        if self.primary_before is None or self.primary_after is None:
            return {}
        values = {"before": self.primary_before.value, "after": self.primary_after.value}
        return {"metric": self.primary_after.name, **values}

    def to_json(self) -> dict[str, Any]:
        """JSON-ready values."""
        return {
            "agreement": self.agreement.to_json(),
            "sure_agreement": self.sure_agreement.to_json(),
            "logits_snr_db": self.logits_sqnr_db,
            "top1_before": None if self.top1_before is None else self.top1_before.to_json(),
            "top1_after": None if self.top1_after is None else self.top1_after.to_json(),
            **self._primary_to_json(),
            "drop": self.drop,
            "drop_interval": None if self.drop_interval is None else list(self.drop_interval),
            "lost": self.lost,
            "gained": self.gained,
            "bytes_before": self.bytes_before,
            "bytes_after": self.bytes_after,
            "latency_before_ms": self.latency_before_ms,
            "latency_after_ms": self.latency_after_ms,
            "calibration_images_used": self.calibration_overlap,
            "layers": [{"name": layer.name, "kind": layer.kind, "snr_db": layer.sqnr_db} for layer in self.layers],
        }


def refuse(report: QualityReport, steps: Sequence[str], max_drop: float = DEFAULT_MAX_DROP) -> None:
    """Raise if an int8 Model is not good enough.

    Args:
        report: What it lost.
        steps: What is left to try.
        max_drop: Percentage points of top-1 that may be lost, where there are labels.

    Raises:
        GateError: With the reason, the layers of lowest SQNR, and what to try next.
    """
    reason = report.refusal(max_drop)
    if reason is None:
        return
    worst = ", ".join(f"{layer.name} ({layer.sqnr_db:.1f} dB)" for layer in report.worst)
    where = f"; lowest SQNR in {worst}" if worst else ""
    what = "is not good enough" if report.evaluated else "is not evaluated"
    *others, last = steps
    next_steps = f"{', '.join(others)} or {last}" if others else last
    raise GateError(f"the int8 Model {what}: {reason}{where}. Try {next_steps}")
