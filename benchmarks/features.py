"""Features beside a peer's: the same numbers, the same nearest neighbors, and the time of many images.

    python benchmarks/features.py --data ../shared/data/trashnet --weights keras:0.25-224

ONNX Runtime runs the exported network of features on the same pixels. Printed are the largest difference as a share of
the largest feature, the accuracy of 5 nearest neighbors by each, and images/s of ``features`` from files.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnxruntime
from sklearn.neighbors import KNeighborsClassifier

from mobilenets import export, feature_model, features, load, load_dataset
from mobilenets.data.loading import prepare
from mobilenets.data.subset import Subset
from mobilenets.model.model import Model


def main() -> None:
    """Print one line for each figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True)
    parser.add_argument("--weights", required=True)
    parser.add_argument("--images", type=int, default=5000, help="images of the timing; they repeat where fewer")
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
    many = [data.train.images[number % len(data.train)] for number in range(options.images)]
    begun = time.perf_counter()
    features(model, many)
    print(f"{options.images / (time.perf_counter() - begun):,.0f} images/s from files")


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
