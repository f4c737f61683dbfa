"""The phases of a run within a budget: measure, train the shared network, evaluate its slices, pick, finish, test."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from mobilenets.architecture.catalog import Specification
from mobilenets.architecture.network import Network
from mobilenets.base.progress import Progress
from mobilenets.compression.quality import DEFAULT_MAX_DROP, Verdict
from mobilenets.data.dataset import Dataset
from mobilenets.data.loading import prepare
from mobilenets.engine.evaluate import Evaluation, score
from mobilenets.engine.session import Session
from mobilenets.errors import GateError, PlanningError
from mobilenets.model.file import save
from mobilenets.model.model import Model
from mobilenets.search.budget import affordable
from mobilenets.search.candidates import (
    Candidate,
    find_candidate,
    networks_of_sizes,
    predicted_candidates,
    search_resolutions,
    search_widths,
)
from mobilenets.search.evaluation import evaluate_slices
from mobilenets.search.frontier import choose, explain
from mobilenets.search.int8 import to_int8
from mobilenets.search.profile import EIGHTHS, DeviceProfile, measure_profile, time_sessions
from mobilenets.search.result import Device, Goal, Latency, Search
from mobilenets.search.supernet import Learnt, SearchTraining, TrainedBy
from mobilenets.training import defaults
from mobilenets.training.result import Fit, Phase, provenance_of

SHARED_FILE, PROFILE_FILE = "shared.safetensors", "device.json"
MEASURING_ROUNDS = 8


@dataclass(frozen=True, eq=False)
class Made:
    """What specialising and compressing made of a choice.

    Attributes:
        choice: What was picked.
        learnt: What specialising made of it, in float32.
        model: The finished Model.
        validation_top1: Share of the validation images that it gets right.
        verdict: What compression lost, where the choice is int8.
    """

    choice: Candidate
    learnt: Learnt
    model: Model
    validation_top1: float | None
    verdict: Verdict | None = None


class SearchPhases:
    """A run within a budget; its methods are called in the order in which they stand here.

    Args:
        dataset: Images of all three parts.
        trained_by: How training is done.
        goal: The budget, and where it holds.
        architecture: MobileNet V1; its width and resolution are the largest that are considered, if it has any.
        folder: Where everything is written, if anywhere.
        resume: Go on from what an earlier run left in the folder.
        progress: Hears about everything.
    """

    def __init__(
        self,
        dataset: Dataset,
        trained_by: TrainedBy,
        goal: Goal,
        architecture: Specification,
        folder: Path | None,
        progress: Progress,
        *,
        resume: bool,
    ) -> None:
        self.dataset, self.goal, self.phases = dataset, goal, list[Phase]()
        self._by, self._architecture = trained_by, architecture
        self._folder, self._progress, self._resume = folder, progress, resume
        self._resolutions = search_resolutions(architecture.resolution or defaults.default_resolution(dataset.train))
        self._widths = search_widths(architecture.width_multiplier or max(EIGHTHS))
        self._training = SearchTraining(
            dataset, trained_by, self._widths, self._resolutions, folder=folder, resume=resume, progress=progress
        )

    def measure(self) -> None:
        """Every size that might be taken, with its costs.

        Raises:
            PlanningError: If none meets the budget.
        """
        kept = None if self._folder is None else self._folder / PROFILE_FILE
        goal, here = self.goal, self.goal.device is None
        with self._phase("latency"):
            if goal.device is not None:
                profile = goal.device
            elif self._resume and kept is not None and kept.exists():
                profile = DeviceProfile.load(kept)  # so that a run that goes on picks what it would have picked
            else:
                profile = self._profile()
        networks = networks_of_sizes(
            self._architecture, self._widths, self._resolutions, classes=len(self.dataset.labels)
        )
        self._costs = predicted_candidates(networks, profile, precisions=goal.precisions, threads=goal.threads)
        self._usable = affordable(self._costs, goal.budget)
        if kept is not None:
            profile.save(kept)
        error = None if here else profile.interpolation_error
        self._device = Device(profile.device, profile.engine, goal.threads, here, interpolation_error=error)

    def train_shared(self) -> Model:
        """One network for all sizes, no wider and no larger than the budget can use."""
        widest = max(one.width_multiplier for one in self._usable)
        largest = max(one.resolution for one in self._usable)
        sides = sorted(side for side in self._resolutions if side <= largest)
        narrowest = min(self._widths)
        widths = f"widths {narrowest:g} to {widest:g}" if narrowest < widest else f"width {widest:g}"
        self._progress.note(
            f"{len(self._usable)} of {len(self._costs)} networks meet the budget; training one for {widths} "
            f"and {', '.join(map(str, sides))} pixels"
        )
        with self._phase("shared") as learnt:
            learnt.append(self._training.shared(self._network(widest, largest)))
        return learnt[0].model

    def evaluate(self, shared: Model) -> None:
        """Accuracy of every slice on the validation images; the shared Model is written with their statistics."""
        widest, largest = shared.network.width_multiplier, shared.network.height
        sizes = [
            (width, side) for width in self._widths for side in self._resolutions if width <= widest and side <= largest
        ]
        with self._phase("frontier"):
            goal, costs = self.goal, partial(find_candidate, self._costs)
            self._evaluated = evaluate_slices(
                shared, self.dataset, sizes, goal.precisions, costs, goal.budget, progress=self._progress
            )
        if self._folder is not None:
            save(self._evaluated.shared, self._folder / SHARED_FILE)

    def finish(self) -> Made:
        """Pick, specialise and compress; where int8 turns out to lose too much, pick again without it."""
        self._candidates = list(self._evaluated.candidates)
        while True:
            choice = self._choice()
            self._progress.note(f"picked {choice}: right on {100 * choice.accuracy:.1f} % of the validation images")
            with self._phase("specialise") as learnt:
                learnt.append(self._training.specialised(self._evaluated.shared, choice))
            made = Made(choice, learnt[0], learnt[0].model, learnt[0].validation_top1)
            if choice.precision == "float32":
                return made
            try:
                return self._compressed(made)
            except GateError as error:
                self._candidates = [one for one in self._candidates if one.precision == "float32"]
                if not self._candidates:
                    raise
                self._progress.note(f"{error}; picking again, in float32")

    def tested(self, made: Made) -> Fit:
        """Look at the test images, once, and time the finished Model if it is to be used here."""
        with self._phase("test"):
            evaluation = self._evaluation(made.model)
            latency = self._latency(made) if self._device.measured_here else None
        shared, goal = self._evaluated.shared.network, self.goal
        search = Search(
            budget=goal.budget,
            device=self._device,
            candidates=self._evaluated.candidates,
            choice=made.choice,
            reason=explain(self._candidates, goal.budget, made.choice),
            validation_images=len(self.dataset.validation),
            widest=shared.width_multiplier,
            largest=shared.height,
            latency=latency,
        )
        record = self._provenance(made, evaluation)
        return Fit(
            _recorded(made.model, record),
            self.dataset,
            evaluation,
            made.learnt.history,
            made.learnt.best_epoch,
            seconds=0.0,
            search=search,
            phases=tuple(self.phases),
            float_model=None if made.verdict is None else _recorded(made.learnt.model, record),
            verdict=made.verdict,
        )

    def _choice(self) -> Candidate:
        try:
            return choose(self._candidates, self.goal.budget)
        except PlanningError as error:
            if self.goal.budget.min_accuracy is None:
                raise
            raise PlanningError(f"{error} before it learns on; --resume with a lower goal goes on from here") from None

    def _profile(self) -> DeviceProfile:
        return measure_profile(
            widths=self._widths,
            resolutions=self._resolutions,
            precisions=self.goal.precisions,
            threads=(self.goal.threads,),
            classes=len(self.dataset.labels),
            rounds=MEASURING_ROUNDS,
            checked=False,
            progress=self._progress,
        )

    def _network(self, width: float, side: int) -> Network:
        chosen = replace(self._architecture, width_multiplier=width, resolution=side)
        return chosen.network(classes=len(self.dataset.labels))

    def _compressed(self, made: Made) -> Made:
        # Fewer than a hundred images cannot tell a loss of a point from the loss of one image.
        max_drop = max(DEFAULT_MAX_DROP, 100 / len(self.dataset.validation) + 1e-9)
        with self._phase("compress"):
            model, verdict = to_int8(made.model, self.dataset, max_drop=max_drop, progress=self._progress)
        top1 = None if verdict.top1_after is None else verdict.top1_after.value
        return replace(made, model=model, verdict=verdict, validation_top1=top1)

    def _provenance(self, made: Made, evaluation: Evaluation) -> Mapping[str, Any]:
        learnt = made.learnt
        record = provenance_of(
            self.dataset, self._by.recipe, learnt.run, learnt.best_epoch, made.validation_top1, evaluation
        )
        return {
            **record,
            "shared_epochs": self._training.shared_epochs(self._evaluated.shared.network),
            "budget": asdict(self.goal.budget),
        }

    def _evaluation(self, model: Model) -> Evaluation:
        network = model.network
        prepared = prepare(
            self.dataset.test, model.preprocessing, network.height, network.width, progress=self._progress
        )
        evaluation = score(Session(model).run(prepared.pixels), prepared.targets, self.dataset.labels)
        return replace(evaluation, skipped=prepared.skipped)

    def _latency(self, made: Made) -> Latency:
        (spent,) = time_sessions([Session(made.model, self.goal.threads)], progress=self._progress)
        return Latency(float(np.median(spent)), min(spent), made.choice.latency_ms, self.goal.threads)

    @contextmanager
    def _phase(self, name: str) -> Iterator[list[Learnt]]:
        """Times a phase; one that trains puts what came of it into the list."""
        begun, learnt = time.monotonic(), list[Learnt]()
        yield learnt
        seconds = time.monotonic() - begun
        history = (tuple(one.history) for one in learnt)
        best = (one.best_epoch for one in learnt)
        self.phases.append(Phase(name, seconds, next(history, ()), next(best, None)))


def _recorded(model: Model, record: Mapping[str, Any]) -> Model:
    """A Model with the provenance of the run; what compression wrote into its own stays."""
    quantization = {name: value for name, value in model.provenance.items() if name == "quantization"}
    return replace(model, provenance={**record, **quantization})
