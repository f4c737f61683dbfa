"""Near duplicates: how many of 100 hidden copies are found, and how many of the other images are taken for copies.

    python benchmarks/near_duplicates.py --data ../shared/data/clothing

100 training images, drawn at random, are put among the validation images: encoded again as a JPEG of lower quality,
resized, or with 5 % of height and width cropped away anywhere, by turns. Printed are the recall of each kind, and the
pairs that are found beside them; they are to be looked at, for the data has some copies of its own.
"""

from __future__ import annotations

import argparse
import io
import time

import numpy as np
from PIL import Image

from mobilenets import load_collection
from mobilenets.data.image import BytesImage, ImageSource
from mobilenets.data.near_duplicates import find_near_pairs

KINDS = ("encoded again", "resized", "cropped")


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True)
    parser.add_argument("--copies", type=int, default=100)
    options = parser.parse_args()
    parts = load_collection(options.data).parts
    rng = np.random.default_rng(0)
    originals = parts["validation"].images + parts["train"].images
    first = len(parts["validation"])
    chosen = rng.choice(len(parts["train"]), options.copies, replace=False) + first
    copies = [copy_of(originals[index], KINDS[n % 3], rng, f"copy {n}") for n, index in enumerate(chosen)]
    begun = time.perf_counter()
    pairs = find_near_pairs([*copies, *originals])
    seconds = time.perf_counter() - begun
    found = {(pair.first, pair.second - len(copies)) for pair in pairs}
    for kind, name in enumerate(KINDS):
        hits = [(n, int(index)) in found for n, index in enumerate(chosen) if n % 3 == kind]
        print(f"{name}: {sum(hits)} of {len(hits)}")
    recall = np.mean([(n, int(index)) in found for n, index in enumerate(chosen)])
    wrong = [
        pair for pair in pairs if pair.first < len(copies) and pair.second - len(copies) != chosen[pair.first % 100]
    ]
    own = [pair for pair in pairs if pair.first >= len(copies)]
    print(f"recall {recall:.3f}; {len(wrong)} copies taken for others, {len(own)} pairs among {len(originals)} images")
    for pair in [*wrong, *own]:
        names = [([*copies, *originals])[place].name for place in (pair.first, pair.second)]
        print(f"  {pair.correlation:.3f} {names[0]} ~ {names[1]}")
    print(f"{seconds:.1f} s")


def copy_of(image: ImageSource, kind: str, rng: np.random.Generator, name: str) -> BytesImage:
    """A copy of an image, as a JPEG."""
    opened = image.open()
    width, height = opened.size
    if kind == "resized":
        scale = rng.uniform(0.4, 0.9)
        opened = opened.resize((round(scale * width), round(scale * height)), Image.Resampling.LANCZOS)
    elif kind == "cropped":
        left, top = rng.integers(0, round(0.05 * width) + 1), rng.integers(0, round(0.05 * height) + 1)
        opened = opened.crop((left, top, left + round(0.95 * width), top + round(0.95 * height)))
    content = io.BytesIO()
    opened.save(content, "JPEG", quality=60 if kind == "encoded again" else 90)
    return BytesImage(name, content.getvalue())


if __name__ == "__main__":
    main()
