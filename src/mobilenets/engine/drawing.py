"""Images with the boxes that a detector finds, and what data with boxes says is in its images."""

from __future__ import annotations

import io
from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any

from PIL import Image

from mobilenets.base.arguments import typed
from mobilenets.base.atomic_write import write_atomically
from mobilenets.base.text import GAP, percent
from mobilenets.data.dataset import Collection, load_collection
from mobilenets.data.drawing import DrawnBox, contact_sheet, draw_boxes
from mobilenets.data.image import ImageSource, image_source
from mobilenets.data.reading import Reading
from mobilenets.data.splitting import spread
from mobilenets.engine.predictor import GivenImage
from mobilenets.errors import DataError, EngineError
from mobilenets.tasks.boxes import GroundTruth
from mobilenets.tasks.detection import DetectionPrediction
from mobilenets.tasks.task import Prediction

JPEG_QUALITY = 90
SHEET_IMAGES, SHEET_COLUMNS, SHEET_SIDE = 24, 6, 320
"""Images of a sheet, in a row, and the pixels of each."""


@typed(DataError)
def draw_prediction(image: GivenImage, prediction: Prediction) -> Image.Image:
    """An image with the boxes that were found in it, each with its class and score.

    Args:
        image: What was predicted, as :meth:`mobilenets.engine.predictor.Predictor.predict` takes it.
        prediction: What was found in it.

    Raises:
        DataError: If the image cannot be decoded.
        EngineError: If the prediction is not a detector's.
    """
    if not isinstance(prediction, DetectionPrediction):
        raise EngineError(f"a detector's prediction has boxes to draw; this is a {type(prediction).__name__}")
    opened = image_source(image).open()
    return draw_boxes(
        opened,
        [
            DrawnBox(one.box, one.index, f"{one.label} {percent(one.score, 0)}".replace(GAP, " "))
            for one in prediction.boxes
        ],
    )


def draw_target(image: ImageSource, target: Any, labels: Sequence[str]) -> Image.Image:
    """An image with what the data says of it: its boxes, or its class.

    Args:
        image: The image.
        target: Its ground truth, or the number of its class.
        labels: Names of the classes.

    Raises:
        DataError: If the image cannot be decoded.
    """
    opened = image.open()
    if not isinstance(target, GroundTruth):
        return draw_boxes(opened, [DrawnBox((0, 0, *opened.size), int(target), labels[int(target)])])
    rows = zip(target.boxes.tolist(), target.labels.tolist(), strict=True)
    return draw_boxes(opened, [DrawnBox((box[0], box[1], box[2], box[3]), label, labels[label]) for box, label in rows])


def encoded(image: Image.Image, suffix: str) -> bytes:
    """An image as a file.

    Args:
        image: The image.
        suffix: Of its name: ``.png``, or ``.jpg`` and the like.
    """
    content = io.BytesIO()
    image.save(content, "PNG" if suffix.lower() == ".png" else "JPEG", quality=JPEG_QUALITY)
    return content.getvalue()


def label_sheet(collection: Collection, *, most: int = SHEET_IMAGES) -> Image.Image:
    """A sheet of labeled images, spread evenly over the data.

    Args:
        collection: Images with boxes or classes.
        most: Largest number of images.

    Raises:
        DataError: If none of them can be decoded.
    """
    everything = collection.everything
    drawn = []
    for index in spread(len(everything), most).tolist():
        try:
            drawn.append(draw_target(everything.images[index], everything.targets[index], collection.labels))
        except DataError:
            continue  # it is named where the data is read
    return contact_sheet(drawn, SHEET_COLUMNS, SHEET_SIDE)


@typed(DataError)
def write_label_sheet(source: str | Path, path: str | Path, reading: Reading = Reading()) -> None:
    """Write :func:`label_sheet` of a source.

    Args:
        source: As for :func:`~mobilenets.data.dataset.load_collection`.
        path: A ``.jpg`` or ``.png`` file.
        reading: What the source does not say itself.

    Raises:
        DataError: If the images cannot be found, none can be decoded, or the file cannot be written.
    """
    sheet = label_sheet(load_collection(source, reading))
    try:
        write_atomically(path, encoded(sheet, Path(path).suffix))
    except OSError as error:
        raise DataError(f"{path} cannot be written: {error.strerror or error}") from None


class DrawnFolder:
    """A folder of images with boxes, each called like the image that was predicted.

    Args:
        folder: Where they are written.
        sources: Folders that the images come from.

    Raises:
        DataError: If the folder is a file, or lies within the images, so that another run would find them.
    """

    @typed(DataError)
    def __init__(self, folder: str | PathLike[str], sources: Sequence[str | PathLike[str]] = ()) -> None:
        self.folder = Path(folder)
        for source in map(Path, sources):
            if source.is_dir() and self.folder.resolve().is_relative_to(source.resolve()):
                raise DataError(
                    f"{folder} lies within {source}, whose images are predicted: another run would find the drawn ones "
                    "too; name a folder outside it"
                )
        if self.folder.exists() and not self.folder.is_dir():
            raise DataError(f"{folder} is a file, not a folder")
        self._taken: set[str] = set()

    def add(self, image: ImageSource, prediction: Prediction) -> Path:
        """Draw an image and write it, over one of an earlier run.

        Args:
            image: The image.
            prediction: What was found in it.

        Returns:
            Where it is.

        Raises:
            DataError: If it cannot be decoded or written.
        """
        stem, number = Path(image.name).stem or "image", 1
        name = stem
        while name.casefold() in self._taken:  # the same name in two folders
            number += 1
            name = f"{stem}-{number}"
        self._taken.add(name.casefold())
        path = self.folder / f"{name}.jpg"
        drawn = draw_prediction(image, prediction)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            write_atomically(path, encoded(drawn, path.suffix))
        except OSError as error:
            raise DataError(f"{path} cannot be written: {error.strerror or error}") from None
        return path
