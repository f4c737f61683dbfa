"""Label errors: how many labels that were changed at random are found, and how many of those listed were changed.

    python benchmarks/label_errors.py --data ../shared/data/clothing --weights timm:mobilenetv2_100

5 % of the labels of the training images are changed to another class, drawn at random. Labels that are wrong in the
data already count as false alarms. Printed for two draws. Where cleanlab is installed, what it lists by the same
probabilities is printed too, for each of its ways to choose.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from mobilenets import features, load, load_collection
from mobilenets.architecture.rescale import with_resolution
from mobilenets.tasks.label_errors import find_label_errors, left_out_probabilities
from mobilenets.tasks.metrics import Counts

CHOICES_OF_CLEANLAB = (
    "prune_by_noise_rate",
    "prune_by_class",
    "both",
    "confident_learning",
    "low_normalized_margin",
    "low_self_confidence",
)


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
        changed = set(flipped.tolist())
        named = sum(found[place].likelier == subset.targets[place] for place in set(found) & changed)
        print(f"draw {seed}: {len(changed)} changed, {in_words(set(found), changed)}", end="")
        print(f"; of {named} the right label is named; {seconds:.1f} s")
        for choice, listed in listed_by_cleanlab(values, targets, classes).items():
            print(f"  cleanlab, {choice}: {in_words(listed, changed)}")


def in_words(listed: set[int], changed: set[int]) -> str:
    """``159 listed; precision 0.723, recall 0.752``."""
    hits = len(listed & changed)
    precision = hits / len(listed) if listed else float("nan")
    return f"{len(listed)} listed; precision {precision:.3f}, recall {hits / len(changed):.3f}"


def listed_by_cleanlab(values: npt.NDArray[np.float32], targets: Counts, classes: int) -> dict[str, set[int]]:
    """What cleanlab lists by the probabilities of our classifier, in each of its ways; empty where it is missing."""
    try:
        from cleanlab.filter import find_label_issues
    except ImportError:
        return {}
    probabilities = left_out_probabilities(values, targets, classes)
    return {
        choice: set(np.flatnonzero(find_label_issues(targets, probabilities, filter_by=choice, n_jobs=1)).tolist())
        for choice in CHOICES_OF_CLEANLAB
    }


if __name__ == "__main__":
    main()
