"""Features beside a peer's: the same numbers, the same nearest neighbors, and the time of many images.

    python benchmarks/features.py --data ../shared/data/trashnet --weights keras:0.25-224

ONNX Runtime runs the exported network of features on the same pixels. Printed are the largest difference as a share of
the largest feature, the accuracy of 5 nearest neighbors by each, and images/s of the engine alone, on pixels of the
network's size; of ``features`` of the same pixels as a list of arrays; and of files, beside decoding and resizing them
without a network. Each is the best of several rounds, in which they take turns.
"""

from __future__ import annotations

import argparse
import time
from collections import deque
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnxruntime
from sklearn.neighbors import KNeighborsClassifier

from mobilenets import Predictor, Session, export, feature_model, features, load, load_dataset
from mobilenets.data.loading import each, prepare
from mobilenets.data.subset import Subset
from mobilenets.model.model import Model


def main() -> None:
    """Print one line for each figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True)
    parser.add_argument("--weights", required=True)
    parser.add_argument("--images", type=int, default=5000, help="images of the timing; they repeat where fewer")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    data, model = load_dataset(options.data), load(options.weights)
    ours = {
        part: features(model, subset.images).values for part, subset in (("train", data.train), ("test", data.test))
    }
    theirs = {part: peer_features(model, subset) for part, subset in (("train", data.train), ("test", data.test))}
    largest = max(float(np.abs(values).max()) for values in theirs.values())
    difference = max(float(np.abs(ours[part] - theirs[part]).max()) for part in ours)
    print(f"largest difference {difference / largest:.2g} of the largest feature (1e-4 asked)")
    for name, values in (("here", ours), ("ONNX Runtime", theirs)):
        neighbors = KNeighborsClassifier(5).fit(values["train"], data.train.targets)
        print(f"5 nearest neighbors, {name}: {100 * neighbors.score(values['test'], data.test.targets):.2f} %")
    print_rates(model, data.train, options.images, options.rounds)


def print_rates(model: Model, subset: Subset, count: int, rounds: int) -> None:
    """Images/s of the engine, of features, and of what features waits for."""
    cut = feature_model(model)
    height, width = cut.network.height, cut.network.width
    many = [subset.images[number % len(subset)] for number in range(count)]
    pixels = prepare(subset.take(np.arange(min(len(subset), 512))), cut.preprocessing, height, width).pixels
    arrays = [pixels[number % len(pixels)] for number in range(count)]
    session = Session(cut)
    whole = replace(
        model, preprocessing=replace(model.preprocessing, crop_fraction=1.0)
    )  # so that arrays fit as they are
    contestants = {
        "the engine alone": lambda: [session.run(pixels[:64]) for _ in range(-(-count // 64))],
        "features of arrays": lambda: features(whole, arrays),
        "reading and resizing files": lambda: deque(each(many, Predictor(cut).prepare), maxlen=0),
        "features of files": lambda: features(model, many),
    }
    best = dict.fromkeys(contestants, float("inf"))
    for _ in range(rounds):
        for name, work in contestants.items():
            begun = time.perf_counter()
            work()
            best[name] = min(best[name], time.perf_counter() - begun)
    for name, seconds in best.items():
        print(f"{name}: {count / seconds:,.0f} images/s")


def peer_features(model: Model, subset: Subset) -> np.ndarray:
    """The features of images as ONNX Runtime computes them."""
    cut = feature_model(model)
    prepared = prepare(subset, cut.preprocessing, cut.network.height, cut.network.width)
    with TemporaryDirectory() as folder:
        export(cut, Path(folder, "features.onnx"), verify=False)
        session = onnxruntime.InferenceSession(str(Path(folder, "features.onnx")), providers=["CPUExecutionProvider"])
        name = session.get_inputs()[0].name
        parts = [
            session.run(None, {name: prepared.pixels[at : at + 32]})[0] for at in range(0, len(prepared.pixels), 32)
        ]
    return np.concatenate(parts).reshape(len(prepared.pixels), -1)


if __name__ == "__main__":
    main()
