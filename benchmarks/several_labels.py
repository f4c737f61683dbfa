"""Several labels an image against a Model of one class: mean average precision, in float32 and int8.

    python benchmarks/several_labels.py --data ../shared/data/clothing --weights keras:0.5-160 --epochs 6

Two kinds of data are made of images of ten classes of clothing. *Attributes*: each class is replaced by what it is
(:data:`ATTRIBUTES`). *Side by side*: two images of a part are put next to each other, and the labels are the classes of
both. The single-label Model is fitted to the classes of the same images. Its mean average precision on attributes is
that of the sums of its classes' probabilities; side by side, it sees each half by itself, and a label has the larger of
its two probabilities, so that it never has to tell two things in one image apart.
"""

from __future__ import annotations

import argparse
from dataclasses import replace

import numpy as np
from PIL import Image

from mobilenets import Classifier, Predictor, Settings, array_dataset, evaluate, fit, load_dataset
from mobilenets.data.dataset import Dataset
from mobilenets.data.image import ImageSource
from mobilenets.engine.evaluate import collect_outputs
from mobilenets.tasks.logits import softmax
from mobilenets.tasks.multilabel_metrics import MultiLabelMetrics
from mobilenets.training.quantize import quantize_fitted

ATTRIBUTES = {
    "dress": ("upper body", "legs", "one piece"),
    "hat": ("accessory",),
    "longsleeve": ("upper body", "sleeves"),
    "outwear": ("upper body", "sleeves", "warm"),
    "pants": ("legs", "warm"),
    "shirt": ("upper body", "sleeves", "collar"),
    "shoes": ("accessory", "one piece"),
    "shorts": ("legs", "summer"),
    "skirt": ("legs", "summer", "one piece"),
    "t-shirt": ("upper body", "summer"),
}
"""What each class of clothing is, of our own making."""
SIDE = 192
"""Pixels of the side that an image has beside another."""
PARTS = ("train", "validation", "test")


def main() -> None:
    """Print a line for each Model and kind of data."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True, help="clothing: train, validation and test folders of ten classes")
    parser.add_argument("--weights", required=True)
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--resolution", type=int)
    parser.add_argument("--images", type=int, help="training images; all by default")
    parser.add_argument("--only", choices=("attributes", "side by side"), help="one of the two kinds of data")
    options = parser.parse_args()
    settings = Settings(weights=options.weights, epochs=options.epochs, resolution=options.resolution)
    data = load_dataset(options.data)
    if options.images:
        data = thinned(data, options.images)
    single = fit(data, settings=settings)
    print(f"one class an image: {single.evaluation.in_words}", flush=True)
    classifier = Classifier(single.model)
    side = single.model.network.height
    for name, make, by_classes, resolution in (
        ("attributes", attributes, attributes_by_classes, side),
        ("side by side", beside, halves_by_classes, 2 * side),  # so that each thing has as many pixels
    ):
        if options.only not in (None, name):
            continue
        made, reference = make(data), by_classes(classifier, data)
        result = fit(made, settings=replace(settings, resolution=resolution))
        value = result.evaluation.primary.value
        quantized = quantize_fitted(result.model, made)
        int8 = evaluate(quantized.model, made).primary.value
        print(
            f"{name}: several labels {100 * value:.2f} %, of one class {100 * reference:.2f} %, "
            f"share {value / reference:.3f} (0.9 asked); int8 {100 * int8:.2f} % ({100 * (int8 - value):+.2f} points)",
            flush=True,
        )


def thinned(data: Dataset, images: int) -> Dataset:
    """The data with fewer training images, evenly spread."""
    chosen = np.linspace(0, len(data.train) - 1, min(images, len(data.train))).astype(np.int64)
    return replace(data, train=data.train.take(chosen))


def attributes(data: Dataset) -> Dataset:
    """The images with the attributes of their classes."""
    images: list[ImageSource] = []
    labels, splits = [], []
    for part in PARTS:
        subset = data.part(part)
        images += subset.images
        labels += [list(ATTRIBUTES[data.labels[target]]) for target in subset.targets]
        splits += [part] * len(subset)
    return array_dataset(images, labels, splits=splits)


def attributes_by_classes(classifier: Classifier, data: Dataset) -> float:
    """Mean average precision of attributes by the probabilities of the classes that have them."""
    outputs, targets, _ = collect_outputs(classifier, data.test)
    names = sorted({name for one in ATTRIBUTES.values() for name in one})
    table = np.array([[name in ATTRIBUTES[label] for name in names] for label in data.labels], np.float64)
    scores = softmax(outputs[0].reshape(len(targets), -1)) @ table
    truth = table[targets].astype(np.int64)
    return MultiLabelMetrics.of(scores, truth, names, [0.5] * len(names)).mean_average_precision


def pairs_of(count: int) -> np.ndarray:
    """Every image once on the left and once on the right, beside another, (count, 2)."""
    order = np.random.default_rng(0).permutation(count)
    return np.stack([order, np.roll(order, 1)], axis=1)


def thumbnail(image: ImageSource) -> Image.Image:
    """An image as a square."""
    return image.open(SIDE).resize((SIDE, SIDE), Image.Resampling.BILINEAR, reducing_gap=3.0)


def beside(data: Dataset) -> Dataset:
    """Pairs of images next to each other, with the classes of both."""
    images, labels, splits = [], [], []
    for part in PARTS:
        subset = data.part(part)
        small = [np.asarray(thumbnail(image)) for image in subset.images]
        for left, right in pairs_of(len(subset)):
            canvas = np.full((2 * SIDE, 2 * SIDE, 3), 127, np.uint8)  # square, so that no crop cuts one off
            canvas[SIDE // 2 : SIDE // 2 + SIDE] = np.concatenate([small[left], small[right]], axis=1)
            images.append(canvas)
            labels.append([data.labels[subset.targets[one]] for one in (left, right)])
            splits.append(part)
    return array_dataset(images, labels, splits=splits)


def halves_by_classes(classifier: Predictor, data: Dataset) -> float:
    """Mean average precision of pairs by a Model that sees each half by itself."""
    outputs, targets, _ = collect_outputs(classifier, data.test)
    shares = softmax(outputs[0].reshape(len(targets), -1))
    pairs = pairs_of(len(targets))
    scores = shares[pairs].max(axis=1)
    truth = np.zeros(scores.shape, np.int64)
    for row, pair in zip(truth, pairs, strict=True):
        row[targets[pair]] = 1
    return MultiLabelMetrics.of(scores, truth, data.labels, [0.5] * len(data.labels)).mean_average_precision


if __name__ == "__main__":
    main()
