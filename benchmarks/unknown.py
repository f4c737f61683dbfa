"""Known against unknown: how well the energy of the logits tells images of classes that were left out of training.

    python benchmarks/unknown.py --data ../shared/data/clothing --weights timm:mobilenetv2_100

For each draw, half of the classes are left out, a linear head for the others is fitted on the features that published
weights give (nothing of the network has seen a label of the data), and the images of the test part are scored. The
first draw is fixed, the others are random. Printed is the area under the ROC curve of the energy, of the probability
of the likeliest class, and of the cosine to the nearest training image; ``--fit`` trains the first draw's network with
``mobilenets fit`` too. The threshold is set on the validation images, and the shares that it calls unknown are printed.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from sklearn.linear_model import LogisticRegression

from mobilenets import Classifier, Settings, features, fit, load, load_collection
from mobilenets.architecture.rescale import with_resolution
from mobilenets.data.dataset import Collection
from mobilenets.engine.evaluate import collect_outputs
from mobilenets.tasks.logits import softmax
from mobilenets.tasks.unknown import area_under_curve, energy, fit_unknown

FIRST = ("pants", "shoes", "shorts", "skirt", "t-shirt")
"""Classes of clothing that the first draw knows."""


def main() -> None:
    """Print a line for each draw, and their means."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True, help="clothing: train, validation and test folders of ten classes")
    parser.add_argument("--weights", required=True)
    parser.add_argument("--resolution", type=int, default=160)
    parser.add_argument("--draws", type=int, default=6)
    parser.add_argument("--fit", action="store_true", help="also train the first draw's network")
    options = parser.parse_args()
    model = load(options.weights)
    model = replace(model, network=with_resolution(model.network, options.resolution, options.resolution))
    data = load_collection(options.data)
    values = {part: features(model, subset.images).values for part, subset in data.parts.items()}
    rng = np.random.default_rng(0)
    count = len(data.labels)
    draws = [np.array([data.labels.index(label) for label in FIRST])]
    draws += [np.sort(rng.choice(count, count // 2, replace=False)) for _ in range(options.draws - 1)]
    rows = [scored(data, values, known) for known in draws]
    print(
        f"mean of {len(rows)} draws: " + ", ".join(f"{name} {np.mean([r[name] for r in rows]):.3f}" for name in rows[0])
    )
    if options.fit:
        trained(data, FIRST, options)


def scored(data: Collection, values: dict[str, np.ndarray], known: np.ndarray) -> dict[str, float]:
    """Areas under the curve of one draw."""
    scale = values["train"].std()
    chosen = np.isin(data.parts["train"].targets, known)
    rows, targets = values["train"][chosen] / scale, data.parts["train"].targets[chosen]
    head = LogisticRegression(C=0.02, max_iter=300).fit(rows, targets)
    logits = {part: head.decision_function(one / scale) for part, one in values.items()}
    inside = {part: np.isin(subset.targets, known) for part, subset in data.parts.items()}
    scores = {
        "energy": energy(logits["test"]),
        "probability": softmax(logits["test"]).max(axis=1),
        "nearest": (unit(values["test"]) @ unit(values["train"][chosen]).T).max(axis=1),
    }
    areas = {name: area_under_curve(one[inside["test"]], one[~inside["test"]]) for name, one in scores.items()}
    limit = fit_unknown(logits["validation"][inside["validation"]]).energy
    called = scores["energy"] < limit
    right = (head.classes_[logits["test"].argmax(axis=1)] == data.parts["test"].targets)[inside["test"]].mean()
    print(
        f"{', '.join(data.labels[index] for index in known)}: top-1 {100 * right:.1f} %, area "
        + ", ".join(f"{name} {area:.3f}" for name, area in areas.items())
        + f"; called unknown {100 * called[inside['test']].mean():.0f} % of known, "
        f"{100 * called[~inside['test']].mean():.0f} % of unknown images"
    )
    return areas


def unit(rows: np.ndarray) -> np.ndarray:
    """Rows of length 1."""
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def trained(data: Collection, labels: tuple[str, ...], options: argparse.Namespace) -> None:
    """The same of a Model that fit made of the known classes alone."""
    with TemporaryDirectory() as folder:
        for part in data.parts:
            for label in labels:
                link = Path(folder, part, label)
                link.parent.mkdir(parents=True, exist_ok=True)
                link.symlink_to(Path(options.data, part, label).resolve())
        result = fit(folder, settings=Settings(weights=options.weights, resolution=options.resolution, epochs=8))
    known = np.isin(data.parts["test"].targets, [data.labels.index(label) for label in labels])
    outputs, _, _ = collect_outputs(Classifier(result.model), data.parts["test"])
    area = area_under_curve(energy(outputs[0])[known], energy(outputs[0])[~known])
    print(f"fit: {result.evaluation.in_words}; area energy {area:.3f}")


if __name__ == "__main__":
    main()
