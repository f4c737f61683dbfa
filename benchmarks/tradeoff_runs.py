"""The training runs that ``benchmarks/tradeoff.py`` compares, each resumable, and the file of what was measured."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from mobilenets.architecture.network import Network
from mobilenets.architecture.networks.mobilenet_v1 import mobilenet_v1
from mobilenets.base.progress import Progress, ProgressTask
from mobilenets.data.dataset import Dataset, load_dataset
from mobilenets.data.loading import Prepared, prepare
from mobilenets.data.splitting import spread
from mobilenets.engine.session import Session
from mobilenets.model.model import Model
from mobilenets.model.subnet import cut_subnet
from mobilenets.search.supernet import STATISTICS_IMAGES
from mobilenets.tasks.classification import Classification
from mobilenets.training import state as training_state
from mobilenets.training.batches import Batches
from mobilenets.training.checkpoint import CheckpointFile
from mobilenets.training.image_cache import CachedImages, cache_images
from mobilenets.training.loop import train
from mobilenets.training.network import NetworkModule, module_of, parameters_of
from mobilenets.training.objectives import Objective, Sandwich, cross_entropy
from mobilenets.training.optimization import initialize
from mobilenets.training.recalibration import recalibrated_with_torch
from mobilenets.training.recipe import DEFAULT, Recipe, suited_to
from mobilenets.training.run import TrainingRun
from mobilenets.training.selection import Validation
from mobilenets.training.settings import PREPROCESSING
from mobilenets.training.state import TrainingState
from mobilenets.training.supernet import FineTuning, supernet_epochs

Result = TypeVar("Result")

WIDTHS = (1.0, 0.75, 0.5, 0.25)
RESOLUTIONS = (56, 48, 40, 32)
"""In the paper's proportions, 224 : 192 : 160 : 128."""


class Results:
    """Lines of JSON in a file: what was measured, found again by what was asked.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        self.rows: list[dict[str, Any]] = [json.loads(line) for line in lines]

    def find(self, **asked: Any) -> list[dict[str, Any]]:
        """The rows that have these values."""
        return [row for row in self.rows if all(row.get(name) == value for name, value in asked.items())]

    def add(self, row: dict[str, Any]) -> None:
        """Keep a row."""
        self.rows.append(row)
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        print(json.dumps(row), flush=True)


class OutOfTimeError(Exception):
    """The time that this call may take is over; what was begun can be gone on with."""


class Clock(Progress):
    """Ends training after an epoch when the time is over.

    Args:
        seconds: How much time there is, by the wall's clock.
    """

    def __init__(self, seconds: float) -> None:
        self.end = time.monotonic() + seconds

    @contextmanager
    def task(self, description: str, total: float, unit: str = "") -> Iterator[ProgressTask]:
        yield _ClockedTask(self)


class _ClockedTask(ProgressTask):
    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def advance(self, steps: float = 1, **figures: str) -> None:
        if "validation" in figures and time.monotonic() > self._clock.end:  # said once, at the end of an epoch
            raise OutOfTimeError


@dataclass(frozen=True, eq=False)
class Training:
    """One training run, ready to begin.

    Attributes:
        module: What is trained.
        batches: Training images.
        objective: What every step minimizes.
        recipe: How to train.
        run: For how long, from which seed, at which sizes.
        validation: What epochs are chosen by.
    """

    module: NetworkModule
    batches: Batches
    objective: Objective
    recipe: Recipe
    run: TrainingRun
    validation: Validation

    def train(self, checkpoint: CheckpointFile, progress: Progress) -> None:
        """Train to the end."""
        training_state.CHECKPOINT_SECONDS = 1.0  # so that little is lost when the time is over
        train(
            self.module,
            self.batches,
            self.objective,
            self.recipe,
            self.run,
            self.validation,
            checkpoint=checkpoint,
            progress=progress,
        )

    def step_seconds(self, steps: int, epoch: int = 0) -> float:
        """Mean processor seconds of a training step, its batch included, after one that prepares the operators."""
        state = TrainingState(self.module, self.recipe, self.run, self.batches.steps_per_epoch)
        batches = self.batches.epoch(epoch, self.run.image_size(epoch, self.module.network, self.recipe))
        self.module.train()
        times = [spent(lambda: state.train_step(next(batches), self.objective))[0] for _ in range(steps + 1)]
        return sum(times[1:]) / steps


class Runs:
    """Images of one data set, decoded once, and the recipe that all networks are trained by.

    Args:
        data: The data set.
        results: Where figures go, and beside them the supernet.
        options: What the command line said.
    """

    def __init__(self, data: Path, results: Results, options: argparse.Namespace) -> None:
        self.dataset: Dataset = load_dataset(data, seed=options.seed)
        self.name, self.results, self.options, self.seed = data.name, results, options, options.seed
        self.recipe: Recipe = suited_to(replace(DEFAULT, batch=options.batch), self.dataset.labels)
        self.largest = max(RESOLUTIONS)
        self.clock = Clock(options.seconds)
        self._images: CachedImages | None = None
        self._prepared: dict[tuple[str, int], Prepared] = {}

    @property
    def key(self) -> dict[str, Any]:
        """What every figure depends on."""
        settings = {"epochs": self.options.epochs, "batch": self.recipe.batch, "seed": self.seed}
        return {"data": self.name, **settings, "largest": self.largest}

    @property
    def supernet_key(self) -> dict[str, Any]:
        """What figures of the supernet depend on."""
        return {**self.key, "supernet_epochs": self.supernet_epochs}

    @property
    def supernet_epochs(self) -> int:
        """Epochs of the supernet run, in the proportion to those of one network that a search takes."""
        return supernet_epochs(self.options.epochs)

    @property
    def supernet_path(self) -> Path:
        """File of the supernet."""
        name = "-".join(str(value) for value in self.supernet_key.values())
        return Path(self.options.results) / f"{name}.safetensors"

    def prepared(self, part: str, side: int) -> Prepared:
        """Images of a part at a size."""
        if (part, side) not in self._prepared:
            self._prepared[part, side] = prepare(self.dataset.part(part), PREPROCESSING, side, side)
        return self._prepared[part, side]

    def network(self, width: float, side: int) -> Network:
        """MobileNet V1 for these classes."""
        return mobilenet_v1(width_multiplier=width, resolution=side, classes=len(self.dataset.labels))

    def fresh(self, width: float, side: int) -> NetworkModule:
        """A network before training."""
        module = NetworkModule(self.network(width, side), dropout=self.recipe.dropout)
        initialize(module, self.recipe, self.seed)
        return module

    def training(
        self, module: NetworkModule, epochs: int, recipe: Recipe, objective: Objective | None = None, **how: Any
    ) -> Training:
        """A training run of a module."""
        run = TrainingRun(epochs, seed=self.seed, **how)
        if self._images is None:
            self._images = cache_images(self.dataset.train, self.largest)
        classes = len(self.dataset.labels)
        batches = Batches(self._images, classes, PREPROCESSING, recipe, seed=self.seed, device=run.device)
        validation = Validation(self.prepared("validation", module.network.height), PREPROCESSING, run)
        objective = objective or cross_entropy(recipe.label_smoothing)
        return Training(module, batches, objective, recipe, run, validation)

    def train(self, key: dict[str, Any], training: Training) -> float:
        """Train to the end, going on with what an earlier call began: processor seconds of the training loop."""
        name = "-".join(str(value) for value in key.values())
        path = Path(self.options.results) / f"{name}.checkpoint.safetensors"
        begun = time.process_time()
        try:
            training.train(CheckpointFile(path, key, resume=True), self.clock)
        except OutOfTimeError:
            self.results.add({"interrupted": key, "seconds": round(time.process_time() - begun, 2)})
            raise
        path.unlink()
        earlier = sum(row["seconds"] for row in self.results.find(interrupted=key))
        return float(round(earlier + time.process_time() - begun, 2))

    def sandwich(self, network: Network) -> Sandwich:
        """What the supernet run minimises."""
        return Sandwich(
            network,
            narrowest=min(WIDTHS),
            resolutions=RESOLUTIONS,
            label_smoothing=self.recipe.label_smoothing,
            seed=self.seed,
        )

    def subnet(self, supernet: Model, width: float, side: int) -> Model:
        """A subnet with recalibrated batch norms."""
        narrow = cut_subnet(supernet, width_multiplier=width, resolution=side)
        pixels = self.prepared("train", side).pixels
        return recalibrated_with_torch(narrow, pixels[spread(len(pixels), STATISTICS_IMAGES)])

    def fine_tuned(self, supernet: Model, width: float, side: int) -> tuple[float, Model]:
        """A subnet that was fine-tuned, the widest one teaching at first, and the processor seconds of it.

        The subnet stays as it was if fewer validation images are right than before.
        """
        start, largest = self.subnet(supernet, width, side), self.subnet(supernet, max(WIDTHS), self.largest)
        key = {"part": "fine-tune one", **self.supernet_key, "width": width, "resolution": side}
        module, how = self.fine_tuning(start, largest)
        sizes = {"size": how.size, "sized_epochs": how.sized_epochs}
        seconds = self.train(key, self.training(module, how.epochs, self.recipe, how.objective, **sizes))
        model = self.model(module)
        return seconds, model if self.accuracy(model, "validation") >= self.accuracy(start, "validation") else start

    def fine_tuning(self, start: Model, largest: Model) -> tuple[NetworkModule, FineTuning]:
        """The module to fine-tune, and how."""
        module = module_of(start)
        return module, FineTuning.of(module, module_of(largest), self.recipe, self.options.epochs)

    def model(self, module: NetworkModule) -> Model:
        """What a run made."""
        return Model(module.network, parameters_of(module), Classification(self.dataset.labels), PREPROCESSING)

    def top1(self, model: Model) -> dict[str, float]:
        """Share of the validation and of the test images that a Model gets right."""
        return {part: self.accuracy(model, part) for part in ("validation", "test")}

    def accuracy(self, model: Model, part: str) -> float:
        """Share of the images of a part that a Model gets right."""
        prepared = self.prepared(part, model.network.height)
        return float(np.mean(Session(model, 1).run(prepared.pixels).argmax(axis=1) == prepared.targets))


def spent(work: Callable[[], Result]) -> tuple[float, Result]:
    """Processor seconds of some work, and what came of it."""
    begun = time.process_time()
    result = work()
    return round(time.process_time() - begun, 4), result
