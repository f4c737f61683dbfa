"""Accuracy of int8 Models of V3 small and V4 conv small, fitted here: what calibration and training in integers lose.

    python benchmarks/int8_families.py --data ../shared/data --models runs/int8-families

Each network is trained from scratch on trashnet and clothing at 96 pixels, unless --models holds it already, then
quantized by ``mobilenets.quantize(model, data=DATA)``, calibrated and with ``method="trained"``. Whatever is chosen,
such as the epoch that is kept, is chosen on validation images. The test images are looked at once for each Model: right
answers, and how many images only the float32 or only the int8 Model answers rightly, with the probability that as
uneven a division comes of chance (McNemar's exact test).

With --explain, also the loss of the calibrated Model on validation images without each technique, and with each way to
choose ranges.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass, replace
from math import comb
from pathlib import Path

from mobilenets.compression.config import QuantizationConfig
from mobilenets.compression.evaluation import EvaluationSet
from mobilenets.compression.quality import QualityReport
from mobilenets.compression.quantize import Quantized, quantize_with_images
from mobilenets.compression.ranges import RangeMethod
from mobilenets.compression.result import CompressionResult, Method
from mobilenets.compression.techniques import contributions
from mobilenets.data.dataset import Dataset, load_dataset
from mobilenets.data.loading import prepare
from mobilenets.model.file import load, save
from mobilenets.model.model import Model
from mobilenets.training.fit import fit
from mobilenets.training.quantize import FITTED_CALIBRATION_IMAGES, quantize
from mobilenets.training.settings import Settings

NETWORKS = ("mobilenet_v3_small", "mobilenet_v4_conv_small")
EPOCHS = {"trashnet": 30, "clothing": 45}
"""Of training from scratch: five to ten minutes of one core each."""
RESOLUTION = 96


@dataclass(frozen=True)
class Case:
    """A network and the images that it is fitted to."""

    network: str
    images: str

    @property
    def name(self) -> str:
        """What its folder is called."""
        return f"{self.network}-{self.images}"


def p_value(lost: int, gained: int) -> float:
    """Probability of a division as uneven, if each of the images that differ could as well be lost as gained.

    >>> p_value(3, 3), round(p_value(8, 1), 3)
    (1.0, 0.039)
    """
    total, fewer = lost + gained, min(lost, gained)
    return min(1.0, 2 * sum(comb(total, count) for count in range(fewer + 1)) / 2**total)


def fitted(case: Case, dataset: Dataset, models: Path, epochs: int) -> Model:
    """The float32 Model, trained now if it is not there."""
    file = models / case.name / "model.safetensors"
    if not file.exists():
        settings = Settings(f"{case.network}@1-{RESOLUTION}", epochs=epochs, weights=None, threads=1, seed=0)
        begun = time.process_time()
        result = fit(dataset, file.parent, settings, resume=True)
        print(
            f"{case.name}: {epochs} epochs in {time.process_time() - begun:.0f} s of processor time, "
            f"epoch {result.best_epoch + 1} kept",
            flush=True,
        )
    return load(file)


def row(report: QualityReport) -> str:
    """Points, paired counts and agreement."""
    before, after, lost, gained = report.top1_before, report.top1_after, report.lost, report.gained
    if before is None or after is None or lost is None or gained is None:
        raise SystemExit("images without labels")
    return (
        f"{100 * before.value:.2f} → {100 * after.value:.2f} % ({100 * (after.value - before.value):+.2f} points; "
        f"of {before.total} images {lost} lost, {gained} gained, p {p_value(lost, gained):.2f}); "
        f"agreement {report.agreement}"
    )


def quantized(case: Case, model: Model, dataset: Dataset, method: Method, models: Path) -> None:
    """Make one int8 Model, and print what it lost on validation and test images."""
    begun = time.process_time()
    made: CompressionResult = quantize(model, data=dataset, method=method, calibration_images=FITTED_CALIBRATION_IMAGES)
    seconds = time.process_time() - begun
    save(made.model, models / case.name / f"{method}.int8.safetensors")
    images = prepare(dataset.test, model.preprocessing, model.network.height, model.network.width)
    tested = EvaluationSet.of(model, images.pixels, images.targets).report(made.model)
    print(f"{case.name}, {method} in {seconds:.0f} s of processor time")
    print(f"  validation: {row(made.report)}")
    print(f"  test:       {row(tested)}", flush=True)


def explained(case: Case, model: Model, dataset: Dataset) -> None:
    """What each technique and choice of ranges gives, on validation images."""
    size = (model.network.height, model.network.width)
    images = prepare(dataset.validation, model.preprocessing, *size)
    pixels = prepare(dataset.train, model.preprocessing, *size).pixels
    calibration = pixels[:: max(1, len(pixels) // FITTED_CALIBRATION_IMAGES)][:FITTED_CALIBRATION_IMAGES]
    choosing = EvaluationSet.of(model, images.pixels, images.targets)

    def made(config: QuantizationConfig) -> Quantized:
        return quantize_with_images(model, calibration, config)

    for item in contributions(choosing, made, QuantizationConfig()):
        print(f"{case.name}, validation, without {item.name}: {row(item.without)}", flush=True)
    for method in RangeMethod:
        config = replace(QuantizationConfig(), ranges=method)
        print(f"{case.name}, validation, ranges by {method}: {row(choosing.report(made(config).model))}", flush=True)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder of the shared data")
    parser.add_argument("--models", type=Path, default=Path("runs/int8-families"), help="folder of fitted Models")
    parser.add_argument("--only", help="part of the name of a case, such as v3_small-trashnet")
    parser.add_argument("--epochs", type=int, help="of training from scratch")
    parser.add_argument("--calibrated-only", action="store_true", help="no training in integers")
    parser.add_argument("--explain", action="store_true", help="also what each technique gives, on validation images")
    arguments = parser.parse_args()
    for images in EPOCHS:
        dataset = load_dataset(arguments.data / images, seed=0)
        for network in NETWORKS:
            case = Case(network, images)
            if arguments.only and arguments.only not in case.name:
                continue
            model = fitted(case, dataset, arguments.models, arguments.epochs or EPOCHS[images])
            if arguments.explain:
                explained(case, model, dataset)
            quantized(case, model, dataset, Method.CALIBRATED, arguments.models)
            if not arguments.calibrated_only:
                quantized(case, model, dataset, Method.TRAINED, arguments.models)


if __name__ == "__main__":
    main()
