"""Every reader of foreign files against damaged ones: no crash, no hang, no memory beyond four times the file.

    python benchmarks/fuzz_readers.py [--tries 10000] [--reader NAME] [--data ../shared/data/weights]

Each try damages one file and reads it. Damage falls where a format keeps its structure, and rarely among the numbers
of its tensors: bytes are changed, numbers replaced by large ones, stretches cut, doubled or moved, the end cut off. An
archive is packed anew around a damaged member, the JSON in front of a safetensors file is changed as JSON, and
checksums are right or not looked at, so that the code behind them is what is tried. A reader may give a Model or raise
FormatError or ModelFileError. Anything else is printed with the seed that repeats it, and the exit code is 1. Time is
the processor's, so that other work on the machine counts for nothing; memory is traced in every eighth try.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.damage import Damage, damaged, damaged_header, damaged_json, damaged_member  # noqa: E402

from mobilenets.architecture.layers import Activation, BatchNorm  # noqa: E402
from mobilenets.architecture.networks.mobilenet_v1 import mobilenet_v1  # noqa: E402
from mobilenets.errors import FormatError, ModelFileError  # noqa: E402
from mobilenets.formats.containers import tensor_bundle  # noqa: E402
from mobilenets.formats.importing import import_model  # noqa: E402
from mobilenets.model.model import Model  # noqa: E402
from mobilenets.tasks.classification import Classification, numbered_labels  # noqa: E402

SECONDS = 1.0
MEMORY_FACTOR = 4
TRACE_EVERY = 8
"""Tracing triples a try's time, and is done in a reading of its own."""
SMALLEST_ALLOWANCE = 1 << 20
"""Bytes that a try may take beyond its file however small that is: Python's own objects for a network of 29 layers."""
MEMORY_FOLDER = Path("/dev/shm")
"""Where damaged files lie, if it is there: to make a file anew on a disk takes longer than to read most of them."""


@dataclass
class Tally:
    """What came of the tries of one file.

    Attributes:
        read: Tries that gave a Model.
        refused: Tries that gave an error that a reader may give.
        slowest: Seconds of the processor.
        largest: Most memory, over the size of the file.
        sound: Memory that the sound file takes, over its size.
        failures: What went wrong, with the seed that repeats it.
    """

    read: int = 0
    refused: int = 0
    slowest: float = 0.0
    largest: float = 0.0
    sound: float = 0.0
    failures: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Sample:
    """A sound file.

    Attributes:
        name: What is read, and from where.
        path: The file that is damaged.
        beside: Files that must lie beside it, by name.
        damage: How it is damaged.
        read: What is then read, in its folder: the file itself, or the folder.
    """

    name: str
    path: Path
    beside: dict[str, bytes] = field(default_factory=dict)
    damage: Damage = field(default_factory=lambda: damaged)
    folder: bool = False


# Trying


def fuzz(sample: Sample, seeds: range) -> Tally:
    """Damage one file over and over, once for each seed."""
    content, tally = sample.path.read_bytes(), Tally()
    size = len(content) + sum(map(len, sample.beside.values()))
    with tempfile.TemporaryDirectory(dir=MEMORY_FOLDER if MEMORY_FOLDER.is_dir() else None) as folder:
        for other, text in sample.beside.items():
            (Path(folder) / other).write_bytes(text)
        target = Path(folder) / sample.path.name
        source = Path(folder) if sample.folder else target
        target.write_bytes(content)
        import_model(source)  # what is imported and remembered on the first call is no file's fault
        sound = Tally()
        _try(source, size, f"{sample.name}, sound", sound, traced=True)
        tally.sound = sound.largest
        for seed in seeds:
            changed = sample.damage(content, np.random.default_rng(seed))
            target.write_bytes(changed)
            allowed = size + max(0, len(changed) - len(content))
            _try(source, allowed, f"{sample.name}, seed {seed}", tally, traced=seed % TRACE_EVERY == 0)
    return tally


def _try(target: Path, size: int, name: str, tally: Tally, *, traced: bool) -> None:
    begun = time.process_time()
    try:
        import_model(target)
        tally.read += 1
    except (FormatError, ModelFileError):
        tally.refused += 1
    except Exception as error:
        tally.failures.append(f"{name}: {error!r:.300}")
    seconds = time.process_time() - begun
    tally.slowest = max(tally.slowest, seconds)
    if seconds > SECONDS:
        tally.failures.append(f"{name}: took {seconds:.2f} s")
    if not traced:
        return
    allowed = max(MEMORY_FACTOR * size, size + SMALLEST_ALLOWANCE)
    peak = _peak(target)
    if peak > allowed:
        # Now and then Python itself makes a table of its own anew (that of names: 0.9 MB every thousand tries or so).
        # What is a file's fault happens again.
        peak = min(peak, _peak(target))
    tally.largest = max(tally.largest, peak / size)
    if peak > allowed:
        tally.failures.append(f"{name}: took {peak} bytes for a file of {size}")


def _peak(target: Path) -> int:
    """Most bytes that are held at once while a file is read, or refused."""
    tracemalloc.start()
    with contextlib.suppress(Exception):
        import_model(target)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


# Sound files


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
    return Model(network, parameters, Classification(numbered_labels(5)))


def samples(folder: Path, data: Path) -> Iterator[Sample]:
    """A sound file of every format: real ones, and small ones as the formats' own libraries write them."""
    for real in sorted(data.glob("*.h5")) + sorted(data.glob("*.tflite")):
        yield Sample(f"real-{real.name}", real)
    model, folded = small_model(), small_model(folded=True)
    yield from _keras(folder, model)
    yield from _tensorflow_and_pytorch(folder, model)
    yield from _graphs(folder, model, folded)


def _keras(folder: Path, model: Model) -> Iterator[Sample]:
    import h5py
    from tests.support import foreign
    from tests.support.keras_files import KerasLayer, KerasNested, Part, base_layers, batch_norm, dense, write_keras

    for generation in (1, 2):
        tensors = foreign.keras_tensors(model, generation=generation)
        with h5py.File(folder / f"keras{generation}.h5", "w") as file:
            for path, value in tensors.items():
                file.create_dataset(path, data=value)
        yield Sample(f"keras-h5-generation-{generation}", folder / f"keras{generation}.h5")
    with h5py.File(folder / "model.weights.h5", "w") as file:
        for path, value in foreign.keras3_tensors(model).items():
            file.create_dataset(path, data=value)
    yield Sample("keras-weights-h5", folder / "model.weights.h5")
    width = model.network.shapes["pool"].channels
    head = dense("out", np.ones((width, 5), np.float32), np.ones(5, np.float32), "softmax")
    whole: list[Part] = [
        KerasLayer("Rescaling", "scale", {"scale": 1 / 255, "offset": 0.0}),
        KerasNested("base", base_layers(model)),
        batch_norm("bn", [np.ones(width, np.float32)] * 4),
        KerasLayer("GlobalAveragePooling2D", "pool"),
        head,
    ]
    for name in ("whole.h5", "model.keras"):
        write_keras(folder / name, whole, (64, 64, 3), loss="categorical_crossentropy")
    yield Sample("keras-whole-h5", folder / "whole.h5")
    yield Sample("keras-archive", folder / "model.keras", damage=damaged_member)


def _tensorflow_and_pytorch(folder: Path, model: Model) -> Iterator[Sample]:
    import torch
    from safetensors.numpy import save_file
    from tests.support import foreign

    for name, snappy in (("slim", False), ("snappy", True)):
        foreign.write_tensor_bundle(folder / f"{name}.ckpt", foreign.slim_tensors(model), snappy=snappy)
        shard = folder / f"{name}.ckpt.data-00000-of-00001"
        yield Sample(f"tf-{name}", folder / f"{name}.ckpt.index", {shard.name: shard.read_bytes()})
    save_file(foreign.timm_tensors(model), folder / "model.safetensors")
    weights = (folder / "model.safetensors").read_bytes()
    yield Sample("timm-safetensors", folder / "model.safetensors", damage=damaged_header)
    config = {"architecture": "mobilenetv1_100", "num_classes": 5, "label_names": list("abcde")}
    config["pretrained_cfg"] = {"input_size": [3, 64, 64], "mean": [0.5] * 3, "std": [0.5] * 3, "crop_pct": 0.9}
    (folder / "repository").mkdir()
    (folder / "repository" / "config.json").write_text(json.dumps(config))
    (folder / "repository" / "model.safetensors").write_bytes(weights)
    beside = {"model.safetensors": weights}
    yield Sample("timm-folder", folder / "repository" / "config.json", beside, damaged_json, folder=True)
    for name, tensors, zipped in (
        ("timm.bin", foreign.timm_tensors(model), True),
        ("zip.pth", foreign.sequential_tensors(model), True),
        ("legacy.pth", foreign.sequential_tensors(model), False),
    ):
        state = {key: torch.from_numpy(value.copy()) for key, value in tensors.items()}
        content = state if "timm" in name else {"state_dict": state}
        torch.save(content, folder / name, _use_new_zipfile_serialization=zipped)
        yield Sample(f"torch-{name}", folder / name, damage=damaged_member if zipped else damaged)


def _graphs(folder: Path, model: Model, folded: Model) -> Iterator[Sample]:
    from tests.support.litert_graphs import hard_graph
    from tests.support.networks import squeeze_excite_network
    from tests.support.random_models import random_int8_model, random_model

    from mobilenets.formats.litert.write import to_litert
    from mobilenets.formats.onnx.write import to_onnx
    from mobilenets.model.file import save

    int8 = random_int8_model(np.random.default_rng(0), folded.network)
    to_litert(folded, folder / "float32.tflite")
    to_litert(folded, folder / "float16.tflite", weights="float16")
    to_litert(int8, folder / "int8.tflite")
    to_litert(int8, folder / "int8-float-output.tflite", float_output=True)
    to_onnx(model, folder / "float32.onnx", pixel_input=False)
    to_onnx(int8, folder / "int8.onnx")
    to_onnx(random_model(np.random.default_rng(0), squeeze_excite_network()), folder / "hard.onnx", pixel_input=False)
    (folder / "hard-float32.tflite").write_bytes(hard_graph(int8=False))
    (folder / "hard-int8.tflite").write_bytes(hard_graph(int8=True))
    yield Sample("foreign-hard-float32.tflite", folder / "hard-float32.tflite")
    yield Sample("foreign-hard-int8.tflite", folder / "hard-int8.tflite")
    for name in ("float32.tflite", "float16.tflite", "int8.tflite", "float32.onnx", "hard.onnx", "int8.onnx"):
        content = (folder / name).read_bytes()
        yield Sample(f"own-{name}", folder / name)
        if name == "int8.onnx":
            continue  # foreign graphs of pairs are not read
        # Without the description, the operators are read, as those of strangers are.
        stripped = content.replace(b"\x0a\0\0\0mobilenets", b"\x0a\0\0\0mobilenetz").replace(
            b"provenance", b"provenancf"
        )
        (folder / f"foreign-{name}").write_bytes(stripped)
        yield Sample(f"foreign-{name}", folder / f"foreign-{name}")
    for name, each in (("float32", model), ("int8", int8)):
        save(each, folder / f"{name}.safetensors")
        yield Sample(f"model-file-{name}", folder / f"{name}.safetensors", damage=damaged_header)


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
        for sample in samples(Path(folder), arguments.data):
            if arguments.reader not in sample.name:
                continue
            tally = fuzz(sample, range(arguments.first, arguments.first + arguments.tries))
            print(
                f"{sample.name:40} {tally.read:6} read {tally.refused:6} refused, "
                f"slowest {tally.slowest:.3f} s, most memory {tally.largest:.2f} × the file "
                f"(sound: {tally.sound:.2f} ×)",
                flush=True,
            )
            for failure in tally.failures[:10]:
                print(f"  {failure}", flush=True)
            failed = failed or bool(tally.failures)
    sys.exit(int(failed))


if __name__ == "__main__":
    main()
