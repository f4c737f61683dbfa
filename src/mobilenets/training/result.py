"""What came of a training run: the Model, its figures, and how it came to be."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch

from mobilenets import __version__
from mobilenets.compression.quality import Verdict
from mobilenets.data.dataset import Dataset
from mobilenets.engine.evaluate import Evaluation
from mobilenets.model.model import Model
from mobilenets.search.result import Search
from mobilenets.training.recipes import Recipe
from mobilenets.training.run import TrainingRun
from mobilenets.training.selection import Epoch


@dataclass(frozen=True)
class Phase:
    """One part of a run that has several.

    Attributes:
        name: ``latency``, ``shared``, ``frontier``, ``specialise``, ``compress`` or ``test``.
        seconds: How long it took, without earlier parts of a resumed run.
        history: Figures of its epochs, where it trained.
        best_epoch: The epoch that was kept, from 0; −1 where its start was; None where it did not train.
    """

    name: str
    seconds: float
    history: tuple[Epoch, ...] = ()
    best_epoch: int | None = None


@dataclass(frozen=True, eq=False)
class Fit:
    """What came of a run.

    Attributes:
        model: The Model of the epoch that was kept.
        dataset: What it was trained, validated and tested on.
        evaluation: Its figures on the test images, which nothing was chosen by.
        history: Figures of every epoch.
        best_epoch: The epoch that was kept, from 0; −1 where none was better than the slice that it started from.
        seconds: How long it all took, without earlier parts of a resumed run.
        search: How the network was chosen, where a budget did; None where a person did.
        phases: The parts of a run that had several, in order: the shared network, its frontier, the specialisation and
            so on. ``history`` is then that of the specialisation.
        float_model: The float32 Model that ``model`` was compressed from, where it is int8.
        verdict: What that compression lost, on the validation images.
    """

    model: Model
    dataset: Dataset
    evaluation: Evaluation
    history: list[Epoch]
    best_epoch: int
    seconds: float
    search: Search | None = None
    phases: tuple[Phase, ...] = ()
    float_model: Model | None = None
    verdict: Verdict | None = None


def metrics_of(result: Fit) -> dict[str, Any]:
    """JSON-ready figures of a run: of the test images, of every epoch, and how long it took.

    Where a budget chose the network, also how (``search``), with what each phase of the run took and learned
    (``phases``), and what int8 lost (``compression``). Epochs are numbered from 1; ``best_epoch`` is 0
    where the start was kept.
    """
    found: dict[str, Any] = {
        "test": result.evaluation.to_json(),
        "best_epoch": result.best_epoch + 1,
        "validation_top1": result.model.provenance["metrics"]["validation_top1"],
        "epochs": _epochs(result.history),
        "seconds": round(result.seconds, 1),
        "images": {name: len(result.dataset.part(name)) for name in ("train", "validation", "test")},
        "skipped": list(result.dataset.skipped),
        "provenance": dict(result.model.provenance),
    }
    if result.search is not None:
        found["search"] = result.search.to_json()
    if result.phases:
        found["phases"] = [
            {
                "name": phase.name,
                "seconds": round(phase.seconds, 1),
                "epochs": _epochs(phase.history),
                "best_epoch": None if phase.best_epoch is None else phase.best_epoch + 1,
            }
            for phase in result.phases
        ]
    if result.verdict is not None:
        found["compression"] = result.verdict.encode()
    return found


def _epochs(history: Sequence[Epoch]) -> list[dict[str, Any]]:
    return [{**asdict(epoch), "number": epoch.number + 1} for epoch in history]


def provenance_of(
    dataset: Dataset,
    recipe: Recipe,
    run: TrainingRun,
    best_epoch: int,
    validation_top1: float | None,
    evaluation: Evaluation,
) -> Mapping[str, Any]:
    """How the Model came to be. Nothing that a clock says: the same run gives the same file."""
    return {
        "made_by": "fit",
        "data": {"source": dataset.source, "fingerprint": dataset.fingerprint, "seed": run.seed},
        "recipe": asdict(recipe),
        "seed": run.seed,
        "epochs": run.epochs,
        "best_epoch": best_epoch + 1,
        "validation_joined": None if run.joined is None else run.joined + 1,
        "device": run.device.type,
        "precision": run.precision,
        "threads": torch.get_num_threads(),
        "metrics": {"validation_top1": validation_top1, "test_top1": evaluation.top1},
        "versions": {
            "mobilenets": __version__,
            "torch": str(torch.__version__),
            "numpy": np.__version__,
            "python": platform.python_version(),
        },
    }
