"""Labeled images in memory, as a Dataset."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from mobilenets.base.arguments import check_integer, is_integer, typed
from mobilenets.base.progress import SILENT, Progress
from mobilenets.base.text import plural
from mobilenets.data.dataset import Dataset, collection_of, several_labels_collection, split_collection
from mobilenets.data.image import ImageSource, image_source
from mobilenets.data.label_files import ALL, NO_LABEL
from mobilenets.data.parts import PARTS
from mobilenets.errors import DataError

SOURCE = "arrays"
"""What the source of such a Dataset is called."""


@typed(DataError)
def array_dataset(
    images: Iterable[Any],
    targets: Sequence[Any] | npt.NDArray[Any],
    *,
    labels: Sequence[str] | None = None,
    splits: Sequence[str] | None = None,
    channel_order: str = "rgb",
    seed: int = 0,
    progress: Progress = SILENT,
) -> Dataset:
    """Make a Dataset of images in memory, for :func:`mobilenets.fit`.

    Args:
        images: Images as :meth:`Classifier.predict_many <mobilenets.engine.predictor.Classifier.predict_many>` takes
            them, of any size: an array (N, H, W, 3), a list of arrays, of Pillow images, of paths.
        targets: The class of each, as its label or as its position in ``labels``. Where an image may have several
            labels, a list, tuple or set of these, or 0 and 1 for each of ``labels``: an array (N, labels).
        labels: Names of the classes; by default the targets themselves, in order.
        splits: ``train``, ``validation`` or ``test`` for each image; by default they are drawn, and a part that is
            missing is drawn as well.
        channel_order: Of arrays: ``"rgb"``, or ``"bgr"`` as OpenCV has it.
        seed: Another seed draws other images.
        progress: Receives progress updates.

    Returns:
        The images in three parts. They are not copied, and stay in memory as long as the Dataset does.

    Raises:
        DataError: If there are not as many targets as images, a target is no class, or a class has too few images.

    >>> rng = np.random.default_rng(0)
    >>> array_dataset(rng.integers(0, 256, (40, 32, 32, 3), np.uint8), ["cat", "dog"] * 20)
    Dataset('arrays', 2 classes, 32 train, 4 validation and 4 test images)
    """
    check_integer("seed", seed, DataError, least=0)
    sources = [image_source(image, f"image {number}", channel_order) for number, image in enumerate(images, 1)]
    rows: Any = _sets_of(targets, labels) if isinstance(targets, np.ndarray) and targets.ndim == 2 else targets
    given = [one.item() if isinstance(one, np.generic) else one for one in rows]
    if len(given) != len(sources):
        raise DataError(f"{plural(len(given), 'target')} for {plural(len(sources), 'image')}; give one for each")
    if splits is not None and len(splits) != len(sources):
        raise DataError(f"{plural(len(splits), 'split')} for {plural(len(sources), 'image')}; give one for each")
    several = any(isinstance(one, list | tuple | set | frozenset) for one in given)
    named = [_labels(one, labels) if several else [_label(one, labels)] for one in given]
    parts: dict[str, dict[str, list[ImageSource]]] = {}
    for number, (source, found) in enumerate(zip(sources, named, strict=True)):
        part = ALL if splits is None else str(splits[number])
        if part not in (ALL, *PARTS):
            raise DataError(f"a split must be one of {', '.join(PARTS)}, not {part!r:.40}")
        image = _named(source, number)
        for label in found:
            parts.setdefault(part, {}).setdefault(label, []).append(image)
    make = several_labels_collection if several else collection_of
    collection = make(parts, SOURCE, layout="arrays in memory")
    return split_collection(collection, seed=seed, progress=progress)


def _sets_of(targets: npt.NDArray[Any], labels: Sequence[str] | None) -> list[list[str]]:
    """The labels of every row of 0 and 1."""
    if labels is None or len(labels) != targets.shape[1]:
        given = "none" if labels is None else plural(len(labels), "label")
        raise DataError(f"targets of shape {targets.shape} need {targets.shape[1]} labels, {given} given")
    if not np.isin(targets, (0, 1)).all():
        raise DataError("targets with a column for each label must be 0 or 1")
    return [[str(labels[number]) for number in np.flatnonzero(row).tolist()] for row in targets]


def _labels(target: Any, labels: Sequence[str] | None) -> list[str]:
    """The labels of an image that may have several; :data:`NO_LABEL` alone where it has none."""
    if not isinstance(target, list | tuple | set | frozenset):
        raise DataError(f"images with several labels need a list of them each, not {target!r:.60}")
    return list(dict.fromkeys(_label(one, labels) for one in target)) or [NO_LABEL]


def _label(target: Any, labels: Sequence[str] | None) -> str:
    if labels is None:
        return str(target)
    if is_integer(target):
        if not 0 <= target < len(labels):
            raise DataError(f"the target {target} is no position among {plural(len(labels), 'label')}")
        return str(labels[target])
    if target not in labels:
        raise DataError(f"the target {target!r:.60} is not among the labels")
    return str(target)


class _Named:
    """An image under a name that no other has."""

    def __init__(self, source: ImageSource, name: str) -> None:
        self._source, self.name = source, name

    def open(self, shortest_side: int | None = None) -> Any:
        return self._source.open(shortest_side)

    def digest(self) -> bytes:
        return self._source.digest()


def _named(source: ImageSource, number: int) -> ImageSource:
    own = f"image {number + 1}"
    return source if source.name == own else _Named(source, f"{own}: {source.name}")
