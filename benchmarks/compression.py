"""Quality of int8 Models: every figure of docs/compression.md, in one command.

    python benchmarks/compression.py --data ../shared/data --models runs/compression

The published 0.25-224 is read from Keras' file, calibrated on 64 of the 100 images of the sample, and evaluated on the
36 between them, on all 100, and on eight views (four crops, mirrored or not) of the 36: more images for agreement,
though not independent ones. Models of sign-digits and trashnet are fitted first, unless --models holds them already.
Post-training and trained Models are compared with the float one on the test images, which nothing was chosen by. The
validation images say which epoch of training is kept.
"""

from __future__ import annotations

import argparse
import os
import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from mobilenets.architecture.layers import Activation
from mobilenets.architecture.networks.mobilenet_v1 import mobilenet_v1
from mobilenets.compression.config import QuantizationConfig
from mobilenets.compression.data_free import quantize_without_images
from mobilenets.compression.evaluation import EvaluationSet
from mobilenets.compression.quality import QualityReport
from mobilenets.compression.quantize import Quantized, quantize_with_images
from mobilenets.compression.techniques import contributions
from mobilenets.data.dataset import load_collection, load_dataset
from mobilenets.data.loading import prepare
from mobilenets.formats.keras.read import from_keras
from mobilenets.model.file import file_bytes, load
from mobilenets.model.model import Model
from mobilenets.model.preprocessing import Pixels
from mobilenets.training.fit import fit
from mobilenets.training.quantization_aware import train_quantized
from mobilenets.training.quantize import FITTED_CALIBRATION_IMAGES
from mobilenets.training.settings import Settings

CALIBRATION = 64
"""Images that calibrate the published network; Models that are fitted here take as many as ``fit --int8``."""
FITTED = {"sign-digits": (96, 20), "trashnet": (128, 14)}
"""Resolution and epochs of the Models that are fitted, from the published 0.25-224."""


def spread(total: int, count: int = CALIBRATION) -> list[int]:
    """Positions spread evenly."""
    return sorted(set(np.linspace(0, total - 1, count).round().astype(int).tolist()))


def line(name: str, report: QualityReport, before: Model | None = None, after: Model | None = None) -> None:
    """Print one report, and the file sizes of two Models if they are given."""
    drop = ""
    if report.top1_before is not None and report.top1_after is not None:
        first, then = 100 * report.top1_before.value, 100 * report.top1_after.value
        drop = f"; top-1 {first:.2f} → {then:.2f} % ({then - first:+.2f} points)"
    sizes = ""
    if before is not None and after is not None:
        sizes = f"; file {file_bytes(after):,} / {file_bytes(before):,} = {file_bytes(after) / file_bytes(before):.3f}"
    print(
        f"{name}: agreement {report.agreement}; sure {report.sure_agreement}; {report.logits_sqnr_db:.1f} dB"
        f"{drop}{sizes}",
        flush=True,
    )


def views(model: Model, paths: Sequence[Path]) -> Pixels:
    """Eight views of each image: four crop fractions, mirrored or not."""
    found = []
    for path in paths:
        image = Image.open(path).convert("RGB")
        for fraction in (1.0, 0.75, 0.625, 0.5):
            preprocessing = replace(model.preprocessing, crop_fraction=fraction)
            pixels = preprocessing.apply(image, model.network.height, model.network.width)
            found += [pixels, pixels[:, ::-1]]
    return np.stack(found)


def published(data: Path) -> Model:
    """The network in Keras' file."""
    return from_keras(data / "weights" / "mobilenet_v1_0.25_224.h5")


def real(data: Path, explain: bool) -> None:
    """Rows of the published network."""
    model = published(data)
    collection = load_collection(data / "imagenet-sample" / "labels.csv")
    everything = collection.everything
    prepared = prepare(everything, model.preprocessing, 224, 224)
    if collection.class_indices is None:
        raise SystemExit("labels.csv gives no class numbers")
    targets = np.array(collection.class_indices)[prepared.targets]
    chosen = spread(len(prepared.pixels))
    held_out = sorted(set(range(len(prepared.pixels))) - set(chosen))
    calibration = prepared.pixels[chosen]
    begun, processor = time.perf_counter(), time.process_time()
    made = quantize_with_images(model, calibration)
    seconds, busy = time.perf_counter() - begun, time.process_time() - processor
    print(f"0.25-224 quantized with {len(chosen)} images in {seconds:.1f} s ({busy:.1f} s of processor time)")
    evaluation = EvaluationSet.of(model, prepared.pixels[held_out], targets[held_out])
    line("0.25-224, held out", evaluation.report(made.model, made.layers), model, made.model)
    line("0.25-224, all", EvaluationSet.of(model, prepared.pixels, targets).report(made.model), model, made.model)
    folder = data / "imagenet-sample"
    paths = [folder / Path(everything.images[index].name).name for index in held_out]
    line(
        "0.25-224, views of the held out",
        EvaluationSet.of(model, views(model, paths)).report(made.model),
        model,
        made.model,
    )
    if explain:
        viewed = EvaluationSet.of(model, views(model, paths))
        for item in contributions(
            viewed, lambda config: quantize_with_images(model, calibration, config), QuantizationConfig()
        ):
            line(f"0.25-224, views, without {item.name}", item.without)
    free = quantize_without_images(model)
    line(
        "0.25-224, without images, all",
        EvaluationSet.of(model, prepared.pixels, targets).report(free.model),
        model,
        free.model,
    )
    four = quantize_with_images(model, calibration, QuantizationConfig(weight_bits=4))
    line("0.25-224, 4-bit weights, post-training only, held out", evaluation.report(four.model), model, four.model)


def fitted(name: str, data: Path, models: Path) -> Model:
    """A Model of a data set, fitted now if it is not there."""
    folder = models / name
    if not (folder / "model.safetensors").exists():
        resolution, epochs = FITTED[name]
        network = mobilenet_v1(width_multiplier=0.25, resolution=resolution, activation=Activation.RELU6)
        start = replace(published(data), network=network)
        # Apart, since the validation images choose among int8 Models.
        fit(data / name, folder, Settings(weights=start, resolution=resolution, epochs=epochs, validation_apart=True))
    return load(folder / "model.safetensors")


def small(name: str, data: Path, models: Path, epochs: int | None) -> None:
    """Rows of one fitted Model, on its test images."""
    model = fitted(name, data, models)
    dataset = load_dataset(data / name, seed=0)
    size = (model.network.height, model.network.width)
    learned, validation, test = (
        prepare(part, model.preprocessing, *size) for part in (dataset.train, dataset.validation, dataset.test)
    )
    pixels = learned.pixels
    choosing = EvaluationSet.of(model, validation.pixels, validation.targets)
    evaluation = EvaluationSet.of(model, test.pixels, test.targets)
    calibration = pixels[spread(len(pixels), FITTED_CALIBRATION_IMAGES)]
    title = f"{name} {model.network.width_multiplier}-{size[0]}"

    def trained(bits: int) -> Quantized:
        config = QuantizationConfig(weight_bits=bits)
        return train_quantized(
            model, pixels, calibration, config, epochs=epochs, targets=learned.targets, evaluation=choosing
        )

    rows: dict[str, Callable[[], Quantized]] = {
        "int8 post-training": lambda: quantize_with_images(model, calibration),
        "int8 trained": lambda: trained(8),
        "int8 without images": lambda: quantize_without_images(model),
        "4-bit post-training": lambda: quantize_with_images(model, calibration, QuantizationConfig(weight_bits=4)),
        "4-bit trained": lambda: trained(4),
    }
    for row, make in rows.items():
        begun = time.process_time()
        made = make()
        kept = f", epoch {made.epoch} kept" if made.epoch is not None else ""
        line(
            f"{title}, {row} in {time.process_time() - begun:.0f} s of processor time{kept}, test",
            evaluation.report(made.model),
            model,
            made.model,
        )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder of the shared data")
    parser.add_argument("--models", type=Path, default=Path("runs/compression"), help="folder of fitted Models")
    parser.add_argument("--epochs", type=int, help="of training in integers, instead of the default")
    parser.add_argument("--only", choices=["real", *FITTED], help="one part of the table")
    parser.add_argument("--explain", action="store_true", help="also the gain of each technique")
    arguments = parser.parse_args()
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    if arguments.only in (None, "real"):
        real(arguments.data, arguments.explain)
    for name in FITTED:
        if arguments.only in (None, name):
            small(name, arguments.data, arguments.models, arguments.epochs)


if __name__ == "__main__":
    main()
