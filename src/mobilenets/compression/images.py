"""Images of a quantization: which calibrate, which evaluate, and which a Model is trained on.

No image does two of these where there are enough to choose from: a Model that is evaluated on images that it was made
with looks better than it is. Where there are too few, the quality report says so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mobilenets.data.dataset import Collection, Dataset, dataset_fitted_to, load_collection, reading_of
from mobilenets.data.image import FileImage, ImageSource
from mobilenets.data.reading import Reading
from mobilenets.data.sources import DIGITS, digits, images_of
from mobilenets.data.splitting import spread
from mobilenets.data.subset import UNKNOWN, Subset
from mobilenets.data.tables import TABLE_SUFFIXES
from mobilenets.data.targets import relabeled
from mobilenets.engine.evaluate import match_labels
from mobilenets.errors import DataError
from mobilenets.model.model import Model
from mobilenets.model.provenance import Provenance

MOST_EVALUATED = 1000
"""Images that a Model without labels is evaluated on; at most half of all that there are."""
FEWEST_EVALUATED = 16
"""With fewer left over, the calibration images evaluate too, and the quality report says so."""
_PARTS = ("train", "validation", "test")


@dataclass(frozen=True)
class QuantizationImages:
    """Images by their use.

    Attributes:
        calibration: For ranges and rounding; none for data-free quantization.
        evaluation: For the quality report, with their classes (positions in the Model's labels) if there are labels.
        training: For quantization-aware training; the class is :data:`UNKNOWN` where it is not known.
        labeled: Whether the classes of the evaluation images are known.
        calibration_overlap: Whether some of the evaluation images calibrate as well.
        trained_on: Whether the float Model was trained on the evaluation images.
    """

    calibration: Subset
    evaluation: Subset
    training: Subset
    labeled: bool
    calibration_overlap: bool = False
    trained_on: bool = False


def choose_images(
    model: Model,
    calibration: str | Path | None,
    data: str | Path | Dataset | None,
    count: int,
    *,
    trains: bool,
    reading: Reading | None = None,
) -> QuantizationImages:
    """Choose which images calibrate, evaluate and train.

    Args:
        model: What is quantized: labels must be its own, and the split is the one that it was fitted to.
        calibration: Folder or table of images, whose labels do not count; None calibrates with the training images of
            ``data``.
        data: Labeled images, or None.
        count: Number of calibration images; 0 for data-free quantization.
        trains: Whether the Model may be trained.
        reading: How ``data`` is read; None for how it was read when the Model was fitted to it, or as usual.

    Raises:
        DataError: If there are no images, or the labels are not the Model's.
    """
    found = None if calibration is None else _unlabeled_images(calibration)
    if data is None:
        return _unlabeled(found or (), count)
    if isinstance(data, Dataset):
        own = {name: data.part(name) for name in _PARTS}
        collection = _of_the_task(Collection(data.labels, own, data.source, task=data.task), model)
        trained_on = _joined(model)
        if found is None:  # the parts of a Dataset share no image
            return QuantizationImages(
                _without_classes(_spread(data.train.images, count)),
                _numbered(data.validation, collection, model),
                _numbered(data.train, collection, model),
                labeled=True,
                trained_on=trained_on,
            )
        return _labeled(collection, collection.parts, model, found, count, trains=trains, trained_on=trained_on)
    collection = _of_the_task(load_collection(data, reading or reading_of(model, data)), model)
    given = collection.parts if {"validation", "train"} <= collection.parts.keys() else {}
    fitted_to = dataset_fitted_to(model, data, reading) if _joined(model) or not given else None
    parts = given or ({name: fitted_to.part(name) for name in _PARTS} if fitted_to else {})
    trained_on = _joined(model) and fitted_to is not None
    return _labeled(collection, parts, model, found, count, trains=trains, trained_on=trained_on)


def _unlabeled_images(source: str | Path) -> tuple[ImageSource, ...]:
    if str(source) == DIGITS and not Path(source).exists():
        return tuple(image for images in digits().values() for image in images)
    if Path(source).is_file() and Path(source).suffix.lower() in TABLE_SUFFIXES:
        return load_collection(source).everything.images
    return tuple(images_of([source]))


def _unlabeled(found: Sequence[ImageSource], count: int) -> QuantizationImages:
    """Some calibrate, up to half of the others evaluate, and the rest trains."""
    calibrating = _spread(found, count)
    names = {_identity(image) for image in calibrating}
    others = [image for image in found if _identity(image) not in names]
    calibration = _without_classes(calibrating)
    if len(others) < FEWEST_EVALUATED:
        return QuantizationImages(
            calibration, calibration, _without_classes(found), labeled=False, calibration_overlap=bool(found)
        )
    most = min(MOST_EVALUATED, len(found) // 2)
    evaluating = others[:: -(-len(others) // most)]
    names = {_identity(image) for image in evaluating}
    training = [image for image in found if _identity(image) not in names]
    return QuantizationImages(calibration, _without_classes(evaluating), _without_classes(training), labeled=False)


def _labeled(
    collection: Collection,
    parts: Mapping[str, Subset],
    model: Model,
    found: Sequence[ImageSource] | None,
    count: int,
    *,
    trains: bool,
    trained_on: bool,
) -> QuantizationImages:
    """The validation images evaluate and the training ones train: as the source gives them, or as the Model had them.

    Whether a Model is good enough is a choice, so the validation images make it, and the test images stay unseen:
    neither calibrates if the calibration folder has enough others. Where neither the source nor the Model knows of
    parts, all evaluate that do not calibrate, or every second of them if the Model may be trained; the rest trains,
    with the calibration folder.
    """
    labeled = parts.get("train", collection.everything)
    found = labeled.images if found is None else found
    evaluating = parts.get("validation", collection.everything)
    reserved = {_identity(image) for name in ("validation", "test") if name in parts for image in parts[name].images}
    free = [image for image in found if _identity(image) not in reserved]
    calibrating = _spread(free if 2 * len(free) >= min(count, len(found)) else found, count)
    names = {_identity(image) for image in calibrating}
    apart = [index for index, image in enumerate(evaluating.images) if _identity(image) not in names]
    overlap = len(apart) < FEWEST_EVALUATED and len(apart) < len(evaluating)
    if not overlap:
        evaluating = evaluating.take(apart[:: 2 if trains and not parts else 1])
    evaluated = {_identity(image) for image in evaluating.images}
    numbered = _numbered(labeled, collection, model)
    unknown = np.full(numbered.targets.shape[1:], UNKNOWN, np.int64)
    learning = {} if parts else {_identity(image): (image, unknown) for image in found}
    for image, target in zip(numbered.images, numbered.targets, strict=True):
        learning[_identity(image)] = (image, target)
    training = [pair for identity, pair in learning.items() if overlap or identity not in evaluated]
    learned = tuple(image for image, _ in training)
    if numbered.targets.dtype == object:  # detectors learn from the float Model's answers, not from boxes
        trained = _without_classes(learned)
    else:
        trained = Subset(learned, np.array([target for _, target in training], np.int64))
    return QuantizationImages(
        _without_classes(calibrating),
        _numbered(evaluating, collection, model),
        trained,
        labeled=True,
        calibration_overlap=overlap,
        trained_on=trained_on,
    )


def _joined(model: Model) -> bool:
    """Whether the Model was trained on its validation images at the end."""
    return Provenance.of(model).training.validation_joined is not None


def _spread(images: Sequence[ImageSource], count: int) -> list[ImageSource]:
    return [images[index] for index in spread(len(images), count).tolist()] if images else []


def _without_classes(images: Sequence[ImageSource]) -> Subset:
    return Subset(tuple(images), np.full(len(images), UNKNOWN, np.int64))


def _numbered(subset: Subset, collection: Collection, model: Model) -> Subset:
    """The subset with the numbers that its labels have in the Model."""
    return Subset(subset.images, relabeled(subset.targets, match_labels(collection, model.labels), len(model.labels)))


def _of_the_task(collection: Collection, model: Model) -> Collection:
    if collection.task != model.task.kind:
        raise DataError(
            f"{collection.source} is data of the task {collection.task}, and the Model's task is {model.task.kind}; "
            "give it as calibration images, whose labels do not count"
        )
    return collection


def _identity(image: ImageSource) -> object:
    """What is the same for the same image, however its path was written."""
    return Path(image.path).resolve() if isinstance(image, FileImage) else image.name
