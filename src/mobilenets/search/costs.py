"""Costs of Models: computed, and latencies measured on this machine side by side."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from mobilenets.architecture.cost import cost
from mobilenets.base.processors import processor_name
from mobilenets.base.progress import SILENT, Progress
from mobilenets.engine.session import Session
from mobilenets.engine.timing import time_sessions
from mobilenets.model.file import file_bytes
from mobilenets.model.model import Model


@dataclass(frozen=True)
class ModelCost:
    """Costs of one Model, computed and measured.

    Attributes:
        macs: Mult-Adds for one image.
        parameters: Trained parameters.
        file_bytes: Size of the Model file.
        memory_bytes: Peak activation memory.
        latency_ms: Median latency of one image.
        minimum_ms: Minimum latency.
        threads: Threads that shared the image.
        processor: Name of the processor.
        instruction_set: The instruction set that the engine used.
    """

    macs: int
    parameters: int
    file_bytes: int
    memory_bytes: int
    latency_ms: float
    minimum_ms: float
    threads: int
    processor: str
    instruction_set: str


def measure_costs(models: Sequence[Model], *, threads: int = 1, progress: Progress = SILENT) -> list[ModelCost]:
    """Compute and measure the costs of Models; for the latencies they take turns.

    Args:
        models: float32 or int8.
        threads: Threads that share one image.
        progress: Receives progress updates.

    Raises:
        EngineError: If the engine cannot take a Model.
    """
    sessions = [Session(model, threads) for model in models]
    times = time_sessions(sessions, progress=progress)
    return [_cost(session, spent) for session, spent in zip(sessions, times, strict=True)]


def _cost(session: Session, times: list[float]) -> ModelCost:
    model = session.model
    total = cost(model.network, bytes_per_activation=4 if model.quantization is None else 1)
    return ModelCost(
        macs=total.macs,
        parameters=total.parameters,
        file_bytes=file_bytes(model),
        memory_bytes=total.peak_activation_bytes,
        latency_ms=statistics.median(times),
        minimum_ms=min(times),
        threads=session.threads,
        processor=processor_name(),
        instruction_set=session.instruction_set,
    )
