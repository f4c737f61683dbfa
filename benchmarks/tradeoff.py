"""One training run for the whole trade-off, against a training run for each point of it.

Every row of docs/experiments/supernet.md comes from here. Networks share one recipe and seed; the supernet run has as
many epochs in proportion to those of the 16 as in a search. Costs are processor seconds of the training loop
alone, since wall time belongs to the machine's other guests.
Results go into a folder as lines of JSON as soon as they are there, so an interrupted run goes on where it was.

    python benchmarks/tradeoff.py ../shared/data/sign-digits --part supernet,separate,fine-tune,table
    python benchmarks/tradeoff.py ../shared/data/sign-digits --part latency,profile

``--part cost`` times single steps, which the cost of a run is in proportion to.

Validation images decide which epoch is kept and what is chosen; the test images are looked at once by each network.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import torch
from tradeoff_runs import RESOLUTIONS, WIDTHS, OutOfTimeError, Results, Runs, Training, spent

from mobilenets.compression.pipeline import QUICK
from mobilenets.compression.quantize import quantize_with_images
from mobilenets.engine.session import Session
from mobilenets.engine.timing import time_sessions
from mobilenets.model.file import load, save
from mobilenets.search.candidates import candidate_of
from mobilenets.search.frontier import knee
from mobilenets.search.measuring import measure, measure_profile, synthetic_model
from mobilenets.training.recipe import DEFAULT

COST_ROUNDS, STEPS_A_ROUND = 5, 16
"""A round has a step of each of the 16, and these of the supernet run, from a later part of it each time: the trained
widths change in its course."""


class Bench:
    """The parts of the benchmark, each a method that the command line names.

    Args:
        runs: The networks and how they are trained.
    """

    def __init__(self, runs: Runs) -> None:
        self.runs, self.results, self.options = runs, runs.results, runs.options

    def separate(self) -> None:
        """Train each of the 16 alone, or those of the widths that were asked for: two processes can share them."""
        for width in sorted(map(float, self.options.widths.split(","))):
            for side in reversed(RESOLUTIONS):
                key = {"part": "separate", **self.runs.key, "width": width, "resolution": side}
                if not self.results.find(**key):
                    module = self.runs.fresh(width, side)
                    seconds = self.runs.train(key, self.runs.training(module, self.options.epochs, self.runs.recipe))
                    self.results.add(key | {"seconds": seconds, **self.runs.top1(self.runs.model(module))})

    def supernet(self) -> None:
        """Train the supernet once, and extract the 16 subnets."""
        run = {"part": "supernet", **self.runs.supernet_key}
        if not self.results.find(**run) or not self.runs.supernet_path.exists():
            module = self.runs.fresh(max(WIDTHS), self.runs.largest)
            objective = self.runs.sandwich(module.network)
            training = self.runs.training(
                module, self.runs.supernet_epochs, self.runs.recipe, objective, keep_last=True
            )
            seconds = self.runs.train(run, training)
            save(self.runs.model(module), self.runs.supernet_path)
            self.results.add(run | {"seconds": seconds})
        supernet = load(self.runs.supernet_path)
        for width in reversed(WIDTHS):
            for side in reversed(RESOLUTIONS):
                key = {"part": "subnets", **self.runs.supernet_key, "width": width, "resolution": side}
                if not self.results.find(**key):
                    seconds, model = spent(partial(self.runs.subnet, supernet, width, side))
                    self.results.add(key | {"seconds": seconds, **self.runs.top1(model)})

    def fine_tune(self) -> None:
        """Choose the knee of the 16 subnets, fine-tune it, and train the same size alone for the same time."""
        rows = self.results.find(part="subnets", **self.runs.supernet_key)
        if len(rows) < len(WIDTHS) * len(RESOLUTIONS):
            raise SystemExit("the 16 subnets are not there yet: run --part supernet first")
        run = {"part": "fine-tune", **self.runs.supernet_key}
        if not self.results.find(**run):
            width, side = self._knee(rows)
            seconds, model = self.runs.fine_tuned(load(self.runs.supernet_path), width, side)
            (supernet,) = self.results.find(part="supernet", **self.runs.supernet_key)
            total = supernet["seconds"] + sum(row["seconds"] for row in rows) + seconds
            size = {"width": width, "resolution": side}
            self.results.add(run | size | {"seconds": round(total, 2), **self.runs.top1(model)})
        (made,) = self.results.find(**run)
        alone = {**run, "part": "alone"}
        if not self.results.find(**alone):
            epochs = self._as_long(made["width"], made["resolution"])
            module = self.runs.fresh(made["width"], made["resolution"])
            seconds = self.runs.train(alone, self.runs.training(module, epochs, self.runs.recipe))
            self.results.add(
                alone | {"alone epochs": epochs, "seconds": seconds, **self.runs.top1(self.runs.model(module))}
            )

    def _as_long(self, width: float, side: int) -> int:
        """Epochs of one network alone that take as long as supernet and fine-tuning together, by their steps.

        Whole runs lie too far apart on a machine that others share to be compared.
        """
        runs = self.runs
        supernet = load(runs.supernet_path)
        start, largest = runs.subnet(supernet, width, side), runs.subnet(supernet, max(WIDTHS), runs.largest)
        module, how = runs.fine_tuning(start, largest)
        fine_tuning_steps = runs.training(
            module, how.epochs, runs.recipe, how.objective, size=how.size, sized_epochs=how.sized_epochs
        )
        alone = runs.training(runs.fresh(width, side), 1, runs.recipe)
        together = self._supernet_training()
        epochs = 0.0
        for number in range(COST_ROUNDS):
            one = alone.step_seconds(STEPS_A_ROUND)
            shared_run = runs.supernet_epochs * self._supernet_step_seconds(together, number)
            learning = how.sized_epochs * fine_tuning_steps.step_seconds(STEPS_A_ROUND)
            untaught = how.epochs - how.sized_epochs
            if untaught:
                learning += untaught * fine_tuning_steps.step_seconds(STEPS_A_ROUND, how.epochs - 1)
            epochs += (shared_run + learning) / one / COST_ROUNDS
        return max(1, round(epochs))

    def _supernet_training(self) -> Training:
        module = self.runs.fresh(max(WIDTHS), self.runs.largest)
        objective = self.runs.sandwich(module.network)
        return self.runs.training(module, self.runs.supernet_epochs, self.runs.recipe, objective)

    def _supernet_step_seconds(self, training: Training, number: int) -> float:
        """Of the supernet run in the part of it that a round looks at."""
        return training.step_seconds(STEPS_A_ROUND, int((number + 0.5) / COST_ROUNDS * self.runs.supernet_epochs))

    def _knee(self, rows: list[dict[str, Any]]) -> tuple[float, int]:
        places = [(row["width"], row["resolution"], "float32", 1, len(self.runs.dataset.labels)) for row in rows]
        points = measure(places)
        choice = knee(
            [
                candidate_of(
                    self.runs.network(row["width"], row["resolution"]),
                    "float32",
                    accuracy=row["validation"],
                    latency_ms=point.median_ms,
                )
                for row, point in zip(rows, points, strict=True)
            ]
        )
        return choice.width_multiplier, choice.resolution

    def latency(self) -> None:
        """What a search takes each size for, and what the finished subnets take, turn by turn with it.

        A search measures networks of random weights before there are trained ones. Minutes lie between in a real run,
        in which a shared machine changes its speed by more than the two differ; here both are timed in the same rounds.
        """
        supernet = load(self.runs.supernet_path)
        subnets = [self.runs.subnet(supernet, width, side) for width in WIDTHS for side in RESOLUTIONS]
        calibration = {side: self.runs.prepared("train", side).pixels[:64] for side in RESOLUTIONS}
        finished = subnets + [
            quantize_with_images(one, calibration[one.network.height], QUICK).model for one in subnets
        ]
        random = [
            synthetic_model(self.runs.network(one.network.width_multiplier, one.network.height), one.precision)
            for one in finished
        ]
        times = time_sessions([Session(model, 1) for pair in zip(random, finished, strict=True) for model in pair])
        errors = []
        for model, before, after in zip(finished, times[::2], times[1::2], strict=True):
            expected, measured = statistics.median(before), statistics.median(after)
            errors.append(abs(expected / measured - 1))
            place = {"width": model.network.width_multiplier, "resolution": model.network.height}
            row = {"part": "latency", "data": self.runs.name, **place, "precision": model.precision}
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
        separate = {
            (row["width"], row["resolution"]): row for row in self.results.find(part="separate", **self.runs.key)
        }
        subnets = {
            (row["width"], row["resolution"]): row
            for row in self.results.find(part="subnets", **self.runs.supernet_key)
        }
        both = sorted(set(separate) & set(subnets))
        print(f"{self.runs.name}, {self.options.epochs} epochs, {self.runs.largest} px: top-1 on validation / test, %")
        for place in both:
            alone, cut = ("{:.1f} / {:.1f}".format(*shares(rows[place])) for rows in (separate, subnets))
            print(f"  α {place[0]:g} at {place[1]} px: alone {alone}, as a subnet {cut}")
        for widths in (WIDTHS, (min(WIDTHS),)):
            some = [place for place in both if place[0] in widths]
            if some:
                gain = statistics.mean(subnets[place]["test"] - separate[place]["test"] for place in some)
                print(f"mean over {len(some)} of α {', '.join(map(str, widths))}: subnets {100 * gain:+.2f} points")
        for supernet in self.results.find(part="supernet", **self.runs.supernet_key):
            cost = supernet["seconds"] + sum(row["seconds"] for row in subnets.values())
            if len(both) == len(WIDTHS) * len(RESOLUTIONS):
                total = sum(row["seconds"] for row in separate.values())
                print(f"cost: {cost:.0f} s for supernet and subnets, {total:.0f} s separately: {cost / total:.3f}")
        for row in self.results.find(part="fine-tune", **self.runs.supernet_key):
            found = self.results.find(**{**self.runs.supernet_key, "part": "alone"})
            other = "{:.1f} / {:.1f}".format(*shares(found[0])) if found else "not yet trained"
            made = "{:.1f} / {:.1f}".format(*shares(row))
            print(f"choice α {row['width']:g} at {row['resolution']} px: fine-tuned {made}, alone for as long {other}")

    def cost(self) -> None:
        """Processor time of an epoch of each of the 16 and of the supernet run, from single steps taken turn by turn.

        Whole runs are hours apart on a machine that others share; their steps, side by side, are what can be compared.
        """
        alone = [
            self.runs.training(self.runs.fresh(width, side), 1, self.runs.recipe)
            for width in WIDTHS
            for side in RESOLUTIONS
        ]
        supernet = self._supernet_training()
        seconds = {"supernet": 0.0, "separate": 0.0}
        for number in range(COST_ROUNDS):
            seconds["separate"] += sum(training.step_seconds(1) for training in alone) / COST_ROUNDS
            seconds["supernet"] += self._supernet_step_seconds(supernet, number) / COST_ROUNDS
        ratio = self.runs.supernet_epochs * seconds["supernet"] / (self.options.epochs * seconds["separate"])
        self.results.add({"part": "cost", **self.runs.supernet_key, **seconds, "ratio": ratio})
        steps = f"{1e3 * seconds['supernet']:.0f} ms for the supernet, {1e3 * seconds['separate']:.0f} ms for all 16"
        print(f"a step: {steps}; {self.runs.supernet_epochs} epochs for {self.options.epochs}: {ratio:.3f} of the cost")


def shares(row: dict[str, Any]) -> tuple[float, float]:
    """Top-1 on the validation and test images, in percent."""
    return 100 * row["validation"], 100 * row["test"]


def main() -> None:
    """Run the parts that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--part", default="table", help="supernet, separate, fine-tune, cost, latency, profile, table")
    parser.add_argument("--epochs", type=int, default=12, help="of each network that is trained alone")
    parser.add_argument(
        "--batch", type=int, default=DEFAULT.batch, help="images in a step; fewer learn more in few epochs"
    )
    parser.add_argument("--widths", default=",".join(map(str, WIDTHS)), help="of those that are trained separately")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--results", type=Path, default=Path("runs/tradeoff"), help="folder of the figures")
    parser.add_argument("--threads", type=int, default=1, help="threads of training")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="stop after an epoch then, with code 3")
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    bench = Bench(Runs(chosen.data, Results(chosen.results / f"{chosen.data.name}.jsonl"), chosen))
    try:
        for part in chosen.part.split(","):
            getattr(bench, part.replace("-", "_"))()
    except OutOfTimeError:
        sys.exit(3)


if __name__ == "__main__":
    main()
