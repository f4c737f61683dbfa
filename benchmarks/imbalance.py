"""A rare class: its recall with images of small classes counting more, as fit has it, and with all counting alike.

    python benchmarks/imbalance.py --data ../shared/data/trashnet --weights keras:0.25-224

One class of the training images is cut to a tenth; validation and test images stay. Both runs are the same but for the
loss. Printed are the recall of that class and the balanced accuracy on the test images, mean over the seeds.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from functools import partial

import numpy as np
from torch.nn import functional

from mobilenets import Settings, fit, load_dataset
from mobilenets.data.dataset import Dataset
from mobilenets.tasks.classification_metrics import ClassificationMetrics


def main() -> None:
    """Print a line for each way, and the difference."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True)
    parser.add_argument("--weights", required=True)
    parser.add_argument("--rare", default="glass", help="the class that is cut")
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--resolution", type=int)
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    data = load_dataset(options.data)
    found: dict[str, list[tuple[float, float]]] = {"weighted": [], "alike": []}
    for seed in range(options.seeds):
        cut = with_rare(data, options.rare, seed)
        settings = Settings(
            weights=options.weights,
            epochs=options.epochs,
            resolution=options.resolution,
            seed=seed,
            validation_apart=True,
        )
        alike = partial(functional.cross_entropy, label_smoothing=0.1)
        for name, loss in (("weighted", None), ("alike", alike)):
            metrics = fit(cut, settings=settings, loss=loss).evaluation
            assert isinstance(metrics, ClassificationMetrics)
            recalls = {row.label: row.recall or 0.0 for row in metrics.classes}
            found[name].append((recalls[options.rare], float(np.mean(list(recalls.values())))))
            print(
                f"seed {seed}, {name}: recall {found[name][-1][0]:.3f}, balanced {found[name][-1][1]:.3f}", flush=True
            )
    means = {name: np.mean(rows, axis=0) for name, rows in found.items()}
    recall, balanced = 100 * (means["weighted"] - means["alike"])
    print(
        f"{options.rare} with weights: {recall:+.1f} points of recall (15 asked), {balanced:+.1f} of balanced accuracy"
    )


def with_rare(data: Dataset, label: str, seed: int) -> Dataset:
    """The data with a tenth of the training images of one class."""
    rng, number = np.random.default_rng(seed), data.labels.index(label)
    members = np.flatnonzero(data.train.targets == number)
    kept = rng.choice(members, max(1, len(members) // 10), replace=False)
    chosen = np.sort(np.concatenate([np.flatnonzero(data.train.targets != number), kept]))
    return replace(data, train=data.train.take(chosen), fingerprint=f"{data.fingerprint}-{label}-{seed}")


if __name__ == "__main__":
    main()
