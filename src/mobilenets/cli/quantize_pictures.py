"""The pictures of ``mobilenets quantize``: which calibrate, which judge, and which a Model is trained on.

No picture does two of these where there are enough to choose from: who is judged by pictures that made it looks better
than it is. Where there are not, the verdict says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mobilenets.compression.gate import Jury, Stopwatch
from mobilenets.data.dataset import Dataset, load_collection, load_dataset
from mobilenets.data.decoding import Prepared, prepare
from mobilenets.data.folders import pictures_of
from mobilenets.data.picture import FilePicture, Picture
from mobilenets.data.subset import UNKNOWN, Subset
from mobilenets.engine.evaluation import match_labels
from mobilenets.errors import DataError
from mobilenets.model.model import Model
from mobilenets.model.sampling import spread
from mobilenets.progress import SILENT, Progress

MOST_JUDGES = 1000
"""Pictures that a Model without labels is judged on; at most half of all that there are."""
FEWEST_JUDGES = 16
"""With fewer left over, the calibration pictures judge too, and the verdict says so."""


@dataclass(frozen=True)
class Pictures:
    """Pictures by what they are for.

    Attributes:
        calibrating: For ranges and rounding; none where it is done without pictures.
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
    def choose(model: Model, calibration: str | None, count: int, data: str | None, *, trains: bool) -> Pictures:
        """Choose.

        Args:
            model: What is quantised: labels must be its own, and the split is the one that it was fitted to.
            calibration: Folder of unlabelled pictures, or None.
            count: How many of them calibrate.
            data: Labelled pictures, or None.
            trains: Whether the Model may be trained.

        Raises:
            DataError: If there are no pictures, or the labels are not the Model's.
        """
        found = tuple(pictures_of([calibration])) if calibration else ()
        if data is not None:
            return _labelled(model, data, found, count, trains)
        calibrating = _spread(found, count)
        names = {_identity(picture) for picture in calibrating}
        others = [picture for picture in found if _identity(picture) not in names]
        if len(others) < FEWEST_JUDGES:
            return Pictures(_some(calibrating), _some(calibrating), _some(found), labelled=False, seen=bool(found))
        most = min(MOST_JUDGES, len(found) // 2)
        judging = others[:: -(-len(others) // most)]
        names = {_identity(picture) for picture in judging}
        training = [picture for picture in found if _identity(picture) not in names]
        return Pictures(_some(calibrating), _some(judging), _some(training), labelled=False)

    def jury(self, model: Model, latency_ms: Stopwatch | None, progress: Progress) -> Jury | None:
        """Decode those that judge, and ask the float Model; None if there are none."""
        if not len(self.judging):
            return None
        decoded = prepared(model, self.judging, progress)
        targets = decoded.targets if self.labelled else None
        return Jury.of(model, decoded.pixels, targets, seen=self.seen, latency_ms=latency_ms, progress=progress)


def prepared(model: Model, subset: Subset, progress: Progress) -> Prepared:
    """Pictures as a Model takes them: uint8 (N, height, width, 3), and their classes."""
    if not len(subset):
        progress = SILENT  # there is nothing to tell
    return prepare(subset, model.preprocessing, model.network.height, model.network.width, progress=progress)


def _some(pictures: Sequence[Picture]) -> Subset:
    return Subset(tuple(pictures), np.full(len(pictures), UNKNOWN, np.int64))


def _spread(pictures: Sequence[Picture], count: int) -> list[Picture]:
    return [pictures[index] for index in spread(len(pictures), count).tolist()] if pictures else []


def _labelled(model: Model, data: str, found: Sequence[Picture], count: int, trains: bool) -> Pictures:
    """The validation pictures judge and the training ones train: as the source gives them, or as the Model had them.

    The gate is a choice, so it is made by the validation pictures, and the test pictures stay unseen: neither
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
    held = {_identity(picture) for name in ("validation", "test") if name in parts for picture in parts[name].pictures}
    free = [picture for picture in found if _identity(picture) not in held]
    calibrating = _spread(free if 2 * len(free) >= min(count, len(found)) else found, count)
    names = {_identity(picture) for picture in calibrating}
    apart = [index for index, picture in enumerate(judging.pictures) if _identity(picture) not in names]
    seen = len(apart) < FEWEST_JUDGES and len(apart) < len(judging)
    if not seen:
        judging = judging.take(apart[:: 2 if trains and not parts else 1])
    judges = {_identity(picture) for picture in judging.pictures}
    labelled = parts.get("train", collection.everything)
    learning = {} if parts else {_identity(picture): (picture, UNKNOWN) for picture in found}
    for picture, target in zip(labelled.pictures, indices[labelled.targets].tolist(), strict=True):
        learning[_identity(picture)] = (picture, target)
    apart_from_judges = [pair for identity, pair in learning.items() if seen or identity not in judges]
    training = Subset(
        tuple(picture for picture, _ in apart_from_judges),
        np.array([target for _, target in apart_from_judges], np.int64),
    )
    classes = Subset(judging.pictures, indices[judging.targets])
    return Pictures(
        _some(calibrating), classes, training, labelled=True, seen=seen, familiar=joined and fitted_to is not None
    )


def _fitted_to(model: Model, data: str) -> Dataset | None:
    """The pictures in the parts that the Model was fitted to, if it was fitted to these."""
    recorded = model.provenance.get("data")
    if not isinstance(recorded, dict):
        return None
    try:
        dataset = load_dataset(data, seed=int(recorded.get("seed", 0)))
    except DataError:
        return None  # too small to be parted, so it is not what the Model was fitted to
    return dataset if dataset.fingerprint == recorded.get("fingerprint") else None


def _identity(picture: Picture) -> object:
    """What is the same for the same picture, however its path was written."""
    return Path(picture.path).resolve() if isinstance(picture, FilePicture) else picture.name
