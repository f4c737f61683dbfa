"""The measured frontier: slices of a shared Model, their accuracy on one's own images and their latency.

No PyTorch is needed: slices whose batch-norm statistics the Model's file holds are used as they are, and those of any
other size are measured on training images by NumPy.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from mobilenets.base.progress import SILENT, Progress
from mobilenets.compression.quality import file_bytes
from mobilenets.data.dataset import Dataset, reload_dataset
from mobilenets.engine.session import Session
from mobilenets.errors import DataError, PlanningError
from mobilenets.model.model import Model
from mobilenets.search.budget import Budget
from mobilenets.search.candidates import Candidate, candidate_of
from mobilenets.search.judging import Cost, Judge, Size
from mobilenets.search.profile import DeviceProfile, synthetic_model, time_sessions


def data_of(shared: Model, source: str | Path | None, *, progress: Progress = SILENT) -> Dataset:
    """The images that a shared Model was trained on, in the same parts.

    Args:
        shared: The Model.
        source: Where they are; None for where they were.
        progress: Hears about reading.

    Raises:
        PlanningError: If the Model does not say what it was trained on.
        DataError: If the images cannot be read, or are others: images that the Model knows would then judge it.
    """
    found = shared.provenance.get("data")
    if not isinstance(found, dict) or not {"source", "fingerprint", "seed"} <= set(found):
        raise PlanningError("the shared Model does not say what it was trained on, so nothing can judge its slices")
    return reload_dataset(found, source, progress=progress)


def measured_candidates(
    shared: Model,
    dataset: Dataset,
    *,
    sizes: Sequence[Size] = (),
    precisions: Sequence[str] = ("float32",),
    budget: Budget = Budget(),
    threads: int = 1,
    profile: DeviceProfile | None = None,
    progress: Progress = SILENT,
) -> list[Candidate]:
    """Slices of a shared Model with their accuracy on the validation images and their latency.

    Args:
        shared: A Model that was trained to be sliced.
        dataset: What it was trained on: validation images judge, training images calibrate.
        sizes: (α, resolution) of the slices, in all precisions; by default those that the Model has statistics of, in
            int8 only where that could be taken.
        precisions: ``float32``, ``int8`` or both.
        budget: What they may cost.
        threads: Threads that share one image.
        profile: Latencies of another device; None to measure here, all slices side by side.
        progress: Hears about every slice.

    Raises:
        PlanningError: If the Model was not trained to be sliced, or the profile does not cover a slice.
        ModelError: If a width is below the smallest that was trained.
        ArchitectureError: If a width or resolution cannot be had.
        DataError: If there are no validation images.
    """
    if not shared.slices:
        raise PlanningError(
            "this Model was not trained to be sliced; mobilenets fit with a budget, such as --max-latency 5ms, writes "
            "one that was as shared.safetensors"
        )
    if not len(dataset.validation):
        raise DataError(f"{dataset.source} has no validation images")
    judge = Judge(dataset, shared.preprocessing, progress=progress)

    def slice_at(width: float, side: int) -> Model:
        """With the statistics that the file has of it, or with measured ones."""
        if (width, side) in shared.slices:
            return shared.slice(width, side)
        return shared.slice(width, side, pixels=judge.training_pixels(side))

    found = judge.in_float32(list(sizes) or sorted(shared.slices), slice_at)
    models = {size: model for size, (model, _) in found.items()}
    cost = _costs(models, precisions, threads, progress) if profile is None else _read(models, profile, threads)
    judged = judge.judged(found, precisions, cost, budget, every=bool(sizes))
    return [replace(one, file_bytes=file_bytes(model)) for one, model in judged]


def _costs(models: Mapping[Size, Model], precisions: Sequence[str], threads: int, progress: Progress) -> Cost:
    """Measured here. In int8 with random weights, which cost the same, so that not every slice must be quantised."""
    timed = {
        (*size, precision): model if precision == "float32" else synthetic_model(model.network, precision)
        for precision in precisions
        for size, model in models.items()
    }
    times = time_sessions([Session(model, threads) for model in timed.values()], progress=progress)
    medians = {place: statistics.median(spent) for place, spent in zip(timed, times, strict=True)}

    def cost(width: float, side: int, precision: str) -> Candidate:
        network = models[width, side].network
        return candidate_of(network, precision, accuracy=0.0, latency_ms=medians[width, side, precision])

    return cost


def _read(models: Mapping[Size, Model], profile: DeviceProfile, threads: int) -> Cost:
    """As another device's profile says."""

    def cost(width: float, side: int, precision: str) -> Candidate:
        network = models[width, side].network
        latency = profile.latency_of(network, precision, threads)
        return candidate_of(network, precision, accuracy=0.0, latency_ms=latency)

    return cost
