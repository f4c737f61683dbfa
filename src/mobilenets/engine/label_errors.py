"""Images of a dataset whose labels are probably wrong."""

from __future__ import annotations

from dataclasses import dataclass
from os import PathLike

import numpy as np

from mobilenets.base.arguments import typed
from mobilenets.base.progress import SILENT, Progress
from mobilenets.data.image import ImageSource
from mobilenets.data.subset import Subset
from mobilenets.engine.features import features
from mobilenets.errors import DataError
from mobilenets.model.model import Model
from mobilenets.tasks.label_errors import find_label_errors


@dataclass(frozen=True, eq=False)
class SuspectLabel:
    """An image whose label is probably wrong.

    Attributes:
        image: The image.
        label: Its label.
        likelier: The label that other images suggest.
        probability: Of that label, by a classifier that was fitted to the other images.
        own_probability: Of its own label.
    """

    image: ImageSource
    label: str
    likelier: str
    probability: float
    own_probability: float


@typed(DataError)
def suspect_labels(
    model: Model | str | PathLike[str], subset: Subset, labels: tuple[str, ...], *, progress: Progress = SILENT
) -> list[SuspectLabel]:
    """List images whose labels are probably wrong, by the features that a network gives them.

    Every image is judged by a classifier of the features that was fitted to the others. A network that was not trained
    on these labels, such as published weights, tells best.

    Args:
        model: A Model of any task, or the path of a Model file.
        subset: Labeled images.
        labels: Names of the classes.
        progress: Receives progress updates.

    Returns:
        Surest first. Rare and rightly labeled images may be among them.

    Raises:
        DataError: If none of the images can be read, or they are fewer than 20.
        ModelFileError: If the file cannot be read.
        EngineError: If the Model cannot be run.
    """
    table = features(model, subset.images, progress=progress)
    left_out = {name for name, _ in table.failures}
    kept = [index for index, image in enumerate(subset.images) if image.name not in left_out]
    if len(kept) != len(table.images):
        raise DataError("images of one name are read and not read; give each its own name")
    flat = np.ascontiguousarray(table.values.reshape(len(kept), -1))
    return [
        SuspectLabel(
            subset.images[kept[one.position]],
            labels[one.label],
            labels[one.likelier],
            one.probability,
            one.own_probability,
        )
        for one in find_label_errors(flat, subset.targets[kept], len(labels))
    ]
