"""``fit`` from published weights against a careful plain fine-tuning of the same network in PyTorch, in the same time.

The plain one is what a person would write by hand who knows the field: AdamW with weight decay, one cycle of the
learning rate, random resized crops, mirroring where classes allow it, label smoothing, all layers trained, batches of
32. It has the same network, weights, images and sizes, and its cycle ends when as much time has passed as ``fit`` took.

    python benchmarks/fine_tuning.py subset DATA FOLDER --classes glass,metal,paper --each 40 --seed 0
    python benchmarks/fine_tuning.py compare DATA… --each 20,50,200,0 --seeds 0,1,2
    python benchmarks/fine_tuning.py compare DATA… --judge test
    python benchmarks/fine_tuning.py choose DATA… --each 20,50 --seeds 0,1

``compare`` and ``choose`` judge by images that are split off the training and validation images, so that the test
images stay unseen while anything is chosen; ``--judge test`` is for the end. ``choose`` tries variants of the recipe
and prints which is chosen without each data set, and what that gets on it. 0 of ``--each`` is all images. Weights are
``keras:0.25-224`` unless ``--weights`` says otherwise.
"""

from __future__ import annotations

import argparse
import math
import shutil
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from mobilenets.data.dataset import Dataset, load_dataset
from mobilenets.data.loading import Prepared, decode_all, prepare
from mobilenets.data.splitting import SHARE
from mobilenets.data.subset import Subset
from mobilenets.formats.loading import load_model
from mobilenets.model.model import Model
from mobilenets.model.preprocessing import Pixels, Preprocessing
from mobilenets.training.batches import normalized
from mobilenets.training.fine_tuning import fine_tune
from mobilenets.training.head import output_layer, with_classes
from mobilenets.training.network import NetworkModule, load_parameters, module_of
from mobilenets.training.recipe import DEFAULT, Recipe
from mobilenets.training.settings import Settings, fine_tuning_side
from mobilenets.training.start import starting_model

JUDGED = 500
"""Images at most that variants are judged by, where the test images are not."""
VARIANTS = {
    "default": DEFAULT,
    "rate / 2": replace(DEFAULT, transfer=DEFAULT.transfer / 2),
    "rate × 2": replace(DEFAULT, transfer=DEFAULT.transfer * 2),
    "frozen statistics": replace(DEFAULT, transfer_statistics=False),
    "frozen statistics, rate / 3": replace(DEFAULT, transfer_statistics=False, transfer=DEFAULT.transfer / 3),
    "shorter": replace(DEFAULT, transfer_samples=DEFAULT.transfer_samples * 2 // 3),
    "longer": replace(DEFAULT, transfer_samples=DEFAULT.transfer_samples * 3 // 2),
    "few shown less": replace(DEFAULT, transfer_least=DEFAULT.transfer_least // 3),
    "few shown more": replace(DEFAULT, transfer_least=DEFAULT.transfer_least * 2),
    "batches of 16": replace(DEFAULT, transfer_batch=16),
    "early layers kept": replace(DEFAULT, kept_stride=2),
}


@dataclass(frozen=True)
class Outcome:
    """What one way of training got.

    Attributes:
        right: bool (N,), which of the images it was judged by.
        seconds: Wall time.
    """

    right: np.ndarray
    seconds: float


def drawn(dataset: Dataset, each: int, seed: int, judge: str) -> tuple[Dataset, Subset]:
    """A data set with so many training images of each class, and the images to judge by."""
    pool = dataset.train + dataset.validation
    rng = np.random.default_rng(seed)
    train: list[int] = []
    validation: list[int] = []
    rest: list[int] = []
    for label in range(len(dataset.labels)):
        indices = rng.permutation(np.flatnonzero(pool.targets == label)).tolist()
        count = min(each or len(indices), len(indices) if judge == "test" else len(indices) * 4 // 5)
        kept = max(1, round(SHARE * count))  # as many as are drawn of a folder of class folders
        validation += indices[:kept]
        train += indices[kept:count]
        rest += indices[count:]
    judged = dataset.test if judge == "test" else pool.take(rng.permutation(rest)[:JUDGED])
    parts = {"train": pool.take(rng.permutation(train)), "validation": pool.take(validation), "test": judged}
    return replace(dataset, **parts), judged


def with_fit(
    start: Model, dataset: Dataset, judged: Subset, recipe: Recipe, seed: int, threads: int | None = None
) -> tuple[Outcome, Model]:
    """The library's fine-tuning."""
    begun = now(threads)
    tuned = fine_tune(start, dataset, Settings(recipe=recipe, seed=seed, threads=threads)).model
    seconds = now(threads) - begun
    return Outcome(_right(module_of(tuned), _prepared(judged, tuned), tuned.preprocessing), seconds), tuned


def now(threads: int | None) -> float:
    """Seconds of a clock; of processor time where one thread trains, which other processes do not change."""
    return time.process_time() if threads == 1 else time.monotonic()


def _prepared(judged: Subset, model: Model) -> Prepared:
    return prepare(judged, model.preprocessing, model.network.height, model.network.width)


def _right(module: NetworkModule, prepared: Prepared, preprocessing: Preprocessing) -> np.ndarray:
    module.eval()
    found = []
    with torch.inference_mode():
        for begin in range(0, len(prepared.pixels), 64):
            images = normalized(prepared.pixels[begin : begin + 64], preprocessing, torch.device("cpu"))
            found.append(module(images).argmax(dim=1).numpy())
    return np.asarray(np.concatenate(found) == prepared.targets)


# The plain fine-tuning -----------------------------------------------------------------------------------------------


def plainly(
    start: Model,
    dataset: Dataset,
    judged: Subset,
    seconds: float,
    seed: int,
    *,
    rate: float,
    threads: int | None = None,
) -> Outcome:
    """AdamW, one cycle, random resized crops, label smoothing; until the time is over."""
    begun = now(threads)
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    network = with_classes(start.network, len(dataset.labels))
    module = NetworkModule(network)
    output = output_layer(network).name
    own = dict(start.parameters)
    own[f"{output}.weight"] = rng.normal(0, 0.01, network.parameter_shapes()[f"{output}.weight"]).astype(np.float32)
    own[f"{output}.bias"] = np.zeros(len(dataset.labels), np.float32)
    load_parameters(module, own)
    preprocessing = replace(start.preprocessing, crop_fraction=1.0)
    side = fine_tuning_side(start.network, start.network.height)
    everything = dataset.train + dataset.validation  # it chooses nothing by them
    decoded = decode_all(everything, round(1.25 * side))
    mirrored = not all(len(label) == 1 for label in dataset.labels)
    optimizer = torch.optim.AdamW(_groups(module), lr=rate)
    targets = torch.from_numpy(decoded.targets)
    module.train()
    for indices in _batches(len(decoded.images), rng):
        passed = (now(threads) - begun) / seconds
        if passed >= 1:
            break
        for group in optimizer.param_groups:
            group["lr"] = _one_cycle(rate, passed)
        crops = np.stack([_crop(decoded.images[index], side, mirrored, rng) for index in indices])
        logits = module(normalized(crops, preprocessing, torch.device("cpu")))
        loss = functional.cross_entropy(logits, targets[indices], label_smoothing=0.1)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    spent = now(threads) - begun
    used = replace(start, preprocessing=preprocessing)
    return Outcome(_right(module, _prepared(judged, used), preprocessing), spent)


def _groups(module: nn.Module) -> list[dict[str, object]]:
    weights = [one for one in module.parameters() if one.ndim > 1]
    return [{"params": weights}, {"params": [one for one in module.parameters() if one.ndim == 1], "weight_decay": 0.0}]


def _batches(count: int, rng: np.random.Generator, size: int = 32) -> Iterator[np.ndarray]:
    size = min(size, count)
    while True:
        order = rng.permutation(count)
        yield from (order[begin : begin + size] for begin in range(0, count - size + 1, size))


def _one_cycle(highest: float, passed: float, warm: float = 0.25) -> float:
    if passed < warm:
        return highest * (0.04 + 0.96 * 0.5 * (1 - math.cos(math.pi * passed / warm)))
    return highest * 0.5 * (1 + math.cos(math.pi * (passed - warm) / (1 - warm)))


def _crop(pixels: Pixels, side: int, mirrored: bool, rng: np.random.Generator) -> Pixels:
    height, width = pixels.shape[:2]
    area, ratio = height * width * rng.uniform(0.35, 1), math.exp(rng.uniform(math.log(3 / 4), math.log(4 / 3)))
    rows, columns = min(height, round(math.sqrt(area / ratio))), min(width, round(math.sqrt(area * ratio)))
    top, left = rng.integers(0, height - rows + 1), rng.integers(0, width - columns + 1)
    part: Tensor = torch.from_numpy(pixels[top : top + rows, left : left + columns].copy()).permute(2, 0, 1)[None]
    resized = functional.interpolate(part.float(), (side, side), mode="bilinear", antialias=True)[0]
    if mirrored and rng.random() < 0.5:
        resized = resized.flip(2)
    found: Pixels = resized.round().clamp(0, 255).to(torch.uint8).permute(1, 2, 0).numpy()
    return found


# Commands ------------------------------------------------------------------------------------------------------------


def compare(arguments: argparse.Namespace) -> None:
    """Print, for each data set and size, what both get in the same time."""
    weights, differences = load_model(arguments.weights), []
    print(f"{'data':28}{'images':>8}{'seed':>6}{'fit %':>8}{'plain %':>9}{'difference':>16}{'seconds':>9}")
    for name, each, seed, dataset, judged in _cases(arguments):
        start = starting_model(weights, Settings(), dataset)
        ours, _ = with_fit(start, dataset, judged, DEFAULT, seed, arguments.threads)
        plain = plainly(start, dataset, judged, ours.seconds, seed, rate=arguments.rate, threads=arguments.threads)
        difference = ours.right.astype(float) - plain.right.astype(float)
        error = difference.std() / math.sqrt(len(difference))
        differences.append(difference.mean())
        label = f"{name}, {each} each" if each else name
        print(
            f"{label:28}{len(dataset.train) + len(dataset.validation):8}{seed:6}{100 * ours.right.mean():8.1f}"
            f"{100 * plain.right.mean():9.1f}{100 * difference.mean():+8.1f} ± {100 * error:.1f}{ours.seconds:9.0f}",
            flush=True,
        )
    print(f"on average {100 * statistics.mean(differences):+.2f} points of {len(differences)} runs")


def choose(arguments: argparse.Namespace) -> None:
    """Print what each variant gets, and what is chosen without each data set."""
    weights = load_model(arguments.weights)
    found: dict[str, dict[str, list[float]]] = {variant: {} for variant in VARIANTS}
    for name, each, seed, dataset, judged in _cases(arguments):
        start = starting_model(weights, Settings(), dataset)
        for variant, recipe in VARIANTS.items():
            outcome, _ = with_fit(start, dataset, judged, recipe, seed, arguments.threads)
            found[variant].setdefault(name, []).append(float(outcome.right.mean()))
            what = f"{name}, {each} each, seed {seed}, {variant}"
            print(f"{what}: {100 * outcome.right.mean():.1f} %, {outcome.seconds:.0f} s", flush=True)
    names = list(next(iter(found.values())))
    for left in names:
        others = [name for name in names if name != left] or names
        best = max(found, key=lambda variant: statistics.mean(statistics.mean(found[variant][name]) for name in others))
        gain = statistics.mean(found[best][left]) - statistics.mean(found["default"][left])
        print(f"without {left}: {best}; on {left} {100 * gain:+.1f} points against the default")


def _cases(arguments: argparse.Namespace) -> Iterator[tuple[str, int, int, Dataset, Subset]]:
    for source in arguments.data:
        whole = load_dataset(source)
        for each in arguments.each:
            for seed in arguments.seeds:
                yield (Path(source).name, each, seed, *drawn(whole, each, seed, arguments.judge))


def subset(arguments: argparse.Namespace) -> None:
    """Copy some images of each class, and all test images of those classes."""
    dataset = load_dataset(arguments.data[0])
    wanted = arguments.classes.split(",") if arguments.classes else list(dataset.labels)
    rng = np.random.default_rng(arguments.seed)
    for label in wanted:
        number = dataset.labels.index(label)
        for part, images, count in (("photos", dataset.train, arguments.each[0]), ("test", dataset.test, None)):
            folder = Path(arguments.folder) / part / label
            folder.mkdir(parents=True)
            indices = np.flatnonzero(images.targets == number)
            for index in indices if count is None else rng.permutation(indices)[:count]:
                shutil.copy(images.images[index].name, folder)
    print(f"{arguments.folder}/photos and {arguments.folder}/test are written")


def _numbers(text: str) -> list[int]:
    return [int(one) for one in text.split(",")]


def main(words: Sequence[str] | None = None) -> None:
    """Run a command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    for command in (compare, choose):
        one = commands.add_parser(command.__name__, help=command.__doc__)
        one.add_argument("data", nargs="+")
        one.add_argument("--each", type=_numbers, default=[20, 50])
        one.add_argument("--seeds", type=_numbers, default=[0])
        one.add_argument("--judge", choices=("held out", "test"), default="held out")
        one.add_argument("--weights", default="keras:0.25-224")
        one.add_argument("--rate", type=float, default=1e-3, help="of the plain one")
        one.add_argument("--threads", type=int, help="1 counts processor time, on a machine that does other things too")
        one.set_defaults(command=command)
    one = commands.add_parser("subset", help=subset.__doc__)
    one.add_argument("data", nargs=1)
    one.add_argument("folder")
    one.add_argument("--classes")
    one.add_argument("--each", type=_numbers, default=[40])
    one.add_argument("--seed", type=int, default=0)
    one.set_defaults(command=subset)
    arguments = parser.parse_args(words)
    arguments.command(arguments)


if __name__ == "__main__":
    main()
