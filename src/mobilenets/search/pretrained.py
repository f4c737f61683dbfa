"""The weights that a search begins from: the published ones that are to be had, or those that somebody names."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from mobilenets.architecture.network import Network
from mobilenets.architecture.rescale import takes, with_resolution, with_width
from mobilenets.base.progress import SILENT, Progress
from mobilenets.base.text import plural
from mobilenets.data.dataset import Dataset
from mobilenets.data.loading import prepare
from mobilenets.data.splitting import spread
from mobilenets.errors import ArchitectureError, FormatError, MissingDependencyError, MobileNetsError
from mobilenets.formats.available import available_weights
from mobilenets.formats.known_weights import KnownWeights
from mobilenets.formats.loading import load_model
from mobilenets.model.integer_weights import dequantize
from mobilenets.model.model import Model
from mobilenets.model.unfolding import with_batch_norms
from mobilenets.search.budget import Budget
from mobilenets.search.candidates import (
    LEAST_ACCURACY,
    OCTAVE,
    Device,
    candidate_of,
    candidate_on,
    covered,
    octaves_lost,
)
from mobilenets.search.contenders import Pretrained, narrower_widths
from mobilenets.search.microcontroller import PRECISION, Microcontroller
from mobilenets.training.beforehand import weight_files
from mobilenets.training.head import check_trainable, with_classes

AUTO = "auto"
UNFOLDING_IMAGES = 32
"""Training images by which batch norms are put back into folded networks."""
MOST_FETCHED = 4
"""Weights that are fetched at most, where the cache holds none."""
MOST_LOADED = 16
"""Weights of the cache that are looked at: the most promising."""
USUAL_MACS_PER_MS = {"float32": 4e7, "int8": 1.5e8}
"""What one thread of a usual processor computes, by which weights are looked at before anything is measured."""


def pretrained_weights(
    wanted: Model | str | Path | None,
    budget: Budget,
    *,
    family: str | None,
    sides: Sequence[int],
    classes: int,
    precisions: Sequence[str],
    device: Device | None = None,
    progress: Progress = SILENT,
) -> tuple[Pretrained, ...]:
    """Load the weights that a search begins from.

    Args:
        wanted: ``"auto"`` for the published ones that are to be had: those of the cache or, where it holds none, the
            most promising that can be fetched. Or a Model, or what :func:`~mobilenets.formats.loading.load_model` reads
            as one, or a folder of several such files.
        budget: What cannot meet it by its computed costs is not loaded.
        family: Only of this architecture.
        sides: Resolutions that are considered.
        classes: Of the data.
        precisions: That are considered.
        device: What the Model is used on; None for this machine.
        progress: Receives progress updates, and a note of what cannot be had.

    Returns:
        The weights; none where nothing is to be had, which only ``"auto"`` may end in.

    Raises:
        ModelFileError: If what somebody named does not exist.
        FormatError: If it cannot be read.
        TrainingError: If it cannot be trained.
    """
    if wanted is None:
        return ()
    if isinstance(wanted, Model):
        return (_pretrained(str(wanted.network.name), wanted),)
    if str(wanted) != AUTO:
        path = Path(wanted)
        files = weight_files(path)
        if files:
            return _readable(files, progress)
        return (_pretrained(str(wanted), load_model(wanted, progress=progress)),)
    known = available_weights(family=family)
    promises = {one.name: _promise(one, budget, sides, classes, precisions, device) for one in known}
    fitting = sorted((one for one in known if promises[one.name] > 0), key=lambda one: -promises[one.name])
    if any(one.cached for one in known):
        return _loaded([one for one in fitting if one.cached][:MOST_LOADED], progress)
    return _loaded(fitting[:MOST_FETCHED], progress, first_missing_ends=True)


def _pretrained(name: str, model: Model) -> Pretrained:
    """A Model as a search takes it: float32, of images that are seen whole, as those that are trained here."""
    model = dequantize(model)
    check_trainable(model)
    return Pretrained(name, replace(model, preprocessing=replace(model.preprocessing, crop_fraction=1.0)))


def _readable(files: Sequence[Path], progress: Progress) -> tuple[Pretrained, ...]:
    """Those of some files that hold classifiers; the others are named."""
    found, refused = [], []
    for file in files:
        try:
            found.append(_pretrained(file.name, load_model(file, progress=progress)))
        except MobileNetsError as error:
            refused.append(f"{file.name}: {error}")
    if not found:
        raise FormatError(f"none of {plural(len(files), 'file')} can be trained further; {refused[0]}")
    for reason in refused:
        progress.note(f"left out: {reason}")
    return tuple(found)


def _promise(
    known: KnownWeights,
    budget: Budget,
    sides: Sequence[int],
    classes: int,
    precisions: Sequence[str],
    device: Device | None,
) -> float:
    """What weights promise within a budget, before anything is loaded: their printed accuracy, less for few pixels.

    Returns:
        In percent; 0 where the network does not meet the budget at any resolution, as far as that can be computed. How
        fast a processor is does not count for that: it counts for the resolution.
    """
    own = with_classes(known.specification.network(), classes)
    best = 0.0
    if isinstance(device, Microcontroller):
        return _promise_on_microcontroller(known, own, budget, sides, device)
    for side in sides:
        network = with_resolution(own, side, side) if takes(own, side) else own
        for precision in precisions:
            candidate = candidate_of(network, precision, accuracy=0.0, latency_ms=None)
            likely_ms = candidate.macs / USUAL_MACS_PER_MS[precision]
            limits = replace(budget, max_latency_ms=None, min_accuracy=None)
            if not limits.meets(candidate):
                continue
            beyond = max(1.0, likely_ms / budget.max_latency_ms) if budget.max_latency_ms else 1.0
            lost = OCTAVE * (math.log2(max(1.0, known.resolution / side)) + math.log2(beyond))
            best = max(best, known.top1 - lost, 0.1)
    return best


def _promise_on_microcontroller(
    known: KnownWeights, own: Network, budget: Budget, sides: Sequence[int], device: Microcontroller
) -> float:
    """The same, where what counts is known beforehand. A network that is too large itself may be cut."""
    limits = replace(budget, min_accuracy=None)
    for width in (own.width_multiplier, *narrower_widths(own)):
        for side in sides:
            try:
                network = with_resolution(own, side, side)
                network = network if width == own.width_multiplier else with_width(network, width)
            except ArchitectureError:
                continue
            if not covered(network, PRECISION, device, 1):
                return 0.0
            if limits.meets(candidate_on(network, PRECISION, device, 1)):
                lost = octaves_lost(known.resolution, side) + OCTAVE * math.log2(own.width_multiplier / width)
                return max(known.top1 - lost, LEAST_ACCURACY)
    return 0.0


def _loaded(
    known: Sequence[KnownWeights], progress: Progress, *, first_missing_ends: bool = False
) -> tuple[Pretrained, ...]:
    """Load published weights. Those that cannot be had are said; with the first, nothing more is asked of a network."""
    found: list[Pretrained] = []
    for one in known:
        try:
            found.append(_pretrained(one.short_name, load_model(one.name, progress=progress)))
        except (FormatError, MissingDependencyError) as error:
            progress.note(f"published weights could not be loaded: {error}")
            if first_missing_ends:
                break
    return tuple(found)


def trainable(weights: Pretrained, dataset: Dataset) -> Pretrained:
    """Weights whose network has batch norms; those of an int8 file were folded into them.

    Args:
        weights: The weights.
        dataset: Some of its training images give the statistics.
    """
    network = weights.model.network
    if any(layer.batch_norm is not None for layer in network.layers):
        return weights
    few = dataset.train.take(spread(len(dataset.train), UNFOLDING_IMAGES))
    pixels = prepare(few, weights.model.preprocessing, network.height, network.width).pixels
    return Pretrained(weights.name, with_batch_norms(weights.model, pixels))
