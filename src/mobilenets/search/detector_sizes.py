"""Detectors that a budget may take: for each backbone and width the largest resolution, and what that promises.

Nothing is trained to find them. What a detector promises follows from how well its backbone classifies, and from its
resolution, as published detectors do; where several promise about the same, a short training of each decides
(:mod:`mobilenets.search.detectors`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from mobilenets.architecture.network import Network
from mobilenets.engine.session import Session
from mobilenets.engine.timing import time_sessions
from mobilenets.errors import ArchitectureError, PlanningError
from mobilenets.formats.known_weights import known_weights
from mobilenets.model.model import Model
from mobilenets.search.candidates import Candidate, candidate_on
from mobilenets.search.contenders import Contender, Pretrained, contenders_of
from mobilenets.search.ending import SearchRequest
from mobilenets.search.measuring import synthetic_model
from mobilenets.tasks.detection import Detection
from mobilenets.training.detection.fit import detector_architecture, planned_detector

SIDES = tuple(range(96, 417, 32))
"""Resolutions that are considered where nobody names one."""
SCRATCH_WIDTHS = (0.5, 0.35, 0.25)
"""Values of α that are considered where nothing is begun from and nobody names one."""
ROUNDS = 3
POINTS = 0.77
"""Points of mAP that a point of its backbone's top-1 on ImageNet is worth. Source: V3 large and small in SSDLite on
COCO, 22.0 and 16.1 %, and on ImageNet, 75.2 and 67.5 %; Howard et al. 2019, arXiv:1905.02244, tables 3 and 6."""
OCTAVE = 4.8
"""Points of mAP that twice the side is worth. Source: SSD of 300 and 512 pixels on COCO, 23.2 and 26.8 %; Liu et al.
2016, arXiv:1512.02325, table 5."""
WIDTH_OCTAVE = 9.0
"""Points of top-1 that half the width costs, where no network of that width is published. Source: Table 6 of the paper,
from 1.0 to 0.25."""
UNKNOWN_TOP1 = 65.0
"""Of an architecture that nobody has published weights of."""
CUT_LOSS = 3.0
"""Points of top-1 that a network which was cut to a narrower one promises less than a published one of that width."""


@dataclass(frozen=True, eq=False)
class Backbone:
    """What detectors of several resolutions begin from.

    Attributes:
        name: What its weights are called; empty where there are none.
        width: α.
        contenders: The classifier at each resolution; None to begin from nothing.
        top1: What it promises to get on ImageNet, in percent.
    """

    name: str
    width: float
    contenders: dict[int, Contender | None]
    top1: float

    @property
    def family(self) -> str:
        """Name of the classifier's network; empty where there is none."""
        first = next(iter(self.contenders.values()))
        return "" if first is None else first.network.name

    def promise(self, side: int) -> float:
        """What a detector of that resolution promises, in points of mAP up to a constant."""
        return POINTS * self.top1 + OCTAVE * math.log2(side)

    def start(self, side: int) -> Model | None:
        """The classifier at a resolution. The statistics of a cut network's batch norms are not its own yet."""
        contender = self.contenders[side]
        return None if contender is None else contender.model()


@dataclass(frozen=True, eq=False)
class DetectorSize:
    """A detector at one resolution and in one precision, before it is trained.

    Attributes:
        backbone: What it begins from.
        network: Its layers.
        task: What its outputs mean.
        candidate: What it costs.
    """

    backbone: Backbone
    network: Network
    task: Detection
    candidate: Candidate

    @property
    def promise(self) -> float:
        """In points of mAP, up to a constant."""
        return self.backbone.promise(self.network.height)

    def __str__(self) -> str:
        weights = f"{self.backbone.name}, " if self.backbone.name else ""
        return f"{weights}α {self.backbone.width:g} at {self.network.height}×{self.network.width}"


def backbones(request: SearchRequest, weights: Sequence[Pretrained]) -> list[Backbone]:
    """What detectors may begin from.

    Args:
        request: What is searched for.
        weights: What is to be had; none to train from scratch.

    Raises:
        PlanningError: If none of the weights is as narrow as was asked for, or takes such images.
    """
    _, named = detector_architecture(request.settings)
    largest = request.settings.resolution or named.resolution
    widest = request.settings.width or named.width_multiplier
    sides = SIDES if largest is None else (*(side for side in SIDES if side < largest), largest)
    if not weights:
        widths = {width for width in SCRATCH_WIDTHS if width <= (widest or 1)} | ({widest} if widest else set())
        return [Backbone("", one, dict.fromkeys(sides), likely_top1(named.name, one)) for one in sorted(widths)]
    ordered = sorted(weights, key=lambda each: not _has_batch_norms(each))  # a stable sort
    found = [one for each in ordered for one in _of_weights(each, len(request.dataset.labels), sides)]
    found = _one_of_each([one for one in found if widest is None or one.width <= widest])
    if not found:
        within = "" if widest is None else f", or of width {widest:g} at most"
        raise PlanningError(f"none of the weights is of a network that takes images of these sizes{within}")
    return found


def _has_batch_norms(weights: Pretrained) -> bool:
    """Whether they are float weights as they were trained; those of int8 files have their batch norms folded."""
    return any(layer.batch_norm is not None for layer in weights.model.network.layers)


def _one_of_each(found: Sequence[Backbone]) -> list[Backbone]:
    """Of several backbones of one family and width the most promising, the first of those that promise the same."""
    best: dict[tuple[str, float], Backbone] = {}
    for one in found:
        key = one.family, one.width
        if key not in best or one.top1 > best[key].top1:
            best[key] = one
    return list(best.values())


def _of_weights(weights: Pretrained, classes: int, sides: Sequence[int]) -> list[Backbone]:
    by_width: dict[float, dict[int, Contender | None]] = {}
    for cut in (False, True):
        for one in contenders_of(weights, sides, classes=classes, cut=cut):
            by_width.setdefault(one.network.width_multiplier, {})[one.network.height] = one
    network = weights.model.network
    return [
        Backbone(
            weights.name,
            width,
            found,
            likely_top1(network.name, width) - CUT_LOSS * (width < network.width_multiplier),
        )
        for width, found in by_width.items()
    ]


def likely_top1(family: str, width: float) -> float:
    """Top-1 on ImageNet of a network of a family, in percent: published, or judged by the nearest width that is.

    >>> likely_top1("mobilenet_v2", 1.0) > likely_top1("mobilenet_v2", 0.7) > likely_top1("mobilenet_v2", 0.35) > 50
    True
    """
    known: dict[float, float] = {}
    for one in known_weights():
        if one.family == family:
            known[one.width_multiplier] = max(one.top1, known.get(one.width_multiplier, 0.0))
    if not known:
        return UNKNOWN_TOP1 + WIDTH_OCTAVE * math.log2(width)
    nearest = min(known, key=lambda each: abs(math.log2(each / width)))
    return known[nearest] + WIDTH_OCTAVE * math.log2(width / nearest)


def largest_sizes(request: SearchRequest, found: Sequence[Backbone], margin: float) -> list[DetectorSize]:
    """The largest detector within the budget on each backbone that promises enough, the most promising first.

    Args:
        request: What is searched for.
        found: The backbones.
        margin: Points of mAP below the most promising within which a detector is of interest.

    Raises:
        PlanningError: If none meets the budget; the message names the smallest.
    """
    sizes: list[DetectorSize] = []
    best, smallest = -math.inf, ""
    for backbone in sorted(found, key=lambda one: -one.promise(max(one.contenders))):
        if backbone.promise(max(backbone.contenders)) < best - margin:
            continue
        size = _largest(request, backbone)
        if size is None:
            smallest = f"{min(backbone.contenders)}×{min(backbone.contenders)} in {request.precisions[-1]}"
            continue
        sizes.append(size)
        best = max(best, size.promise)
    if not sizes:
        raise PlanningError(
            f"no detector is within {request.budget}: {smallest}, the smallest, is not. A narrower or lighter "
            "architecture may be, such as ssdlite_mobilenet_v3_small or centres_mobilenet_v2@0.35"
        )
    return sorted((one for one in sizes if one.promise >= best - margin), key=lambda one: -one.promise)


def _largest(request: SearchRequest, backbone: Backbone) -> DetectorSize | None:
    """The largest resolution within the budget, in float32 where that is as large as in int8."""
    best: DetectorSize | None = None
    for precision in ("float32", "int8"):
        if precision in request.precisions:
            size = _largest_in(request, backbone, precision)
            if size is not None and (best is None or size.network.height > best.network.height):
                best = size
    return best


def _largest_in(request: SearchRequest, backbone: Backbone, precision: str) -> DetectorSize | None:
    """By halving: what costs too much at one resolution does at all larger ones."""
    sides = sorted(backbone.contenders)
    low, high, best = 0, len(sides), None
    while low < high:
        middle = (low + high) // 2 if best is not None or high < len(sides) else high - 1  # the largest first
        size = sized(request, backbone, sides[middle], precision)
        if size is not None and request.budget.meets(size.candidate):
            low, best = middle + 1, size
        else:
            high = middle
    return best


def sized(
    request: SearchRequest, backbone: Backbone, side: int, precision: str, *, measured: bool = True
) -> DetectorSize | None:
    """A detector with what it costs; None where none can be built on that backbone.

    Args:
        request: What is searched for.
        backbone: What it begins from.
        side: Resolution, in pixels.
        precision: ``float32`` or ``int8``.
        measured: Whether its latency is measured, where the budget limits that.
    """
    width = None if backbone.name else backbone.width
    settings = replace(request.settings, resolution=side, width=width)
    try:
        network, task = planned_detector(backbone.start(side), request.dataset, settings)
    except ArchitectureError:
        return None
    candidate = candidate_on(network, precision, request.device, request.threads)
    limits = replace(request.budget, max_latency_ms=None)
    if request.budget.max_latency_ms is not None and request.device is None:
        latency = math.inf  # too large anyway
        if limits.meets(candidate) or not measured:
            latency = _latency_ms(network, task, precision, request.threads)
        candidate = replace(candidate, latency_ms=latency)
    return DetectorSize(backbone, network, task, candidate)


def _latency_ms(network: Network, task: Detection, precision: str, threads: int) -> float:
    (spent,) = time_sessions([Session(synthetic_model(network, precision, task), threads)], rounds=ROUNDS)
    return min(spent)
