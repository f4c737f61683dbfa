"""The gate: what a compressed Model lost, measured, and whether that is little enough to be written.

It compares the int8 Model with the float one it was made from on the same images: how often they agree, how often
where the float Model is sure, and, where there are labels, what became of the accuracy. A Model that lost too much
is refused with the worst layers and what to try next, and the ladder tries that by itself.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mobilenets.base.progress import SILENT, Progress
from mobilenets.compression.quantize import Options, Quantized, Rounding
from mobilenets.compression.ranges import RangeMethod
from mobilenets.compression.sqnr import LayerNoise, decibels
from mobilenets.errors import CompressionError, GateError
from mobilenets.model.file import save
from mobilenets.model.model import Model
from mobilenets.model.numpy_runtime import run
from mobilenets.model.preprocessing import Pixels
from mobilenets.tasks.classification import class_count

Logits = npt.NDArray[np.float32]

Stopwatch = Callable[[Sequence[Model]], list[float]]
"""Least time of one image on one thread for each of some Models, in ms, taken turn by turn."""

SURE = 0.5
"""Probability of its best class from which on the float Model is called sure."""
LEAST_SURE_AGREEMENT = 0.97
"""Without labels, the share of those images on which the int8 Model must say the same."""
DEFAULT_MAX_DROP = 1.0
"""With labels, the points of top-1 that may be lost."""
_WORST = 3


@dataclass(frozen=True)
class Share:
    """Some of some images.

    Attributes:
        count: How many.
        total: Of how many.
    """

    count: int
    total: int

    @property
    def value(self) -> float:
        """From 0 to 1; NaN of no images."""
        return self.count / self.total if self.total else math.nan

    @property
    def interval(self) -> tuple[float, float]:
        """95 % confidence interval. Source: E. B. Wilson 1927, the score interval.

        >>> tuple(round(end, 3) for end in Share(95, 100).interval)
        (0.888, 0.978)
        """
        if not self.total:
            return 0.0, 1.0
        spread = 1.959964**2 / self.total
        centre = (self.value + spread / 2) / (1 + spread)
        half = math.sqrt(self.value * (1 - self.value) * spread + spread * spread / 4) / (1 + spread)
        return max(0.0, centre - half), min(1.0, centre + half)

    def __str__(self) -> str:
        if not self.total:
            return "no images"
        low, high = self.interval
        return f"{100 * self.value:.1f} % of {self.total} (95 % interval {100 * low:.1f} to {100 * high:.1f})"


@dataclass(frozen=True)
class Verdict:
    """What a compressed Model lost.

    Attributes:
        agreement: Images on which both Models give the same best class.
        sure_agreement: The same, of the images on which the float Model is sure.
        logits_snr_db: Signal over noise of the logits, in dB; 0 where there were no images.
        top1_before: Images that the float Model gets right; None without labels.
        top1_after: Images that the int8 Model gets right.
        bytes_before: Size of the float Model's file.
        bytes_after: Size of the int8 Model's file.
        layers: Noise of each layer; empty where there were no images.
        latency_before_ms: Least time of one image on one thread; None where it was not measured.
        latency_after_ms: The same of the int8 Model.
        seen: Whether images that calibrated the Model are among those that judged it.
    """

    agreement: Share
    sure_agreement: Share
    logits_snr_db: float
    top1_before: Share | None
    top1_after: Share | None
    bytes_before: int
    bytes_after: int
    layers: tuple[LayerNoise, ...] = ()
    latency_before_ms: float | None = None
    latency_after_ms: float | None = None
    seen: bool = False

    @property
    def judged(self) -> bool:
        """Whether there were images to judge by."""
        return self.agreement.total > 0

    @property
    def drop(self) -> float | None:
        """Points of top-1 lost; None without labels."""
        if self.top1_before is None or self.top1_after is None:
            return None
        return 100 * (self.top1_before.value - self.top1_after.value)

    @property
    def worst(self) -> tuple[LayerNoise, ...]:
        """The layers with the most noise."""
        return tuple(sorted(self.layers, key=lambda layer: layer.snr_db)[:_WORST])

    def refusal(self, max_drop: float = DEFAULT_MAX_DROP) -> str | None:
        """Why the Model may not be written, or None if it may.

        Args:
            max_drop: Points of top-1 that may be lost, where there are labels.
        """
        if not self.judged:
            return "no images judged it"
        if self.drop is not None:
            if self.drop <= max_drop:
                return None
            return f"top-1 falls by {self.drop:.2f} points; at most {max_drop:g} are allowed"
        if not self.sure_agreement.total:
            # A float Model that is sure of nothing must be followed on all it says.
            if self.agreement.value >= LEAST_SURE_AGREEMENT:
                return None
            return f"the Models agree on {self.agreement}; without labels {LEAST_SURE_AGREEMENT:.0%} are needed"
        if self.sure_agreement.value >= LEAST_SURE_AGREEMENT:
            return None
        return (
            f"where the float Model is sure, the Models agree on {self.sure_agreement}; "
            f"without labels {LEAST_SURE_AGREEMENT:.0%} are needed"
        )

    def figures(self) -> dict[str, Any]:
        """JSON-ready values that a Model's provenance keeps.

        Nothing that follows from the others, and nothing that a clock says: the same images give the same file.
        """
        counts = {
            "agreement": self.agreement,
            "sure_agreement": self.sure_agreement,
            "top1_before": self.top1_before,
            "top1_after": self.top1_after,
        }
        return {
            **{name: [share.count, share.total] for name, share in counts.items() if share is not None},
            "logits_snr_db": self.logits_snr_db,
            "calibration_images_used": self.seen,
        }

    def encode(self) -> dict[str, Any]:
        """JSON-ready values."""

        def share(value: Share | None) -> dict[str, Any] | None:
            return None if value is None else {"count": value.count, "of": value.total, "interval": value.interval}

        return {
            "agreement": share(self.agreement),
            "sure_agreement": share(self.sure_agreement),
            "logits_snr_db": self.logits_snr_db,
            "top1_before": share(self.top1_before),
            "top1_after": share(self.top1_after),
            "drop": self.drop,
            "bytes_before": self.bytes_before,
            "bytes_after": self.bytes_after,
            "latency_before_ms": self.latency_before_ms,
            "latency_after_ms": self.latency_after_ms,
            "calibration_images_used": self.seen,
            "layers": [{"name": layer.name, "kind": layer.kind, "snr_db": layer.snr_db} for layer in self.layers],
        }


@dataclass(frozen=True, eq=False)
class Jury:
    """Images that Models are judged on, with the float Model's answers to them.

    Attributes:
        model: The float Model.
        pixels: uint8 (N, height, width, 3).
        targets: int64 (N,), the right classes; None without labels.
        logits: What the float Model says, (N, classes).
        seen: Whether images that calibrate are among them.
        latency_ms: Measures Models side by side, where there is something to measure with.
    """

    model: Model
    pixels: Pixels
    targets: npt.NDArray[np.int64] | None
    logits: Logits
    seen: bool = False
    latency_ms: Stopwatch | None = None

    @staticmethod
    def of(
        model: Model,
        pixels: Pixels,
        targets: npt.NDArray[np.int64] | None = None,
        *,
        seen: bool = False,
        latency_ms: Stopwatch | None = None,
        progress: Progress = SILENT,
    ) -> Jury:
        """Ask the float Model.

        Raises:
            CompressionError: If there are no images, or a target is not one of the Model's classes.
        """
        if not len(pixels):
            raise CompressionError("there are no images to judge the int8 Model on")
        classes = class_count(model.network)
        if targets is not None and (len(targets) != len(pixels) or targets.min() < 0 or targets.max() >= classes):
            raise CompressionError(
                f"{len(targets)} labels from {targets.min()} to {targets.max()} for {len(pixels)} images; "
                f"the Model has {classes} classes"
            )
        return Jury(model, pixels, targets, answers(model, pixels, progress), seen, latency_ms)

    def judge(self, model: Model, layers: tuple[LayerNoise, ...] = (), *, progress: Progress = SILENT) -> Verdict:
        """Compare an int8 Model with the float one."""
        logits = answers(model, self.pixels, progress)
        same = logits.argmax(axis=1) == self.logits.argmax(axis=1)
        sure = _largest_probability(self.logits) >= SURE
        error = np.square(logits.astype(np.float64) - self.logits).sum()
        right: list[Share | None] = [None, None]
        if self.targets is not None:
            right = [_share(answer.argmax(axis=1) == self.targets) for answer in (self.logits, logits)]
        before_ms, after_ms = self.latency_ms([self.model, model]) if self.latency_ms else (None, None)
        return Verdict(
            agreement=_share(same),
            sure_agreement=_share(same[sure]),
            logits_snr_db=decibels(float(np.square(self.logits, dtype=np.float64).sum()), float(error)),
            top1_before=right[0],
            top1_after=right[1],
            bytes_before=file_bytes(self.model),
            bytes_after=file_bytes(model),
            layers=layers,
            latency_before_ms=before_ms,
            latency_after_ms=after_ms,
            seen=self.seen,
        )


def unjudged(model: Model, held: Model, latency_ms: Stopwatch | None = None) -> Verdict:
    """What can be said of an int8 Model without a single image: its size and its latency.

    Args:
        model: The float Model that it was made from.
        held: The int8 Model.
        latency_ms: Measures both side by side, where there is something to measure with.
    """
    nothing = Share(0, 0)
    before_ms, after_ms = latency_ms([model, held]) if latency_ms else (None, None)
    sizes = file_bytes(model), file_bytes(held)
    return Verdict(nothing, nothing, 0.0, None, None, *sizes, latency_before_ms=before_ms, latency_after_ms=after_ms)


def answers(model: Model, pixels: Pixels, progress: Progress = SILENT) -> Logits:
    """A Model's first output for images, (N, classes)."""
    logits: Logits = run(model, pixels, progress=progress)[model.network.outputs[0]]
    return logits.reshape(len(logits), -1)


def refuse(verdict: Verdict, steps: Sequence[str], max_drop: float = DEFAULT_MAX_DROP) -> None:
    """Raise if the Model may not be written.

    Args:
        verdict: What it lost.
        steps: What is left to try.
        max_drop: Points of top-1 that may be lost, where there are labels.

    Raises:
        GateError: With the reason, the worst layers, and what to try next.
    """
    reason = verdict.refusal(max_drop)
    if reason is None:
        return
    worst = ", ".join(f"{layer.name} ({layer.snr_db:.1f} dB)" for layer in verdict.worst)
    where = f"; most noise in {worst}" if worst else ""
    what = "is not good enough to be written" if verdict.judged else "is not written unjudged"
    *others, last = steps
    next_steps = f"{', '.join(others)} or {last}" if others else last
    raise GateError(f"the int8 Model {what}: {reason}{where}. Try {next_steps}")


def steps_after(options: Options, *, trained: bool = False) -> list[str]:
    """What is left to try after a Model that was calibrated with images.

    Args:
        options: What it was made with.
        trained: Whether it was trained in integers, too.

    >>> steps_after(Options(ranges=RangeMethod.PERCENTILE))
    ['quantisation-aware training', 'more calibration images']
    >>> steps_after(Options(ranges=RangeMethod.PERCENTILE, weight_bits=4), trained=True)
    ['more epochs of training', 'more calibration images', '8-bit weights']
    """
    *steps, training = (step for step, _ in ladder(options))
    steps += [MORE_EPOCHS if trained else training, MORE_IMAGES]
    return steps if options.weight_bits == 8 else [*steps, WIDER_WEIGHTS]


def ladder(options: Options) -> Iterator[tuple[str, Options]]:
    """What is left to try, in order: the name of each step, and the options of it and all before it.

    The last step, quantisation-aware training, has the options that it starts from.

    >>> [step for step, _ in ladder(Options(equalize=False))]
    ['percentile ranges', 'equalisation', 'quantisation-aware training']
    """
    if options.ranges is not RangeMethod.PERCENTILE:
        options = replace(options, ranges=RangeMethod.PERCENTILE)
        yield "percentile ranges", options
    if not (options.equalize and options.absorb and options.bias_correction and options.deviation_correction):
        options = replace(options, equalize=True, absorb=True, bias_correction=True, deviation_correction=True)
        yield "equalisation", options
    if options.rounding is not Rounding.RECONSTRUCT:
        options = replace(options, rounding=Rounding.RECONSTRUCT)
        yield "reconstructed rounding", options
    yield QAT_STEP, options


QAT_STEP, MORE_EPOCHS = "quantisation-aware training", "more epochs of training"
MORE_IMAGES, WIDER_WEIGHTS = "more calibration images", "8-bit weights"


@dataclass(frozen=True)
class Contribution:
    """What one lever bought.

    Attributes:
        lever: Its name.
        without: The verdict on a Model that was made without it, and with everything else.
    """

    lever: str
    without: Verdict


def contributions(
    jury: Jury, make: Callable[[Options], Quantized], options: Options, levers: Sequence[str] | None = None
) -> list[Contribution]:
    """Make the Model once without each lever that the options use, and judge it.

    Args:
        jury: Judges.
        make: Quantises the float Model with some options.
        options: What the Model was made with.
        levers: Names of those to ask about; all if None.
    """
    without = {
        "chosen ranges": replace(options, ranges=RangeMethod.MIN_MAX),
        "equalisation": replace(options, equalize=False),
        "bias absorption": replace(options, absorb=False),
        "bias correction": replace(options, bias_correction=False),
        "deviation correction": replace(options, deviation_correction=False),
        "reconstructed rounding": replace(options, rounding=Rounding.NEAREST),
    }
    silent = replace(jury, latency_ms=None)
    found = []
    for lever, changed in without.items():
        if changed != options and (levers is None or lever in levers):
            made = make(changed)
            found.append(Contribution(lever, silent.judge(made.model, made.layers)))
    return found


def file_bytes(model: Model) -> int:
    """Size of a Model's file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.safetensors"
        save(model, path)
        return path.stat().st_size


def _share(hits: npt.NDArray[np.bool_]) -> Share:
    return Share(int(np.count_nonzero(hits)), len(hits))


def _largest_probability(logits: Logits) -> npt.NDArray[np.float64]:
    powers = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    largest: npt.NDArray[np.float64] = powers.max(axis=1) / powers.sum(axis=1)
    return largest
