"""One training run for the whole trade-off, against a training run for each point of it.

Every row of docs/budget.md comes from here. Networks are compared under one recipe, for as many epochs, from the same
seed; costs are processor seconds of the training loop alone, since wall time belongs to the machine's other guests.
Results go into a folder as lines of JSON as soon as they are there, so an interrupted run goes on where it was.

    python benchmarks/tradeoff.py ../shared/data/sign-digits --part shared,separate,pick,table
    python benchmarks/tradeoff.py ../shared/data/sign-digits --part latency,profile

``--part cost`` times single steps, which the cost of a run is in proportion to.

Validation pictures decide which epoch is kept and what is picked; the test pictures are looked at once by each network.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch

from mobilenets.architecture.layers import Network
from mobilenets.architecture.mobilenet_v1 import mobilenet_v1
from mobilenets.compression.quantize import quantize
from mobilenets.data.dataset import Dataset, load_dataset
from mobilenets.data.decoding import Prepared, prepare
from mobilenets.engine.session import Session
from mobilenets.model.file import load, save
from mobilenets.model.model import Model
from mobilenets.model.sampling import spread
from mobilenets.model.slicing import sliced
from mobilenets.planning.budget import knee
from mobilenets.planning.frontier import candidate
from mobilenets.planning.judging import QUICK, STATISTICS_PICTURES
from mobilenets.planning.latency import measure, measure_profile, synthetic_model, time_sessions
from mobilenets.progress import Progress, Task
from mobilenets.training.batches import Batches
from mobilenets.training.canvases import Canvases, make_canvases
from mobilenets.training.defaults import PREPROCESSING
from mobilenets.training.distillation import Distillation
from mobilenets.training.loop import Plan, Trainer
from mobilenets.training.network import NetworkModule, module_of, parameters_of
from mobilenets.training.optimization import initialize, set_batch_norm_momentum
from mobilenets.training.recipes import DEFAULT, Recipe, suited_to
from mobilenets.training.search_training import SPECIALISE_EPOCHS
from mobilenets.training.slimmable import Sandwich, reestimated

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
    def task(self, description: str, total: float, unit: str = "") -> Iterator[Task]:
        yield _ClockedTask(self)


class _ClockedTask(Task):
    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def advance(self, steps: float = 1, **figures: str) -> None:
        if "validation" in figures and time.monotonic() > self._clock.end:  # said once, at the end of an epoch
            raise OutOfTimeError


class Bench:
    """Pictures of one data set, decoded once, and the recipe that all networks are trained by.

    Args:
        data: The data set.
        results: Where figures go, and beside them the shared Model.
        options: What the command line said.
    """

    def __init__(self, data: Path, results: Results, options: argparse.Namespace) -> None:
        self.dataset: Dataset = load_dataset(data, seed=options.seed)
        self.name, self.results, self.options, self.seed = data.name, results, options, options.seed
        self.recipe: Recipe = suited_to(replace(DEFAULT, batch=options.batch), self.dataset.labels)
        self.largest = max(RESOLUTIONS)
        self.clock = Clock(options.seconds)
        self._canvases: Canvases | None = None
        self._prepared: dict[tuple[str, int], Prepared] = {}

    @property
    def key(self) -> dict[str, Any]:
        """What every figure depends on."""
        settings = {"epochs": self.options.epochs, "batch": self.recipe.batch, "seed": self.seed}
        return {"data": self.name, **settings, "largest": self.largest}

    @property
    def shared_key(self) -> dict[str, Any]:
        """What figures of the shared network depend on."""
        return {**self.key, "draws": self.options.draws, "share": self.options.share}

    @property
    def shared_path(self) -> Path:
        """File of the shared Model."""
        name = "-".join(str(value) for value in self.shared_key.values())
        return Path(self.options.results) / f"{name}.safetensors"

    def prepared(self, part: str, side: int) -> Prepared:
        """Pictures of a part at a size."""
        if (part, side) not in self._prepared:
            self._prepared[part, side] = prepare(self.dataset.part(part), PREPROCESSING, side, side)
        return self._prepared[part, side]

    def network(self, width: float, side: int) -> Network:
        """MobileNet V1 for these classes."""
        return mobilenet_v1(width_multiplier=width, resolution=side, classes=len(self.dataset.labels))

    def trainer(self, module: NetworkModule, epochs: int, recipe: Recipe, **how: Any) -> Trainer:
        """A training run of a module."""
        plan = Plan(epochs, seed=self.seed)
        if self._canvases is None:
            self._canvases = make_canvases(self.dataset.train, self.largest)
        classes = len(self.dataset.labels)
        batches = Batches(self._canvases, classes, PREPROCESSING, recipe, seed=self.seed, device=plan.device)
        validation = self.prepared("validation", module.network.height)
        return Trainer(module, batches, validation, PREPROCESSING, recipe, plan, progress=self.clock, **how)

    def train(self, key: dict[str, Any], module: NetworkModule, epochs: int, recipe: Recipe, **how: Any) -> float:
        """Train to the end, going on with what an earlier call began: processor seconds of the training loop."""
        name = "-".join(str(value) for value in key.values())
        path = Path(self.options.results) / f"{name}.checkpoint.safetensors"
        trainer = self.trainer(module, epochs, recipe, checkpoint=path, settings=key, **how)
        trainer.resume()
        begun = time.process_time()
        try:
            trainer.run()
        except OutOfTimeError:
            trainer.save()
            self.results.add({"interrupted": key, "seconds": round(time.process_time() - begun, 2)})
            raise
        path.unlink()
        earlier = sum(row["seconds"] for row in self.results.find(interrupted=key))
        return float(round(earlier + time.process_time() - begun, 2))

    def fresh(self, width: float, side: int) -> NetworkModule:
        """A network before training."""
        module = NetworkModule(self.network(width, side), dropout=self.recipe.dropout)
        initialize(module, self.recipe, self.seed)
        return module

    def top1(self, model: Model) -> dict[str, float]:
        """Share of the validation and of the test pictures that a Model gets right."""
        session, shares = Session(model, 1), {}
        for part in ("validation", "test"):
            prepared = self.prepared(part, model.network.height)
            shares[part] = float(np.mean(session.run(prepared.pixels).argmax(axis=1) == prepared.targets))
        return shares

    def model(self, module: NetworkModule) -> Model:
        """What a run made."""
        return Model(module.network, parameters_of(module), self.dataset.labels, PREPROCESSING)

    def separate(self) -> None:
        """Train each of the 16 alone, or those of the widths that were asked for: two processes can share them."""
        for width in sorted(map(float, self.options.widths.split(","))):
            for side in reversed(RESOLUTIONS):
                key = {"part": "separate", **self.key, "width": width, "resolution": side}
                if not self.results.find(**key):
                    module = self.fresh(width, side)
                    seconds = self.train(key, module, self.options.epochs, self.recipe)
                    self.results.add(key | {"seconds": seconds, **self.top1(self.model(module))})

    def shared(self) -> None:
        """Train the shared network once, and slice the 16 out of it."""
        run = {"part": "shared", **self.shared_key}
        if not self.results.find(**run) or not self.shared_path.exists():
            module = self.fresh(max(WIDTHS), self.largest)
            seconds = self.train(run, module, self.options.epochs, self.recipe, objective=self.sandwich(module.network))
            save(self.model(module), self.shared_path)
            self.results.add(run | {"seconds": seconds})
        shared = load(self.shared_path)
        for width in reversed(WIDTHS):
            for side in reversed(RESOLUTIONS):
                key = {"part": "sliced", **self.shared_key, "width": width, "resolution": side}
                if not self.results.find(**key):
                    seconds, model = spent(partial(self.slice, shared, width, side))
                    self.results.add(key | {"seconds": seconds, **self.top1(model)})

    def slice(self, shared: Model, width: float, side: int) -> Model:
        """A slice with its statistics estimated anew."""
        narrow = sliced(shared, width_multiplier=width, resolution=side)
        pixels = self.prepared("train", side).pixels
        return reestimated(narrow, pixels[spread(len(pixels), STATISTICS_PICTURES)])

    def pick(self) -> None:
        """Take the knee of the sliced 16, train it on, and train the same size alone for as long as all that took."""
        rows = self.results.find(part="sliced", **self.shared_key)
        if len(rows) < len(WIDTHS) * len(RESOLUTIONS):
            raise SystemExit("the 16 are not sliced yet: run --part shared first")
        run = {"part": "pick", **self.shared_key}
        if not self.results.find(**run):
            width, side = self._knee(rows)
            seconds, model = self._specialised(width, side)
            (shared,) = self.results.find(part="shared", **self.shared_key)
            total = shared["seconds"] + sum(row["seconds"] for row in rows) + seconds
            size = {"width": width, "resolution": side}
            self.results.add(run | size | {"seconds": round(total, 2), **self.top1(model)})
        (made,) = self.results.find(**run)
        alone = {**run, "part": "pick alone"}
        if not self.results.find(**alone):
            (once,) = self.results.find(part="separate", **self.key, width=made["width"], resolution=made["resolution"])
            epochs = max(1, round(made["seconds"] / once["seconds"] * self.options.epochs))
            module = self.fresh(made["width"], made["resolution"])
            seconds = self.train(alone, module, epochs, self.recipe)
            self.results.add(alone | {"alone epochs": epochs, "seconds": seconds, **self.top1(self.model(module))})

    def _knee(self, rows: list[dict[str, Any]]) -> tuple[float, int]:
        places = [(row["width"], row["resolution"], "float32", 1, len(self.dataset.labels)) for row in rows]
        points = measure(places)
        choice = knee(
            [
                candidate(
                    self.network(row["width"], row["resolution"]),
                    "float32",
                    accuracy=row["validation"],
                    latency_ms=point.median_ms,
                )
                for row, point in zip(rows, points, strict=True)
            ]
        )
        return choice.width_multiplier, choice.resolution

    def _specialised(self, width: float, side: int) -> tuple[float, Model]:
        shared = load(self.shared_path)
        start, largest = self.slice(shared, width, side), self.slice(shared, max(WIDTHS), self.largest)
        recipe = replace(self.recipe, learning_rate=self.recipe.learning_rate * self.recipe.fine_tuning)
        module = module_of(start)
        set_batch_norm_momentum(module, recipe)
        objective = Distillation(module_of(largest), label_smoothing=recipe.label_smoothing)
        epochs = max(1, round(SPECIALISE_EPOCHS * self.options.epochs))
        key = {"part": "specialise", **self.shared_key, "width": width, "resolution": side}
        seconds = self.train(key, module, epochs, recipe, objective=objective, size=(self.largest, self.largest))
        return seconds, self.model(module)

    def latency(self) -> None:
        """What a search takes each size for, and what the finished slices take, turn by turn with it.

        A search measures networks of random weights before there are trained ones. Minutes lie between in a real run,
        in which a shared machine changes its speed by more than the two differ; here both are timed in the same rounds.
        """
        shared = load(self.shared_path)
        slices = [self.slice(shared, width, side) for width in WIDTHS for side in RESOLUTIONS]
        calibration = {side: self.prepared("train", side).pixels[:64] for side in RESOLUTIONS}
        finished = slices + [quantize(one, calibration[one.network.height], QUICK).model for one in slices]
        random = [
            synthetic_model(self.network(one.network.width_multiplier, one.network.height), one.precision)
            for one in finished
        ]
        times = time_sessions([Session(model, 1) for pair in zip(random, finished, strict=True) for model in pair])
        errors = []
        for model, before, after in zip(finished, times[::2], times[1::2], strict=True):
            expected, measured = statistics.median(before), statistics.median(after)
            errors.append(abs(expected / measured - 1))
            place = {"width": model.network.width_multiplier, "resolution": model.network.height}
            row = {"part": "latency", "data": self.name, **place, "precision": model.precision}
            self.results.add(row | {"expected_ms": expected, "measured_ms": measured})
        print(f"predicted against measured: {100 * statistics.median(errors):.1f} % at the median of {len(errors)}")

    def profile(self) -> None:
        """How long the whole of ``mobilenets profile`` takes."""
        begun = time.perf_counter()
        profile = measure_profile()
        seconds = time.perf_counter() - begun
        print(f"{len(profile.points)} points in {seconds:.1f} s on {profile.device}, {profile.engine}; ", end="")
        print(f"between them interpolation errs by {100 * (profile.interpolation_error or 0):.1f} % at the median")

    def table(self) -> None:
        """Print the rows of the table, as far as they were measured."""
        separate = {(row["width"], row["resolution"]): row for row in self.results.find(part="separate", **self.key)}
        sliced = {(row["width"], row["resolution"]): row for row in self.results.find(part="sliced", **self.shared_key)}
        both = sorted(set(separate) & set(sliced))
        print(f"{self.name}, {self.options.epochs} epochs, {self.largest} px: top-1 on validation / test, %")
        for place in both:
            alone, cut = ("{:.1f} / {:.1f}".format(*shares(rows[place])) for rows in (separate, sliced))
            print(f"  α {place[0]:g} at {place[1]} px: alone {alone}, sliced {cut}")
        for widths in (WIDTHS, (min(WIDTHS),)):
            some = [place for place in both if place[0] in widths]
            if some:
                gain = statistics.mean(sliced[place]["test"] - separate[place]["test"] for place in some)
                print(
                    f"mean over {len(some)} of α {', '.join(map(str, widths))}: sliced {100 * gain:+.2f} points on test"
                )
        for shared in self.results.find(part="shared", **self.shared_key):
            cost = shared["seconds"] + sum(row["seconds"] for row in sliced.values())
            if len(both) == len(WIDTHS) * len(RESOLUTIONS):
                total = sum(row["seconds"] for row in separate.values())
                print(f"cost: {cost:.0f} s shared and sliced, {total:.0f} s separately: {cost / total:.3f}")
        for row in self.results.find(part="pick", **self.shared_key):
            found = self.results.find(**{**self.shared_key, "part": "pick alone"})
            other = "{:.1f} / {:.1f}".format(*shares(found[0])) if found else "not yet trained"
            made = "{:.1f} / {:.1f}".format(*shares(row))
            print(f"pick α {row['width']:g} at {row['resolution']} px: specialised {made}, alone for as long {other}")

    def cost(self) -> None:
        """Processor time of a step of each of the 16, and of the shared run: what their costs are in proportion to."""
        alone = {}
        for width in WIDTHS:
            for side in RESOLUTIONS:
                alone[width, side] = self.step_seconds(self.trainer(self.fresh(width, side), 1, self.recipe), 4)
                print(f"  α {width:g} at {side} px: {1e3 * alone[width, side]:.0f} ms a step", flush=True)
        module = self.fresh(max(WIDTHS), self.largest)
        trainer = self.trainer(module, 1, self.recipe, objective=self.sandwich(module.network))
        shared = self.step_seconds(trainer, 16)
        total = sum(alone.values())
        row = {"part": "cost", "data": self.name, "draws": self.options.draws, "shared": shared, "separate": total}
        self.results.add(row)
        print(f"a step: {1e3 * shared:.0f} ms shared, {1e3 * total:.0f} ms for the 16: {shared / total:.3f}")

    def step_seconds(self, trainer: Trainer, steps: int) -> float:
        """Mean processor seconds of a training step, its batch included, after one that prepares the operators."""
        batches = trainer._batches.epoch(0, trainer.size_at(0))
        trainer.module.train()
        times = [spent(lambda: trainer._train_step(next(batches), 1e-3))[0] for _ in range(steps + 1)]
        return statistics.mean(times[1:])

    def sandwich(self, network: Network) -> Sandwich:
        """What the shared run minimises."""
        return Sandwich(
            network,
            narrowest=min(WIDTHS),
            resolutions=RESOLUTIONS,
            draws=self.options.draws,
            share=self.options.share,
            label_smoothing=self.recipe.label_smoothing,
            seed=self.seed,
        )


def shares(row: dict[str, Any]) -> tuple[float, float]:
    """Top-1 on the validation and test pictures, in percent."""
    return 100 * row["validation"], 100 * row["test"]


def spent(work: Callable[[], Result]) -> tuple[float, Result]:
    """Processor seconds of some work, and what came of it."""
    begun = time.process_time()
    result = work()
    return round(time.process_time() - begun, 4), result


def main() -> None:
    """Run the parts that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--part", default="table", help="shared, separate, pick, cost, latency, profile, table")
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument(
        "--batch", type=int, default=DEFAULT.batch, help="pictures in a step; fewer learn more in few epochs"
    )
    parser.add_argument("--widths", default=",".join(map(str, WIDTHS)), help="of those that are trained separately")
    parser.add_argument("--draws", type=int, default=2, help="widths drawn in a step of the shared run")
    parser.add_argument("--share", type=float, default=0.5, help="of what the others learn from the widest's answers")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--results", type=Path, default=Path("runs/tradeoff"), help="folder of the figures")
    parser.add_argument("--threads", type=int, default=1, help="threads of training")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="stop after an epoch then, with code 3")
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    bench = Bench(chosen.data, Results(chosen.results / f"{chosen.data.name}.jsonl"), chosen)
    try:
        for part in chosen.part.split(","):
            getattr(bench, part)()
    except OutOfTimeError:
        sys.exit(3)


if __name__ == "__main__":
    main()
