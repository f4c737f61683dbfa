"""Names of the 1,000 classes of ImageNet's classification challenge, in the order that published weights have.

Source: the challenge's synsets (ILSVRC 2012) in order of their numbers, each with its words in WordNet.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

CLASSES = 1000
BACKGROUND = "background"


@cache
def imagenet_labels(classes: int) -> tuple[str, ...] | None:
    """Class names for a network of so many classes, or None if that is not a number that ImageNet networks have.

    Args:
        classes: 1000, or 1001 for networks whose first class is the background (TensorFlow's).

    >>> imagenet_labels(1000)[0], imagenet_labels(1001)[:2], imagenet_labels(10)
    ('tench, Tinca tinca', ('background', 'tench, Tinca tinca'), None)
    """
    if classes not in (CLASSES, CLASSES + 1):
        return None
    text = (Path(__file__).parent / "imagenet_classes.txt").read_text(encoding="utf-8")
    names = tuple(text.splitlines())
    return names if classes == CLASSES else (BACKGROUND, *names)
