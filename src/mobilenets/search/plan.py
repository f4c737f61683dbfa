"""Planning: which network a budget is best spent on, among the published ones or the subnets of a supernet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mobilenets.architecture.multipliers import PUBLISHED_RESOLUTIONS, PUBLISHED_WIDTHS
from mobilenets.base.processors import processor_name
from mobilenets.base.progress import SILENT, Progress
from mobilenets.errors import PlanningError
from mobilenets.model.file import load
from mobilenets.model.model import Model
from mobilenets.search.budget import Budget
from mobilenets.search.candidates import Candidate, published_candidates
from mobilenets.search.frontier import choose, explain_knee, frontier
from mobilenets.search.profile import PRECISIONS, DeviceProfile, measure_profile
from mobilenets.search.supernet import dataset_of, subnet_candidates


@dataclass(frozen=True)
class PlanResult:
    """Candidates with what they cost and how accurate they are, and the choice among them.

    Attributes:
        budget: The limits, and the accuracy to reach.
        candidates: Everything that there is to choose from.
        choice: The candidate to take; one of them.
        device: Name of the processor that the latencies hold for.
        threads: Threads that share one image.
        accuracy_of: What the accuracies are, for a caption.
    """

    budget: Budget
    candidates: tuple[Candidate, ...]
    choice: Candidate
    device: str
    threads: int
    accuracy_of: str

    @property
    def frontier(self) -> list[Candidate]:
        """The candidates that no other beats in both latency and accuracy, quickest first."""
        return frontier(self.candidates)

    @property
    def reason(self) -> str:
        """Why the choice was taken."""
        if self.budget.min_accuracy is not None:
            return "the quickest that reaches the accuracy"
        return explain_knee(self.candidates, self.choice) if self.budget.empty else "the best within the budget"

    def to_json(self) -> dict[str, Any]:
        """JSON-ready values."""
        best = self.frontier
        return {
            "device": self.device,
            "accuracy": self.accuracy_of,
            "candidates": [{**asdict(one), "on_frontier": one in best} for one in self.candidates],
            "choice": asdict(self.choice),
        }


def plan(
    budget: Budget = Budget(),
    *,
    supernet: Model | str | Path | None = None,
    data: str | Path | None = None,
    sizes: Sequence[tuple[float, int]] = (),
    precisions: Sequence[str] = PRECISIONS,
    threads: int = 1,
    device: DeviceProfile | str | Path | None = None,
    progress: Progress = SILENT,
) -> PlanResult:
    """Choose the network that a budget is best spent on, without any training.

    The candidates are the 16 published MobileNets with their ImageNet accuracy or, with ``supernet``, its subnets with
    their accuracy on the validation images that it was trained without.

    Args:
        budget: Limits, and the accuracy to reach; if empty, the knee of the frontier is chosen.
        supernet: A supernet that :func:`~mobilenets.search.search.search` trained, or the path of its file.
        data: The images that the supernet was trained on; None for where they were then.
        sizes: (α, resolution) of the subnets; by default those that the search evaluated.
        precisions: ``float32``, ``int8`` or both.
        threads: Threads that share one image.
        device: A device profile, or the path of one; None to measure this machine.
        progress: Receives progress updates.

    Returns:
        The candidates and the choice.

    Raises:
        PlanningError: If nothing meets the budget or reaches the accuracy, the profile does not cover the candidates,
            or the Model is not a supernet.
        DataError: If the images cannot be read, or are not those that the supernet was trained on.
        ModelFileError: If the supernet cannot be read.
    """
    if supernet is None and (data is not None or sizes):
        raise PlanningError("data and sizes are those of a supernet; none is given")
    profile = DeviceProfile.load(device) if isinstance(device, str | Path) else device
    if supernet is None:
        profile = profile or measure_profile(
            widths=PUBLISHED_WIDTHS,
            resolutions=PUBLISHED_RESOLUTIONS,
            precisions=precisions,
            threads=(threads,),
            progress=progress,
        )
        candidates = published_candidates(profile, precisions=precisions, threads=threads)
        accuracy_of = "top-1 as published for ImageNet"
    else:
        model = supernet if isinstance(supernet, Model) else load(supernet)
        dataset = dataset_of(model, data, progress=progress)
        candidates = subnet_candidates(
            model,
            dataset,
            sizes=sizes,
            precisions=precisions,
            budget=budget,
            threads=threads,
            profile=profile,
            progress=progress,
        )
        accuracy_of = f"top-1 on {len(dataset.validation)} validation images of {dataset.source}"
    name = processor_name() if profile is None else profile.device
    return PlanResult(budget, tuple(candidates), choose(candidates, budget), name, threads, accuracy_of)
