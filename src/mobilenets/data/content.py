"""Images by what they hold, not by their names: digests, a fingerprint of a data set, and parts that are drawn."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

from mobilenets.base.progress import Progress
from mobilenets.data.loading import CHUNK_SIZE, each
from mobilenets.data.splitting import draw_parts, draw_parts_of_groups
from mobilenets.data.subset import Subset
from mobilenets.data.targets import has_several, in_words, strata
from mobilenets.errors import DataError


def digests_of(subset: Subset, progress: Progress) -> tuple[dict[str, bytes], set[str]]:
    """Digest of every image by name, and the names of those that cannot be read.

    Args:
        subset: The images.
        progress: Receives progress updates.
    """
    digests: dict[str, bytes] = {}
    read = each(subset.images, lambda image: image.digest(), threads=2, chunk_size=CHUNK_SIZE)
    with progress.task("reading", len(subset), "images") as task:
        for image, value in read:
            task.advance()
            if isinstance(value, DataError):
                progress.note(f"skipped: {value}")
            else:
                digests[image.name] = value
    return digests, {image.name for image in subset.images} - set(digests)


def fingerprint_of(parts: Mapping[str, Subset], labels: Sequence[str], digests: Mapping[str, bytes]) -> str:
    """Hash of every image, its class and its part: the same on every machine."""
    lines = sorted(
        f"{name}\0{in_words(target, labels)}\0{digests[image.name].hex()}\n"
        for name, subset in parts.items()
        for image, target in zip(subset.images, subset.targets, strict=True)
    )
    return hashlib.sha256("".join(lines).encode()).hexdigest()[:32]


def split_by_content(
    parts: Mapping[str, Subset], labels: Sequence[str], digests: Mapping[str, bytes], *, seed: int
) -> dict[str, Subset]:
    """Train, validation and test, the missing ones drawn from what there is.

    Args:
        parts: Some of ``train``, ``validation`` and ``test``, or only ``all``.
        labels: Names of the classes.
        digests: Content hash of every image, by its name.
        seed: Another seed draws other images.

    Raises:
        DataError: If a class has too few images.
    """
    missing = [name for name in ("validation", "test") if name not in parts]
    pool = parts["all"] if "all" in parts else parts.get("train")
    if pool is None or len(pool) == 0:
        raise DataError("there are no images to train on")
    contents = [digests[image.name] for image in pool.images]
    groups = strata(pool.targets, len(labels))
    if has_several(pool.targets):
        drawn = draw_parts_of_groups(groups, contents, missing, seed=seed)
    else:
        drawn = draw_parts(groups, contents, labels, missing, seed=seed)
    result = {name: subset for name, subset in parts.items() if name != "all"}
    result |= {name: pool.take(positions) for name, positions in drawn.items()}
    for name in ("validation", "test"):
        if len(result[name]) == 0:
            raise DataError(f"the {name} folder holds no images of the classes {', '.join(labels[:5])}")
    return result
