"""Labeled images in memory, as a Dataset."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from mobilenets.base.arguments import check_integer, is_integer, typed
from mobilenets.base.progress import SILENT, Progress
from mobilenets.base.text import plural
from mobilenets.data.dataset import Dataset, collection_of, split_collection
from mobilenets.data.image import ImageSource, image_source
from mobilenets.data.label_files import ALL
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
        targets: The class of each, as its label or as its position in ``labels``.
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
    given = [one.item() if isinstance(one, np.generic) else one for one in targets]
    if len(given) != len(sources):
        raise DataError(f"{plural(len(given), 'target')} for {plural(len(sources), 'image')}; give one for each")
    if splits is not None and len(splits) != len(sources):
        raise DataError(f"{plural(len(splits), 'split')} for {plural(len(sources), 'image')}; give one for each")
    named = [_label(one, labels) for one in given]
    parts: dict[str, dict[str, list[ImageSource]]] = {}
    for number, (source, label) in enumerate(zip(sources, named, strict=True)):
        part = ALL if splits is None else str(splits[number])
        if part not in (ALL, *PARTS):
            raise DataError(f"a split must be one of {', '.join(PARTS)}, not {part!r:.40}")
        parts.setdefault(part, {}).setdefault(label, []).append(_named(source, number))
    collection = collection_of(parts, SOURCE, layout="arrays in memory")
    return split_collection(collection, seed=seed, progress=progress)


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
