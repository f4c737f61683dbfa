"""Training past one process and past memory: agreement and rate, killed workers, very many images, images on disk.

    python benchmarks/distributed.py agreement ../shared/data/sign-digits --epochs 6
    python benchmarks/distributed.py agreement ../shared/data/clothing --epochs 3 --weights keras:0.25-224
    python benchmarks/distributed.py kills ../shared/data/sign-digits --runs 20
    python benchmarks/distributed.py many ../shared/data/trashnet --images 200000 --work FOLDER
    python benchmarks/distributed.py disk --gigabytes 8 --memory 2 --work FOLDER
    python benchmarks/distributed.py manifest MODEL --rows 10000000

Each has small defaults, so that it can be tried in a minute. ``agreement`` trains the same thing with one process of
two threads, one process of one thread and two processes of one, and compares what they reach, their losses step by
step and their rates: images a second, and images a second of processor time, of the training loop alone. The second
contestant says what rounding alone does to the losses. ``kills`` ends a worker at a random moment of each run.
``many`` writes small JPEGs, each with bytes of its own, and measures the start of ``fit`` twice: to the first step, and
the largest resident memory. ``disk`` trains from a file of resized images, in a control group that limits the memory of
the process and what the kernel keeps of the file, beside the same from memory. ``manifest`` writes a table of very many
rows and measures a dry run of bulk prediction over it.
"""

from __future__ import annotations

import argparse
import io
import json
import math
import os
import random
import resource
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from mobilenets.architecture.networks.mobilenet_v1 import mobilenet_v1
from mobilenets.base.processors import cores, processor_name
from mobilenets.data.image import FileImage
from mobilenets.data.sources import images_under
from mobilenets.data.subset import Subset
from mobilenets.training.batches import Batches
from mobilenets.training.callbacks import Begun, Callback
from mobilenets.training.disk_cache import DiskImages
from mobilenets.training.fit import fit
from mobilenets.training.image_cache import MARGIN, CachedImages, StoredImages
from mobilenets.training.network import NetworkModule
from mobilenets.training.objectives import cross_entropy
from mobilenets.training.optimization import initialize
from mobilenets.training.recipe import DEFAULT
from mobilenets.training.run import TrainingRun
from mobilenets.training.settings import PREPROCESSING, Settings
from mobilenets.training.state import TrainingState

SMOOTHING = 0.1
CONTESTANTS = {"1 process, 2 threads": (1, 2), "1 process, 1 thread": (1, 1), "2 processes, 1 thread": (2, 1)}


def torchrun(processes: int, *words: object, restarts: int = 0) -> list[str]:
    """A command in several processes, or in one."""
    if processes == 1:
        return [sys.executable, *map(str, words)]
    options = ["--standalone", "--nproc-per-node", str(processes), "--max-restarts", str(restarts)]
    return [sys.executable, "-m", "torch.distributed.run", *options, *map(str, words)]


# Agreement and rate ---------------------------------------------------------------------------------------------------


class Recorder:
    """The losses of steps in this process, and when they were taken."""

    def __init__(self) -> None:
        self.losses: list[float] = []
        self.marks: list[tuple[float, float]] = []

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Cross-entropy, whose value is kept."""
        value = functional.cross_entropy(outputs, targets, label_smoothing=SMOOTHING)
        self.losses.append(float(value.detach()))
        self.marks.append((time.perf_counter(), time.process_time()))
        return value

    def spent(self) -> tuple[float, float]:
        """Seconds and processor seconds from the first step to the last."""
        (begun, begun_processor), *_, (ended, ended_processor) = self.marks
        return ended - begun, ended_processor - begun_processor


def train_and_record(given: argparse.Namespace) -> None:
    """One process of a contestant: train, and write what it saw."""
    recorder = Recorder()
    settings = Settings(
        width=None if given.weights else 0.25,
        resolution=given.resolution,
        epochs=given.epochs,
        weights=given.weights,
        threads=given.threads,
        seed=given.seed,
    )
    result = fit(given.data, None, settings, loss=recorder.loss)
    seconds, processor = recorder.spent()
    rank = int(os.environ.get("RANK", "0"))
    found = {
        "losses": recorder.losses,
        "seconds": seconds,
        "processor": processor,
        "images": len(result.dataset.train) * len(result.history) * (1 - 1 / len(recorder.losses)),
        "steps": len(recorder.losses) // len(result.history),
        "epochs": [epoch.loss for epoch in result.history],
        "test": [result.evaluation.primary.value, len(result.dataset.test)],
    }
    Path(f"{given.output}.{rank}").write_text(json.dumps(found), encoding="utf-8")


def agreement(given: argparse.Namespace) -> None:
    """Train by every contestant, and compare them."""
    found: dict[str, list[dict[str, Any]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, (processes, threads) in CONTESTANTS.items():
            output = Path(folder) / name.replace(" ", "-")
            options = ["--epochs", given.epochs, "--threads", threads, "--seed", given.seed, "--output", output]
            options += ["--resolution", given.resolution] if given.resolution else []
            options += ["--weights", given.weights] if given.weights else []
            subprocess.run(torchrun(processes, __file__, "record", given.data, *options), check=True)
            parts = sorted(Path(folder).glob(f"{output.name}.*"))
            found[name] = [json.loads(part.read_text(encoding="utf-8")) for part in parts]
    print(f"{given.data}, {given.epochs} epochs, seed {given.seed}; {processor_name()}, {cores()} cores")
    usual = found["1 process, 2 threads"][0]
    for name, parts in found.items():
        first, (value, images) = parts[0], parts[0]["test"]
        error = math.sqrt(value * (1 - value) / images)
        wall = first["images"] / first["seconds"]
        processor = first["images"] / sum(part["processor"] for part in parts)
        print(
            f"{name:22} test {100 * value:.2f} ± {100 * error:.2f} %; {wall:6.0f} images/s, {processor:6.0f} a second "
            f"of processor time; first epoch's loss {first['epochs'][0]:.5f}"
        )
        if parts is not found["1 process, 2 threads"]:
            print(f"{'':22} {_differences(usual, parts)}")


def _differences(usual: dict[str, Any], parts: list[dict[str, Any]]) -> str:
    """How far the losses of steps are apart, in the first epoch."""
    steps = usual["steps"]
    mine = np.mean([part["losses"][:steps] for part in parts], axis=0)  # shares are equal, or differ by an image
    apart = np.abs(mine - np.array(usual["losses"][:steps]))
    shares = [f"{np.mean(apart[: max(1, steps * part // 4)]):.1e}" for part in (1, 2, 3, 4)]
    epochs = abs(parts[0]["epochs"][0] - usual["epochs"][0])
    return (
        f"losses of steps apart by {', '.join(shares)} on average in the first quarter, half, three quarters and whole "
        f"of the first epoch ({steps} steps), {apart.max():.1e} at most; its mean by {epochs:.1e}"
    )


# Killed workers -------------------------------------------------------------------------------------------------------


def kills(given: argparse.Namespace) -> None:
    """Kill a worker at a random moment of each run; the run must end, and be as good."""
    options = f"--width 0.25 --resolution 32 --epochs {given.epochs} --training-threads 1 --weights none --json --force"
    random.seed(given.seed)
    values, killed = list[float](), 0
    with tempfile.TemporaryDirectory() as folder:
        command = torchrun(
            2, "-m", "mobilenets", "fit", given.data, "-o", Path(folder) / "run", *options.split(), restarts=3
        )
        begun = time.monotonic()
        usual = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        length = time.monotonic() - begun
        for run in range(given.runs):
            at = random.uniform(0.05, 0.95) * length
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
            hit = _kill_after(process, at)
            out, _ = process.communicate(timeout=20 * length)
            killed += hit
            text = out[out.index("{") :] if "{" in out else ""
            metrics = text or (Path(folder) / "run/metrics.json").read_text(encoding="utf-8")
            found, _ = json.JSONDecoder().raw_decode(metrics)  # twice where a worker was killed after its last word
            values.append(found["test"]["top1"])
            print(
                f"run {run + 1}: {'a worker killed' if hit else 'no worker there'} at {at:.1f} s, exit "
                f"{process.returncode}, test {100 * values[-1]:.2f} %",
                flush=True,
            )
    value, images = usual["test"]["top1"], usual["test"]["images"]
    error = 100 * math.sqrt(value * (1 - value) / images)
    print(
        f"{killed} of {given.runs} runs lost a worker and all ended; test {100 * statistics.fmean(values):.2f} % on "
        f"average, from {100 * min(values):.2f} to {100 * max(values):.2f}; {100 * value:.2f} ± {error:.2f} undisturbed"
    )


def _kill_after(agent: subprocess.Popen[str], seconds: float) -> bool:
    """Kill one of the processes that torchrun has started, after some time; False where the run was over."""
    try:
        agent.wait(seconds)
        return False
    except subprocess.TimeoutExpired:
        pass
    children = Path(f"/proc/{agent.pid}/task/{agent.pid}/children").read_text(encoding="utf-8").split()
    workers = [int(one) for one in children if b"mobilenets" in Path(f"/proc/{one}/cmdline").read_bytes()]
    if not workers:
        return False
    os.kill(random.choice(workers), signal.SIGKILL)
    return True


# Very many images -----------------------------------------------------------------------------------------------------


class StartedError(Exception):
    """The first step is about to be taken."""


class Watch(Callback):
    """Ends a run where its first step begins."""

    def on_start(self, begun: Begun) -> None:
        raise StartedError


def write_many(source: str, folder: Path, count: int) -> None:
    """So many small JPEGs in ten class folders: a few hundred images of a source, each file with bytes of its own."""
    encoded = []
    for path in images_under(Path(source))[:300]:
        file = io.BytesIO()
        path.open(80).resize((80, 80)).save(file, "JPEG", quality=85)
        encoded.append(file.getvalue())
    for label in range(10):
        (folder / f"class {label}").mkdir(parents=True, exist_ok=True)
    for number in range(count):
        content, comment = encoded[number % len(encoded)], f"image {number}".encode()
        marked = content[:2] + b"\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment + content[2:]
        (folder / f"class {number % 10}" / f"{number:06}.jpg").write_bytes(marked)


def start(given: argparse.Namespace) -> None:
    """Begin to fit, end where the first step begins, and print the seconds and the largest resident memory."""
    begun = time.monotonic()
    settings = Settings(width=0.25, resolution=given.resolution, epochs=1, weights=None)
    with suppress(StartedError):
        fit(given.data, None, settings, callbacks=[Watch()])
    print(json.dumps([time.monotonic() - begun, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024]))


def many(given: argparse.Namespace) -> None:
    """Write very many images, and start twice."""
    with _folder(given.work) as work:
        images = work / "many"
        if not images.exists():
            write_many(given.data, images, given.images)
        environment = {**os.environ, "MOBILENETS_CACHE": str(work / "cache")}
        for which in ("first", "second"):
            begun = time.monotonic()
            command = [sys.executable, __file__, "start", str(images), "--resolution", str(given.resolution)]
            done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
            _, memory = json.loads(done.stdout.splitlines()[-1])
            print(
                f"{which} start of {given.images:,} images at {given.resolution} pixels: "
                f"{time.monotonic() - begun:.1f} s to the first step, {memory / 1e9:.2f} GB resident",
                flush=True,
            )


# Images on disk -------------------------------------------------------------------------------------------------------


def steps(given: argparse.Namespace) -> None:
    """Train from images on disk or in memory for some seconds, and print the rate of each second."""
    torch.set_num_threads(cores())
    network = mobilenet_v1(width_multiplier=0.25, resolution=given.resolution, classes=10)
    side = round(given.resolution * MARGIN)
    rng = np.random.default_rng(0)
    images: CachedImages
    if given.file is None:
        pixels = rng.integers(0, 256, (2000, side, side, 3), np.uint8)
        images = StoredImages(pixels, np.ones(2000, np.float32), np.arange(2000) % 10)
    else:
        count = Path(given.file).stat().st_size // (side * side * 3)
        subset = Subset((FileImage(given.file),) * count, np.arange(count) % 10)
        images = DiskImages(Path(given.file), np.ones(count, np.float32), subset, side)
    module = NetworkModule(network)
    initialize(module, DEFAULT, 0)
    recipe, device = replace(DEFAULT, batch=64), torch.device("cpu")
    batches = Batches(images, 10, PREPROCESSING, recipe, seed=0, device=device)
    state = TrainingState(module.train(), recipe, TrainingRun(100), batches.steps_per_epoch)
    size, objective = (given.resolution, given.resolution), cross_entropy(SMOOTHING)
    rates, done, mark = list[float](), 0, time.perf_counter()
    end = mark + given.seconds
    while (now := time.perf_counter()) < end:
        for batch in batches.epoch(state.step // batches.steps_per_epoch, size):
            state.train_step(batch, objective)
            done += len(batch.images)
            now = time.perf_counter()
            if now - mark >= 2:
                rates.append(done / (now - mark))
                done, mark = 0, now
            if now >= end:
                break
    print(json.dumps(rates))


def disk(given: argparse.Namespace) -> None:
    """Train from a file that is larger than the memory that may be used, beside training from memory."""
    side = round(given.resolution * MARGIN)
    limit = round(given.memory * (1 << 30))
    with _folder(given.work) as work:
        file = work / f"{given.gigabytes:g}-{side}.pixels"
        _write_pixels(file, round(given.gigabytes * (1 << 30)) // (side * side * 3), side)
        rates: dict[str, list[float]] = {"memory": [], "disk": []}
        for _ in range(given.rounds):
            for name, found in rates.items():
                words = [
                    sys.executable,
                    __file__,
                    "steps",
                    "--resolution",
                    given.resolution,
                    "--seconds",
                    given.seconds,
                ]
                words += ["--file", file] if name == "disk" else []
                with _limited(limit if name == "disk" else None) as enter:
                    done = subprocess.run(
                        list(map(str, words)), check=True, capture_output=True, text=True, preexec_fn=enter
                    )
                found += json.loads(done.stdout.splitlines()[-1])[1:]
    print(f"{given.gigabytes:g} GB of images at {given.resolution} pixels, {given.memory:g} GB of memory")
    for name, found in rates.items():
        print(f"from {name:8} {statistics.median(found):8.0f} images/s, {max(found):8.0f} at best")
    print(f"disk over memory: {statistics.median(rates['disk']) / statistics.median(rates['memory']):.3f}")


def _write_pixels(file: Path, count: int, side: int) -> None:
    if file.exists():
        return
    rng = np.random.default_rng(0)
    with file.open("wb") as written:
        for begin in range(0, count, 256):
            written.write(rng.integers(0, 256, (min(256, count - begin), side, side, 3), np.uint8).tobytes())


# A table of very many images ------------------------------------------------------------------------------------------


def manifest(given: argparse.Namespace) -> None:
    """Write a table of so many rows, and count its images by a dry run."""
    with _folder(given.work) as work:
        table = work / f"{given.rows}.csv"
        with table.open("w", encoding="utf-8") as written:
            written.write("image,taken\n")
            for number in range(given.rows):
                written.write(f"images/{number % 1000:03}/{number:09}.jpg,2026-01-01\n")
        options = ["-o", str(work / "labels.csv"), "--dry-run"]
        command = [sys.executable, "-m", "mobilenets", "predict", given.model, str(table), *options]
        begun = time.monotonic()
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
        print(done.stdout.strip())
        print(f"{given.rows:,} rows: {time.monotonic() - begun:.1f} s, {memory / 1e6:.0f} MB resident")


@contextmanager
def _limited(most: int | None) -> Iterator[Any]:
    """What a process calls before it begins, so that its memory and what the kernel keeps for it are limited."""
    if most is None:
        yield None
        return
    group = _own_group() / f"mobilenets-{os.getpid()}"
    group.mkdir()
    version_1 = (group / "memory.limit_in_bytes").exists()
    (group / ("memory.limit_in_bytes" if version_1 else "memory.max")).write_text(str(most))
    try:
        yield lambda: (group / ("tasks" if version_1 else "cgroup.procs")).write_text(str(os.getpid()))
    finally:
        for _ in range(100):
            try:
                group.rmdir()
                break
            except OSError:  # its last process is still ending
                time.sleep(0.1)


def _own_group() -> Path:
    """This process's control group of memory, below which it may make one where it has the right."""
    for line in Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines():
        _, controllers, path = line.split(":", 2)
        if "memory" in controllers.split(","):
            return Path("/sys/fs/cgroup/memory") / path.lstrip("/")
        if not controllers and Path("/sys/fs/cgroup/cgroup.controllers").exists():
            return Path("/sys/fs/cgroup") / path.lstrip("/")
    raise SystemExit("this system has no control groups of memory; on Linux, systemd-run --scope -p MemoryMax=2G has")


@contextmanager
def _folder(given: Path | None) -> Iterator[Path]:
    """A folder to work in: a given one, which stays, or one that is removed."""
    folder = given or Path(tempfile.mkdtemp())
    folder.mkdir(parents=True, exist_ok=True)
    try:
        yield folder
    finally:
        if given is None:
            shutil.rmtree(folder, ignore_errors=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)

    def command(function: Any, name: str, *, data: bool = True) -> argparse.ArgumentParser:
        one = commands.add_parser(name, help=function.__doc__)
        one.set_defaults(function=function)
        if data:
            one.add_argument("data")
        return one

    for function, name in ((agreement, "agreement"), (train_and_record, "record")):
        one = command(function, name)
        one.add_argument("--epochs", type=int, default=2)
        one.add_argument("--resolution", type=int)
        one.add_argument("--weights")
        one.add_argument("--seed", type=int, default=0)
        if name == "record":
            one.add_argument("--threads", type=int)
            one.add_argument("--output")
    one = command(kills, "kills")
    one.add_argument("--runs", type=int, default=3)
    one.add_argument("--epochs", type=int, default=6)
    one.add_argument("--seed", type=int, default=0)
    for function, name in ((many, "many"), (start, "start")):
        one = command(function, name)
        one.add_argument("--resolution", type=int, default=64)
        if name == "many":
            one.add_argument("--images", type=int, default=2000)
            one.add_argument("--work", type=Path)
    one = command(manifest, "manifest", data=False)
    one.add_argument("model")
    one.add_argument("--rows", type=int, default=100_000)
    one.add_argument("--work", type=Path)
    for function, name in ((disk, "disk"), (steps, "steps")):
        one = command(function, name, data=False)
        one.add_argument("--resolution", type=int, default=96)
        one.add_argument("--seconds", type=float, default=20)
        if name == "steps":
            one.add_argument("--file")
        else:
            one.add_argument("--gigabytes", type=float, default=1)
            one.add_argument("--memory", type=float, default=0.75)
            one.add_argument("--rounds", type=int, default=1)
            one.add_argument("--work", type=Path)
    given = parser.parse_args()
    given.function(given)


if __name__ == "__main__":
    main()
