"""The measured frontier: slices of a shared Model, their accuracy on one's own pictures and their latency.

No PyTorch is needed: slices whose batch-norm statistics the Model's file holds are used as they are, and those of any
other size are measured on training pictures by NumPy.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from mobilenets.compression.gate import file_bytes
from mobilenets.compression.quantize import Options, Rounding, quantize
from mobilenets.data.dataset import Dataset, load_dataset
from mobilenets.data.decoding import prepare
from mobilenets.engine.session import BATCH, Session
from mobilenets.errors import DataError, PlanningError
from mobilenets.model.model import Model
from mobilenets.model.preprocessing import Pixels
from mobilenets.planning.budget import Candidate
from mobilenets.planning.frontier import candidate
from mobilenets.planning.latency import DeviceProfile, time_sessions
from mobilenets.progress import SILENT, Progress

STATISTICS_PICTURES = 512
"""Training pictures that statistics of sizes without any are measured on."""
CALIBRATION = 64
"""Training pictures that int8 ranges come from."""
QUICK = Options(rounding=Rounding.NEAREST)
"""How slices become int8 here: what is taken can be quantised with more care."""

Size = tuple[float, int]
"""(α, resolution)."""


def data_of(shared: Model, source: str | Path | None, *, progress: Progress = SILENT) -> Dataset:
    """The pictures that a shared Model was trained on, in the same parts.

    Args:
        shared: The Model.
        source: Where they are; None for where they were.
        progress: Hears about reading.

    Raises:
        PlanningError: If the Model does not say what it was trained on, or it was something else: pictures that it
            knows would then judge it.
        DataError: If the pictures cannot be read.
    """
    found = shared.provenance.get("data")
    if not isinstance(found, dict) or not {"source", "fingerprint", "seed"} <= set(found):
        raise PlanningError("the shared Model does not say what it was trained on, so nothing can judge its slices")
    source = str(found["source"]) if source is None else source
    dataset = load_dataset(source, seed=int(found["seed"]), progress=progress)
    if dataset.fingerprint != found["fingerprint"]:
        raise PlanningError(
            f"{source} is not what the shared Model was trained on: its fingerprint is {dataset.fingerprint}, and the "
            f"Model's data had {found['fingerprint']}"
        )
    return dataset


def measured_candidates(
    shared: Model,
    dataset: Dataset,
    *,
    sizes: Sequence[Size] = (),
    precisions: Sequence[str] = ("float32",),
    threads: int = 1,
    profile: DeviceProfile | None = None,
    progress: Progress = SILENT,
) -> list[Candidate]:
    """Slices of a shared Model with their accuracy on the validation pictures and their latency.

    Args:
        shared: A Model that was trained to be sliced.
        dataset: What it was trained on: validation pictures judge, training pictures calibrate.
        sizes: (α, resolution) of the slices; by default those that the Model has statistics of.
        precisions: ``float32``, ``int8`` or both.
        threads: Threads that share one picture.
        profile: Latencies of another device; None to measure here, all slices side by side.
        progress: Hears about every slice.

    Raises:
        PlanningError: If the Model was not trained to be sliced, or the profile does not cover a slice.
        ModelError: If a width is below the smallest that was trained.
        ArchitectureError: If a width or resolution cannot be had.
        DataError: If there are no validation pictures.
    """
    if not shared.slices:
        raise PlanningError(
            "this Model was not trained to be sliced; mobilenets fit with a budget, such as --max-latency 5ms, writes "
            "one that was as shared.safetensors"
        )
    if not len(dataset.validation):
        raise DataError(f"{dataset.source} has no validation pictures")
    models: list[Model] = []
    shares: list[float] = []
    chosen = list(sizes) or sorted(shared.slices)
    with progress.task("evaluating", len(chosen) * len(precisions), "slices") as task:
        for width, side in chosen:
            for model in _in_precisions(_slice(shared, dataset, width, side), dataset, precisions):
                models.append(model)
                shares.append(_accuracy(model, dataset))
                task.advance(accuracy=f"{100 * shares[-1]:.1f} %")
    latencies = _measured(models, threads, progress) if profile is None else _read(profile, models, threads)
    return [
        replace(
            candidate(model.network, model.precision, accuracy=share, latency_ms=latency),
            file_bytes=file_bytes(model),
        )
        for model, share, latency in zip(models, shares, latencies, strict=True)
    ]


def _slice(shared: Model, dataset: Dataset, width: float, side: int) -> Model:
    """One slice, with the statistics that the file has of it, or with measured ones."""
    if (width, side) in shared.slices:
        return shared.slice(width, side)
    pixels = _some(shared, dataset, side, STATISTICS_PICTURES)
    return shared.slice(width, side, pixels=pixels)


def _in_precisions(model: Model, dataset: Dataset, precisions: Sequence[str]) -> Iterable[Model]:
    if "float32" in precisions:
        yield model
    if "int8" in precisions:
        calibration = _some(model, dataset, model.network.height, CALIBRATION)
        yield quantize(model, calibration, QUICK).model


def _some(model: Model, dataset: Dataset, side: int, count: int) -> Pixels:
    """Training pictures, spread evenly over all."""
    positions = np.unique(np.linspace(0, len(dataset.train) - 1, count).round().astype(np.int64))
    return prepare(dataset.train.take(positions), model.preprocessing, side, side).pixels


def _accuracy(model: Model, dataset: Dataset) -> float:
    network = model.network
    prepared = prepare(dataset.validation, model.preprocessing, network.height, network.width)
    session = Session(model)
    answers = [
        session.run(prepared.pixels[begin : begin + BATCH]).argmax(axis=1)
        for begin in range(0, len(prepared.pixels), BATCH)
    ]
    return float(np.mean(np.concatenate(answers) == prepared.targets))


def _measured(models: Sequence[Model], threads: int, progress: Progress) -> list[float]:
    sessions = [Session(model, threads) for model in models]
    return [statistics.median(times) for times in time_sessions(sessions, progress=progress)]


def _read(profile: DeviceProfile, models: Sequence[Model], threads: int) -> list[float]:
    return [
        profile.latency_ms(
            model.network.width_multiplier, model.network.height, model.precision, threads, model.network.classes
        )
        for model in models
    ]
