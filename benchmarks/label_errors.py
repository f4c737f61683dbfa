"""Label errors: how many labels that were changed at random are found, and how many of those listed were changed.

    python benchmarks/label_errors.py --data ../shared/data/clothing --weights timm:mobilenetv2_100

5 % of the labels of the training images are changed to another class, drawn at random. Labels that are wrong in the
data already count as false alarms. Printed for two draws.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace

import numpy as np

from mobilenets import features, load, load_collection
from mobilenets.architecture.rescale import with_resolution
from mobilenets.tasks.label_errors import find_label_errors


def main() -> None:
    """Print precision and recall."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True)
    parser.add_argument("--weights", required=True)
    parser.add_argument("--resolution", type=int, default=160)
    options = parser.parse_args()
    model = load(options.weights)
    model = replace(model, network=with_resolution(model.network, options.resolution, options.resolution))
    data = load_collection(options.data)
    subset, classes = data.parts["train"], len(data.labels)
    values = features(model, subset.images).values
    for seed in range(2):
        rng = np.random.default_rng(seed)
        flipped = rng.choice(len(subset), len(subset) // 20, replace=False)
        targets = subset.targets.copy()
        targets[flipped] = (targets[flipped] + rng.integers(1, classes, len(flipped))) % classes
        begun = time.perf_counter()
        found = {one.position: one for one in find_label_errors(values, targets, classes)}
        seconds = time.perf_counter() - begun
        hits = set(found) & set(flipped.tolist())
        named = sum(found[place].likelier == subset.targets[place] for place in hits)
        print(
            f"draw {seed}: {len(flipped)} changed, {len(found)} listed; precision {len(hits) / len(found):.3f}, recall "
            f"{len(hits) / len(flipped):.3f}; of {named} the right label is named; {seconds:.1f} s"
        )


if __name__ == "__main__":
    main()
