"""Training rate against a bare PyTorch loop, and peak memory.

The bare loop is the fastest that a person would write by hand for the same network: tensors in memory, channels-last,
fused AdamW, no augmentation, no moving average, no checkpoints; it is run in float32 and bfloat16 and the faster one
counts. Both sides are run in turns in one process, a round of steps each.

    python benchmarks/training.py rate
    python benchmarks/training.py rate --resolution 32 --batch 64
    python benchmarks/training.py rate --device cuda
    python benchmarks/training.py memory IMAGES
"""

from __future__ import annotations

import argparse
import resource
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

from mobilenets.architecture.networks.mobilenet_v1 import mobilenet_v1
from mobilenets.base.processors import cores
from mobilenets.model.preprocessing import Preprocessing
from mobilenets.training.batches import Batches
from mobilenets.training.fit import fit
from mobilenets.training.image_cache import MARGIN, StoredImages
from mobilenets.training.network import NetworkModule
from mobilenets.training.objectives import cross_entropy
from mobilenets.training.optimization import initialize
from mobilenets.training.recipe import DEFAULT
from mobilenets.training.run import TrainingRun
from mobilenets.training.settings import Settings, choose_device, choose_precision
from mobilenets.training.state import TrainingState

CLASSES = 10
Round = Callable[[], None]


def bare_loop(resolution: int, width: float, batch: int, steps: int, device: torch.device, *, bfloat16: bool) -> Round:
    """Steps over one tensor in memory."""
    network = mobilenet_v1(width_multiplier=width, resolution=resolution, classes=CLASSES)
    module = NetworkModule(network)
    initialize(module, DEFAULT, 0)
    module.to(device).to(memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    optimizer = torch.optim.AdamW(module.parameters(), lr=1e-3, fused=True)
    images = torch.randn(batch, 3, resolution, resolution, device=device)
    images = images.contiguous(memory_format=torch.channels_last)
    targets = torch.randint(0, CLASSES, (batch,), device=device)

    def run() -> None:
        for _ in range(steps):
            with torch.autocast(device.type, torch.bfloat16, enabled=bfloat16):
                loss = functional.cross_entropy(module(images).float(), targets)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        if device.type == "cuda":
            torch.cuda.synchronize()

    return run


def this_package(resolution: int, width: float, batch: int, steps: int, device: torch.device) -> Round:
    """Epochs of as many steps, with everything that ``fit`` does in a step."""
    side = round(resolution * MARGIN)
    count = batch * steps
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (count, side, side, 3), dtype=np.uint8)
    targets = np.arange(count, dtype=np.int64) % CLASSES
    recipe = replace(DEFAULT, batch=batch, growth=((1.0, 1.0),))
    network = mobilenet_v1(width_multiplier=width, resolution=resolution, classes=CLASSES)
    module = NetworkModule(network)
    initialize(module, recipe, 0)
    preprocessing = Preprocessing()
    images = StoredImages(pixels, np.ones(count, np.float32), targets)
    batches = Batches(images, CLASSES, preprocessing, recipe, seed=0, device=device)
    run_of = TrainingRun(epochs=1000, precision=choose_precision("auto", device), device=device)
    state = TrainingState(module, recipe, run_of, batches.steps_per_epoch)
    objective = cross_entropy(recipe.label_smoothing)
    module.train()
    epoch = 0

    def run() -> None:
        nonlocal epoch
        for drawn in batches.epoch(epoch, (resolution, resolution)):
            state.train_step(drawn, objective)
        epoch += 1

    return run


def measure_rate(resolution: int, width: float, batch: int, steps: int, rounds: int, device: torch.device) -> None:
    """Print images per second of each side and their ratio, from interleaved rounds."""
    torch.set_num_threads(cores())
    contestants = {
        "bare loop, float32": bare_loop(resolution, width, batch, steps, device, bfloat16=False),
        "bare loop, bfloat16": bare_loop(resolution, width, batch, steps, device, bfloat16=True),
        "fit": this_package(resolution, width, batch, steps, device),
    }
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for number in range(rounds + 1):
        for name, run in contestants.items():
            begun = time.perf_counter()
            run()
            if number:  # the first round prepares the operators
                seconds[name].append(time.perf_counter() - begun)
    print(f"width {width:g}, {resolution} px, batch {batch}, {torch.get_num_threads()} threads, {_processor()}")
    if device.type == "cuda":
        print(torch.cuda.get_device_name())
    print(f"{'images/s':24}{'best':>8}{'median':>8}{'worst':>8}")
    rates = {name: [batch * steps / value for value in values] for name, values in seconds.items()}
    for name, values in rates.items():
        print(f"{name:24}{max(values):8.0f}{statistics.median(values):8.0f}{min(values):8.0f}")
    bare = max((name for name in rates if name != "fit"), key=lambda name: max(rates[name]))
    best = max(rates["fit"]) / max(rates[bare])
    middle = statistics.median(rates["fit"]) / statistics.median(rates[bare])
    print(f"fit against {bare}: {best:.3f} of the best, {middle:.3f} of the medians")


def measure_memory(data: Path, epochs: int) -> None:
    """Print the largest resident memory of this process while it fits."""
    result = fit(data, None, Settings(epochs=epochs))
    unit = 1 if sys.platform == "darwin" else 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    network = result.model.network
    size = f"width {network.width_multiplier:g}, {network.height} px"
    print(f"{data.name}: {size}, {epochs} epochs: peak {peak / 1e9:.2f} GB")


def _processor() -> str:
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), "unknown processor")


def main() -> None:
    parser = argparse.ArgumentParser(description="Training rate and memory.")
    commands = parser.add_subparsers(dest="command", required=True)
    rate = commands.add_parser("rate")
    rate.add_argument("--resolution", type=int, default=128)
    rate.add_argument("--width", type=float, default=0.5)
    rate.add_argument("--batch", type=int, default=64)
    rate.add_argument("--steps", type=int, default=8)
    rate.add_argument("--rounds", type=int, default=6)
    rate.add_argument("--device", default="cpu")
    memory = commands.add_parser("memory")
    memory.add_argument("data", type=Path)
    memory.add_argument("--epochs", type=int, default=2)
    chosen = parser.parse_args()
    if chosen.command == "rate":
        measure_rate(
            chosen.resolution, chosen.width, chosen.batch, chosen.steps, chosen.rounds, choose_device(chosen.device)
        )
    else:
        measure_memory(chosen.data, chosen.epochs)


if __name__ == "__main__":
    main()
