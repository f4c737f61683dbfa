"""Folds of cross-validation: every image is tested once, by a Model that it did not train."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace

import numpy as np

from mobilenets.base.arguments import check_integer
from mobilenets.base.progress import SILENT, Progress
from mobilenets.base.text import plural
from mobilenets.data.content import digests_of, fingerprint_of, split_by_content
from mobilenets.data.dataset import Dataset
from mobilenets.data.subset import Subset
from mobilenets.data.targets import has_several, strata
from mobilenets.errors import DataError

LARGEST_COUNT = 100


def folds_of(dataset: Dataset, count: int, *, progress: Progress = SILENT) -> tuple[Dataset, ...]:
    """Datasets whose test parts together are all images of a dataset.

    Every class is spread over the folds evenly. Identical images stay together, and which fold an image is in depends
    on its content and the dataset's seed alone. A tenth of what does not test is drawn for validation.

    Args:
        dataset: The images of all its parts are pooled.
        count: Number of folds, from 2 to 100.
        progress: Receives progress updates.

    Returns:
        One Dataset for each fold.

    Raises:
        DataError: If the count makes no sense, or a class has too few different images for it.
    """
    check_integer("folds", count, DataError, least=2, most=LARGEST_COUNT)
    pool = dataset.train + dataset.validation + dataset.test
    digests, unreadable = digests_of(pool, progress)
    pool = pool.take([index for index, image in enumerate(pool.images) if image.name not in unreadable])
    places = _places(pool, dataset, digests, count)
    made = []
    for fold in range(count):
        parts = {"train": pool.take(np.flatnonzero(places != fold)), "test": pool.take(np.flatnonzero(places == fold))}
        split = split_by_content(parts, dataset.labels, digests, seed=dataset.seed)
        made.append(
            replace(
                dataset,
                train=split["train"],
                validation=split["validation"],
                test=split["test"],
                fingerprint=fingerprint_of(split, dataset.labels, digests),
                made_parts=("train", "validation", "test"),
            )
        )
    return tuple(made)


def _places(pool: Subset, dataset: Dataset, digests: dict[str, bytes], count: int) -> np.ndarray:
    """The fold of every image."""
    places = np.empty(len(pool), np.int64)
    if has_several(pool.targets):  # an image shows several classes, so that folds cannot share each out
        groups = strata(pool.targets, len(dataset.labels))
        first = {digests[image.name]: int(group) for image, group in zip(pool.images, groups, strict=True)}
        order = {digest: rank for rank, digest in enumerate(sorted(first, key=lambda digest: (first[digest], digest)))}
        return np.array([(order[digests[image.name]] + dataset.seed) % count for image in pool.images], np.int64)
    for target, label in enumerate(dataset.labels):
        same: dict[bytes, list[int]] = defaultdict(list)
        for index in np.flatnonzero(pool.targets == target).tolist():
            same[digests[pool.images[index].name]].append(index)
        if len(same) < max(count, 3):
            raise DataError(
                f"class {label!r} has {plural(len(same), 'different image')}; {count} folds need at least "
                f"{max(count, 3)} of every class: take fewer folds, or add images"
            )
        for rank, digest in enumerate(sorted(same)):
            places[same[digest]] = (rank + target + dataset.seed) % count
    return places
