"""What a search gives: the Model with its figures, and the phases that it went through."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from mobilenets.search.record import SearchRecord
from mobilenets.training.result import Fit, epochs_to_json
from mobilenets.training.selection import Epoch
from mobilenets.training.supernet import TrainedModel

T = TypeVar("T")


@dataclass(frozen=True)
class Phase:
    """One part of a search.

    Attributes:
        name: ``latency``, ``supernet``, ``frontier``, ``fine-tune``, ``compress`` or ``test``.
        seconds: How long it took, without earlier parts of a resumed run.
        history: Figures of its epochs, where it trained.
        best_epoch: The epoch that was kept, from 0; −1 where its start was; None where it did not train.
    """

    name: str
    seconds: float
    history: tuple[Epoch, ...] = ()
    best_epoch: int | None = None

    def to_json(self, metric: str = "top1") -> dict[str, Any]:
        """JSON-ready values, with epochs numbered from 1.

        Args:
            metric: Name of the primary figure of its epochs.
        """
        return {
            "name": self.name,
            "seconds": round(self.seconds, 1),
            "epochs": epochs_to_json(self.history, metric),
            "best_epoch": None if self.best_epoch is None else self.best_epoch + 1,
        }


@dataclass(frozen=True, eq=False, kw_only=True)
class SearchResult(Fit):
    """A Model that meets a budget, with its figures and how it was chosen.

    Attributes:
        search: How the network was chosen.
        phases: The parts of the search, in order. ``history`` is that of the fine-tuning.
        refusal: Why the int8 Model is not good enough, where nothing else meets the budget; else None.
    """

    search: SearchRecord
    phases: tuple[Phase, ...]
    refusal: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Figures as those of a :class:`~mobilenets.training.result.Fit`, and those of the search and its phases."""
        phases = [phase.to_json(self.evaluation.primary.name) for phase in self.phases]
        return super().to_json() | {"search": self.search.to_json(), "phases": phases, "refusal": self.refusal}


def timed(name: str, work: Callable[[], T]) -> tuple[T, Phase]:
    """Do some work, and describe it as a phase."""
    begun = time.monotonic()
    made = work()
    seconds = time.monotonic() - begun
    if isinstance(made, TrainedModel):
        return made, Phase(name, seconds, tuple(made.history), made.best_epoch)
    return made, Phase(name, seconds)
