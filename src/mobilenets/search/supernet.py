"""The two training runs of a search: the shared network's, and the one in which its pick learns on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from mobilenets.architecture.cost import cost
from mobilenets.architecture.network import Network
from mobilenets.base.progress import SILENT, Progress
from mobilenets.data.dataset import Dataset
from mobilenets.data.loading import prepare
from mobilenets.model.model import Model
from mobilenets.search.candidates import Candidate
from mobilenets.tasks.classification import Classification
from mobilenets.training import checkpoint as checkpoints
from mobilenets.training.batches import Batches
from mobilenets.training.canvases import Canvases, make_canvases
from mobilenets.training.checkpoint import CheckpointFile
from mobilenets.training.defaults import PREPROCESSING, default_epochs
from mobilenets.training.fit import fixed
from mobilenets.training.loop import Trained, train
from mobilenets.training.network import NetworkModule, module_of, parameters_of, placed
from mobilenets.training.objectives import Distillation, Objective, Sandwich
from mobilenets.training.optimization import initialize, set_batch_norm_momentum
from mobilenets.training.recipes import Recipe
from mobilenets.training.run import TrainingRun
from mobilenets.training.selection import Epoch, Validation, is_better

SPECIALISE_CHECKPOINT = "specialise-{width:g}-{resolution}.checkpoint.safetensors"

SHARED_EPOCHS = 3.0
"""Of as many epochs as an ordinary run has: a step trains one network, on average for a little less than half the price
of the widest, and all have to learn."""
SPECIALISED, MOST_SPECIALISED = 1.25, 12.0
"""A slice learns on for the Mult-Adds of so many ordinary runs of the largest, but at most for so many times as many
epochs as one has."""
TAUGHT = 0.1
"""Share of its learning on, from the beginning, in which the largest teaches. Every such step costs several of a small
slice's, and a slice that has learnt on for long knows more than the largest."""


def epochs_of_shared(usual: int) -> int:
    """How many epochs a shared network is trained for, where an ordinary run has so many."""
    return max(1, round(SHARED_EPOCHS * usual))


def specialised_epochs(usual: int, shared: Network, pick: Network) -> int:
    """How many epochs a slice learns on for.

    As many as take the Mult-Adds of one and a quarter ordinary runs of the shared network, up to a limit. So the small
    ones have the longest, for they have the most to gain, and none takes much longer than the shared run.

    Args:
        usual: Epochs of an ordinary run.
        shared: The shared network.
        pick: The slice's.
    """
    return max(1, round(usual * min(SPECIALISED * cost(shared).macs / cost(pick).macs, MOST_SPECIALISED)))


@dataclass(frozen=True)
class Specialising:
    """How a slice learns on.

    Attributes:
        epochs: For how long.
        objective: The largest teaches at first; then the labels alone do.
        size: (height, width) of the images while the largest teaches, which the slice is given smaller.
        sized_epochs: For how long it does. From then on images are made at the slice's own size, as those are that it
            is used on: made smaller twice they are softer.
    """

    epochs: int
    objective: Distillation
    size: tuple[int, int]
    sized_epochs: int

    @classmethod
    def of(cls, module: NetworkModule, teacher: NetworkModule, recipe: Recipe, usual: int) -> Specialising:
        """For a slice, which is prepared for it.

        Args:
            module: The slice.
            teacher: The largest of the same shared network.
            recipe: What the shared network was trained by.
            usual: Epochs of an ordinary run.
        """
        epochs = specialised_epochs(usual, teacher.network, module.network)
        set_batch_norm_momentum(module, recipe)
        taught = math.ceil(TAUGHT * epochs)
        objective = Distillation(teacher, module.network, until=taught / epochs, label_smoothing=recipe.label_smoothing)
        return cls(epochs, objective, (teacher.network.height, teacher.network.width), taught)


@dataclass(frozen=True)
class TrainedBy:
    """How all training of a search is done.

    Attributes:
        recipe: How to train the shared network, and the pick that learns on.
        device: Where.
        precision: ``"float32"`` or ``"bfloat16"``.
        epochs: Of an ordinary run, which others are in proportion to; by the number of images, if None.
        seed: Of all chances.
    """

    recipe: Recipe
    device: torch.device
    precision: str
    epochs: int | None
    seed: int


@dataclass(frozen=True, eq=False)
class Learnt:
    """What a training run made.

    Attributes:
        model: The Model.
        history: Figures of every epoch.
        best_epoch: The epoch that was kept, from 0; −1 where none was better than what it started from.
        run: What the run did.
        validation_top1: Share of the validation images that the Model gets right.
    """

    model: Model
    history: list[Epoch]
    best_epoch: int
    run: TrainingRun
    validation_top1: float | None


class SearchTraining:
    """Trains what a search needs; the images are decoded once for both runs.

    Args:
        dataset: What is trained on; its validation images choose the epochs.
        by: How.
        widths: Every α that the search considers.
        resolutions: Every resolution that it considers.
        folder: Where checkpoints are kept, if anywhere.
        resume: Go on from the checkpoints that are there.
        progress: Hears about every step.
    """

    def __init__(
        self,
        dataset: Dataset,
        by: TrainedBy,
        widths: Sequence[float],
        resolutions: Sequence[int],
        *,
        folder: Path | None = None,
        resume: bool = False,
        progress: Progress = SILENT,
    ) -> None:
        self._dataset, self._by, self._widths, self._resolutions = dataset, by, tuple(widths), tuple(resolutions)
        self._folder, self._resume, self._progress = folder, resume, progress
        self._canvases: Canvases | None = None

    def shared_epochs(self, network: Network) -> int:
        """How many epochs the run of this shared network has."""
        return epochs_of_shared(self._usual_epochs(network))

    def _usual_epochs(self, network: Network) -> int:
        return self._by.epochs or default_epochs(len(self._dataset.train), network.height, self._by.recipe)

    def shared(self, network: Network) -> Learnt:
        """One network for all widths and resolutions that are no larger than its own.

        Args:
            network: The widest, at the largest resolution.
        """
        recipe, narrowest = self._by.recipe, min(self._widths)
        resolutions = sorted(side for side in self._resolutions if side <= network.height)
        module = NetworkModule(network, dropout=recipe.dropout)
        initialize(module, recipe, self._by.seed)
        sandwich = Sandwich(
            network,
            narrowest=narrowest,
            resolutions=resolutions,
            label_smoothing=recipe.label_smoothing,
            seed=self._by.seed,
        )
        epochs = self.shared_epochs(network)
        run = self._run(epochs, keep_last=True)
        trained = self._train(module, run, sandwich, self._validation(network, run), checkpoints.FILE_NAME, network)
        provenance = {
            "made_by": "fit",
            "shared": {"narrowest": narrowest, "resolutions": resolutions},
            "data": {
                "source": self._dataset.source,
                "fingerprint": self._dataset.fingerprint,
                "seed": self._by.seed,
            },
            "recipe": asdict(recipe),
            "seed": self._by.seed,
            "epochs": epochs,
        }
        model = Model(
            network, parameters_of(module), Classification(self._dataset.labels), PREPROCESSING, provenance=provenance
        )
        history, best = trained.history, trained.best_epoch
        return Learnt(model, history, best, run, history[best].validation_top1)

    def specialised(self, shared: Model, choice: Candidate) -> Learnt:
        """A slice that learned on by itself, with the largest as its teacher; as it was if that brought nothing.

        Args:
            shared: With the statistics of its slices.
            choice: The slice's width and resolution.
        """
        start = shared.slice(choice.width_multiplier, choice.resolution)
        teacher = module_of(shared.slice(shared.network.width_multiplier, shared.network.height)).to(self._by.device)
        module = module_of(start)
        how = Specialising.of(module, teacher, self._by.recipe, self._usual_epochs(shared.network))
        kept = SPECIALISE_CHECKPOINT.format(width=choice.width_multiplier, resolution=choice.resolution)
        run = self._run(how.epochs, size=how.size, sized_epochs=how.sized_epochs)
        validation = self._validation(module.network, run)
        before = validation(placed(module, run.device).eval())
        trained = self._train(module, run, how.objective, validation, kept, shared.network)
        history, best = trained.history, trained.best_epoch
        if not is_better(before, history[best].score(before.images)):
            model = start.with_parameters(parameters_of(module))
            return Learnt(model, history, best, run, history[best].validation_top1)
        self._progress.note("learning on brought nothing: the slice is kept as it was")
        return Learnt(start, history, -1, run, before.top1)

    def _run(self, epochs: int, **how: Any) -> TrainingRun:
        by = self._by
        return TrainingRun(epochs, seed=by.seed, precision=by.precision, device=by.device, **how)

    def _validation(self, network: Network, run: TrainingRun) -> Validation:
        prepared = prepare(
            self._dataset.validation, PREPROCESSING, network.height, network.width, progress=self._progress
        )
        return Validation(prepared, PREPROCESSING, run)

    def _train(
        self,
        module: NetworkModule,
        run: TrainingRun,
        objective: Objective,
        validation: Validation,
        checkpoint: str,
        shared: Network,
    ) -> Trained:
        by, network, recipe = self._by, module.network, self._by.recipe
        if self._canvases is None:
            self._canvases = make_canvases(self._dataset.train, shared.height, progress=self._progress)
        settled = fixed(self._dataset, network, recipe, run) | {
            "shared": [shared.width_multiplier, shared.height],
            "sizes": [list(self._widths), list(self._resolutions)],
        }
        file = None
        if self._folder is not None:
            file = CheckpointFile(self._folder / checkpoint, settled, self._resume)
        return train(
            module,
            Batches(self._canvases, len(self._dataset.labels), PREPROCESSING, recipe, seed=by.seed, device=by.device),
            objective,
            recipe,
            run,
            validation,
            checkpoint=file,
            progress=self._progress,
        )
