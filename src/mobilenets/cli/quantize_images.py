"""The images of ``mobilenets quantize``: which calibrate, which judge, and which a Model is trained on.

No image does two of these where there are enough to choose from: who is judged by images that made it looks better
than it is. Where there are not, the verdict says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mobilenets.base.progress import SILENT, Progress
from mobilenets.compression.quality import Jury, Stopwatch
from mobilenets.data.dataset import Dataset, load_collection, load_dataset
from mobilenets.data.image import FileImage, ImageSource
from mobilenets.data.loading import Prepared, prepare
from mobilenets.data.sampling import spread
from mobilenets.data.sources import images_of
from mobilenets.data.subset import UNKNOWN, Subset
from mobilenets.engine.evaluate import match_labels
from mobilenets.errors import DataError
from mobilenets.model.model import Model

MOST_JUDGES = 1000
"""Images that a Model without labels is judged on; at most half of all that there are."""
FEWEST_JUDGES = 16
"""With fewer left over, the calibration images judge too, and the verdict says so."""


@dataclass(frozen=True)
class Images:
    """Images by what they are for.

    Attributes:
        calibrating: For ranges and rounding; none where it is done without images.
        judging: For the verdict, with their classes if there are labels.
        training: For quantisation-aware training; the class is :data:`UNKNOWN` where it is not known.
        labelled: Whether the classes of those that judge are known, as positions in the Model's labels.
        seen: Whether some of those that judge calibrate as well.
        familiar: Whether the float Model was trained on those that judge.
    """

    calibrating: Subset
    judging: Subset
    training: Subset
    labelled: bool
    seen: bool = False
    familiar: bool = False

    @staticmethod
    def choose(model: Model, calibration: str | None, count: int, data: str | None, *, trains: bool) -> Images:
        """Choose.

        Args:
            model: What is quantised: labels must be its own, and the split is the one that it was fitted to.
            calibration: Folder of unlabelled images, or None.
            count: How many of them calibrate.
            data: Labelled images, or None.
            trains: Whether the Model may be trained.

        Raises:
            DataError: If there are no images, or the labels are not the Model's.
        """
        found = tuple(images_of([calibration])) if calibration else ()
        if data is not None:
            return _labelled(model, data, found, count, trains)
        calibrating = _spread(found, count)
        names = {_identity(image) for image in calibrating}
        others = [image for image in found if _identity(image) not in names]
        if len(others) < FEWEST_JUDGES:
            return Images(_some(calibrating), _some(calibrating), _some(found), labelled=False, seen=bool(found))
        most = min(MOST_JUDGES, len(found) // 2)
        judging = others[:: -(-len(others) // most)]
        names = {_identity(image) for image in judging}
        training = [image for image in found if _identity(image) not in names]
        return Images(_some(calibrating), _some(judging), _some(training), labelled=False)

    def jury(self, model: Model, latency_ms: Stopwatch | None, progress: Progress) -> Jury | None:
        """Decode those that judge, and ask the float Model; None if there are none."""
        if not len(self.judging):
            return None
        decoded = prepared(model, self.judging, progress)
        targets = decoded.targets if self.labelled else None
        return Jury.of(model, decoded.pixels, targets, seen=self.seen, latency_ms=latency_ms, progress=progress)


def prepared(model: Model, subset: Subset, progress: Progress) -> Prepared:
    """Images as a Model takes them: uint8 (N, height, width, 3), and their classes."""
    if not len(subset):
        progress = SILENT  # there is nothing to tell
    return prepare(subset, model.preprocessing, model.network.height, model.network.width, progress=progress)


def _some(images: Sequence[ImageSource]) -> Subset:
    return Subset(tuple(images), np.full(len(images), UNKNOWN, np.int64))


def _spread(images: Sequence[ImageSource], count: int) -> list[ImageSource]:
    return [images[index] for index in spread(len(images), count).tolist()] if images else []


def _labelled(model: Model, data: str, found: Sequence[ImageSource], count: int, trains: bool) -> Images:
    """The validation images judge and the training ones train: as the source gives them, or as the Model had them.

    The gate is a choice, so it is made by the validation images, and the test images stay unseen: neither
    calibrates if the calibration folder has enough others. Where neither the source nor the Model knows of parts, all
    judge that do not calibrate, or every second of them if the Model may be trained; the rest trains, with the
    calibration folder.
    """
    collection = load_collection(data)
    indices = match_labels(collection, model.labels)
    given = collection.parts if {"validation", "train"} <= collection.parts.keys() else {}
    joined = model.provenance.get("validation_joined") is not None
    fitted_to = _fitted_to(model, data) if joined or not given else None
    parts = given or ({name: fitted_to.part(name) for name in ("train", "validation", "test")} if fitted_to else {})
    judging = parts.get("validation", collection.everything)
    held = {_identity(image) for name in ("validation", "test") if name in parts for image in parts[name].images}
    free = [image for image in found if _identity(image) not in held]
    calibrating = _spread(free if 2 * len(free) >= min(count, len(found)) else found, count)
    names = {_identity(image) for image in calibrating}
    apart = [index for index, image in enumerate(judging.images) if _identity(image) not in names]
    seen = len(apart) < FEWEST_JUDGES and len(apart) < len(judging)
    if not seen:
        judging = judging.take(apart[:: 2 if trains and not parts else 1])
    judges = {_identity(image) for image in judging.images}
    labelled = parts.get("train", collection.everything)
    learning = {} if parts else {_identity(image): (image, UNKNOWN) for image in found}
    for image, target in zip(labelled.images, indices[labelled.targets].tolist(), strict=True):
        learning[_identity(image)] = (image, target)
    apart_from_judges = [pair for identity, pair in learning.items() if seen or identity not in judges]
    training = Subset(
        tuple(image for image, _ in apart_from_judges),
        np.array([target for _, target in apart_from_judges], np.int64),
    )
    classes = Subset(judging.images, indices[judging.targets])
    return Images(
        _some(calibrating), classes, training, labelled=True, seen=seen, familiar=joined and fitted_to is not None
    )


def _fitted_to(model: Model, data: str) -> Dataset | None:
    """The images in the parts that the Model was fitted to, if it was fitted to these."""
    recorded = model.provenance.get("data")
    if not isinstance(recorded, dict):
        return None
    try:
        dataset = load_dataset(data, seed=int(recorded.get("seed", 0)))
    except DataError:
        return None  # too small to be parted, so it is not what the Model was fitted to
    return dataset if dataset.fingerprint == recorded.get("fingerprint") else None


def _identity(image: ImageSource) -> object:
    """What is the same for the same image, however its path was written."""
    return Path(image.path).resolve() if isinstance(image, FileImage) else image.name
