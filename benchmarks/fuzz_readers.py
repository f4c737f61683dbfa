"""Every reader of foreign files against damaged ones: no crash, no hang, no memory beyond four times the file.

    python benchmarks/fuzz_readers.py [--tries 10000] [--reader NAME] [--data ../shared/data/weights]

Each try damages one file (bytes changed, numbers replaced by large ones, stretches cut or doubled, the end cut off;
most of it near the head or the tail, where formats keep their structure) and reads it. A reader may give a Model or
raise FormatError. Anything else is printed with the seed that repeats it, and the exit code is 1. Time is the
processor's, so that other work on the machine counts for nothing; memory is traced in every eighth try.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
import tracemalloc
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from mobilenets.architecture.layers import Activation, BatchNorm  # noqa: E402
from mobilenets.architecture.mobilenet_v1 import mobilenet_v1  # noqa: E402
from mobilenets.errors import MobileNetsError  # noqa: E402
from mobilenets.formats import tensor_bundle  # noqa: E402
from mobilenets.formats.importing import import_model  # noqa: E402
from mobilenets.model.model import Model, numbered_labels  # noqa: E402

SECONDS = 1.0
MEMORY_FACTOR = 4
TRACE_EVERY = 8
"""Tracing triples a try's time."""
SMALLEST_ALLOWANCE = 1 << 20
"""Bytes that a try may take beyond its file however small that is: Python's own objects for a network of 29 layers."""


@dataclass
class Tally:
    """What came of the tries of one file."""

    read: int = 0
    refused: int = 0
    slowest: float = 0.0
    largest: float = 0.0
    failures: list[str] = field(default_factory=list)


def damaged(content: bytes, rng: np.random.Generator) -> bytes:
    """One to eight damages."""
    data = bytearray(content)
    for _ in range(int(rng.integers(1, 9))):
        if len(data) < 16:
            break
        at = place(len(data), rng)
        match int(rng.integers(0, 8)):
            case 0 | 1 | 2:
                data[at] = int(rng.integers(0, 256))
            case 3:
                data[at] ^= 1 << int(rng.integers(0, 8))
            case 4:
                width = int(rng.choice([1, 2, 4, 8]))
                value = int(rng.choice([0, 1, 0x7F, 0x80, 0xFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, 1 << 40, 2**63 - 1]))
                data[at : at + width] = (value & ((1 << 8 * width) - 1)).to_bytes(width, "little")
            case 5:
                del data[at : at + int(rng.integers(1, 64))]
            case 6:
                start = place(len(data), rng)
                data[at:at] = data[start : start + int(rng.integers(1, 64))]
            case _:
                if rng.random() < 0.2:
                    del data[at:]
    return bytes(data)


def place(size: int, rng: np.random.Generator) -> int:
    """An offset, often near an end."""
    reach = int(rng.choice([64, 1024, 16384, size]))
    at = int(rng.integers(0, min(reach, size)))
    return size - 1 - at if rng.random() < 0.4 else at


def fuzz(name: str, path: Path, seeds: range, beside: dict[str, bytes]) -> Tally:
    """Damage one file over and over.

    Args:
        name: For messages.
        path: The sound file.
        seeds: One try for each.
        beside: Contents of files that must lie beside it, by name.
    """
    content, tally = path.read_bytes(), Tally()
    size = len(content) + sum(map(len, beside.values()))
    with tempfile.TemporaryDirectory() as folder:
        for other, text in beside.items():
            (Path(folder) / other).write_bytes(text)
        target = Path(folder) / path.name
        for seed in seeds:
            target.write_bytes(damaged(content, np.random.default_rng(seed)))
            _try(target, size, f"{name}, seed {seed}", tally, traced=seed % TRACE_EVERY == 0)
    return tally


def _try(target: Path, size: int, name: str, tally: Tally, *, traced: bool) -> None:
    if traced:
        tracemalloc.start()
    begun = time.process_time()
    try:
        import_model(target)
        tally.read += 1
    except MobileNetsError:
        tally.refused += 1
    except Exception as error:
        tally.failures.append(f"{name}: {error!r:.300}")
    seconds, peak = time.process_time() - begun, tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    tally.slowest, tally.largest = max(tally.slowest, seconds), max(tally.largest, peak / size)
    if seconds > SECONDS:
        tally.failures.append(f"{name}: took {seconds:.2f} s")
    if peak > max(MEMORY_FACTOR * size, size + SMALLEST_ALLOWANCE):
        tally.failures.append(f"{name}: took {peak} bytes for a file of {size}")


def small_model(*, folded: bool = False) -> Model:
    """MobileNet V1 of eight channels a layer and more."""
    network = mobilenet_v1(
        width_multiplier=0.05,
        resolution=64,
        classes=5,
        activation=Activation.RELU6,
        batch_norm=None if folded else BatchNorm(),
    )
    rng = np.random.default_rng(0)
    parameters = {
        name: rng.uniform(0.5, 1.5, shape).astype(np.float32) for name, shape in network.parameter_shapes().items()
    }
    return Model(network, parameters, numbered_labels(5))


def samples(folder: Path, data: Path) -> Iterator[tuple[str, Path, dict[str, bytes]]]:
    """A sound file of every format: real ones, and small ones as the formats' own libraries write them."""
    import h5py
    import torch
    from safetensors.numpy import save_file
    from tests.formats import foreign

    from mobilenets.formats.to_litert import to_litert
    from mobilenets.formats.to_onnx import to_onnx
    from mobilenets.model.file import save

    model, folded = small_model(), small_model(folded=True)
    for real in sorted(data.glob("*.h5")) + sorted(data.glob("*.tflite")):
        yield f"real-{real.name}", real, {}
    for name, tensors in (("h5", foreign.keras_tensors(model)), ("weights.h5", foreign.keras3_tensors(model))):
        with h5py.File(folder / f"model.{name}", "w") as file:
            for path, value in tensors.items():
                file.create_dataset(path, data=value)
        yield f"keras-{name}", folder / f"model.{name}", {}
    with zipfile.ZipFile(folder / "model.keras", "w") as archive:
        archive.writestr("config.json", json.dumps({"class_name": "Functional", "config": {"layers": []}}))
        archive.write(folder / "model.weights.h5", "model.weights.h5")
    yield "keras-archive", folder / "model.keras", {}
    save_file(foreign.timm_tensors(model), folder / "timm.safetensors")
    yield "timm-safetensors", folder / "timm.safetensors", {}
    state = {name: torch.from_numpy(value.copy()) for name, value in foreign.sequential_tensors(model).items()}
    for name, zipped in (("zip", True), ("legacy", False)):
        torch.save({"state_dict": state}, folder / f"{name}.pth", _use_new_zipfile_serialization=zipped)
        yield f"pytorch-{name}", folder / f"{name}.pth", {}
    foreign.write_tensor_bundle(folder / "slim.ckpt", foreign.slim_tensors(model))
    shard = folder / "slim.ckpt.data-00000-of-00001"
    yield "tf-slim", folder / "slim.ckpt.index", {shard.name: shard.read_bytes()}
    to_litert(folded, folder / "own.tflite")
    stripped = (folder / "own.tflite").read_bytes().replace(b"\x0a\0\0\0mobilenets", b"\x0a\0\0\0mobilenetz")
    (folder / "foreign.tflite").write_bytes(stripped)
    to_onnx(model, folder / "own.onnx")
    to_onnx(model, folder / "plain.onnx", pixel_input=False)
    stripped = (folder / "plain.onnx").read_bytes().replace(b"provenance", b"provenancf")
    (folder / "foreign.onnx").write_bytes(stripped)
    for name in ("own.tflite", "foreign.tflite", "own.onnx", "foreign.onnx"):
        yield name.replace(".", "-"), folder / name, {}
    save(model, folder / "own.safetensors")
    yield "own-safetensors", folder / "own.safetensors", {}


def main() -> None:
    """Parse, try, print."""
    parser = argparse.ArgumentParser(description="Fuzz every reader of foreign files.")
    parser.add_argument("--tries", type=int, default=10_000)
    parser.add_argument("--first", type=int, default=0, help="The first seed.")
    parser.add_argument("--reader", default="", help="Only samples whose name holds this.")
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data" / "weights")
    arguments = parser.parse_args()
    # A checksum would refuse nearly every damaged index before it is read; the code behind it is what is tried here.
    tensor_bundle.check_checksum = lambda *_: None
    failed = False
    with tempfile.TemporaryDirectory() as folder:
        for name, path, beside in samples(Path(folder), arguments.data):
            if arguments.reader not in name:
                continue
            tally = fuzz(name, path, range(arguments.first, arguments.first + arguments.tries), beside)
            print(
                f"{name:40} {tally.read:6} read {tally.refused:6} refused, "
                f"slowest {tally.slowest:.3f} s, most memory {tally.largest:.2f} × the file",
                flush=True,
            )
            for failure in tally.failures[:10]:
                print(f"  {failure}", flush=True)
            failed = failed or bool(tally.failures)
    sys.exit(int(failed))


if __name__ == "__main__":
    main()
