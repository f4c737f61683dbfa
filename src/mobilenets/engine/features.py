"""Features of images: numbers that describe each, for a search for similar images, clustering or another learner."""

from __future__ import annotations

import io
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from operator import length_hint
from os import PathLike, fspath
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from mobilenets.base.arguments import typed
from mobilenets.base.atomic_write import write_atomically
from mobilenets.base.progress import SILENT, Progress
from mobilenets.base.text import plural
from mobilenets.data.image import name_of
from mobilenets.engine.predictor import GivenImage, Predictor, check_many
from mobilenets.errors import DataError, MissingDependencyError
from mobilenets.model.features import feature_model
from mobilenets.model.file import load
from mobilenets.model.model import Model
from mobilenets.tasks.features import FeaturePrediction

SUFFIXES = (".npy", ".parquet")
"""What the name of a file of features may end in."""


@dataclass(frozen=True, eq=False)
class FeatureTable:
    """Features of some images. ``numpy.asarray`` gives the values.

    Attributes:
        images: Names of the images, one for each row.
        values: float32, (N, C), or (N, C, H, W) of a layer that gives a map.
        failures: Name of each image that could not be read, and why.
    """

    images: tuple[str, ...]
    values: npt.NDArray[np.float32]
    failures: tuple[tuple[str, str], ...] = ()

    def __repr__(self) -> str:
        return f"FeatureTable({plural(len(self.images), 'image')}, float32 {self.values.shape})"

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> npt.NDArray[Any]:
        return np.array(self.values, dtype=dtype, copy=copy)

    def save(self, path: str | PathLike[str]) -> tuple[Path, ...]:
        """Write the features.

        Args:
            path: Ends in ``.npy``, for the array, beside which the names of the images are written as a CSV of one
                column; or in ``.parquet``, for a table of the columns ``image`` and ``features``.

        Returns:
            The files that were written.

        Raises:
            DataError: If the name ends otherwise, or a file cannot be written.
            MissingDependencyError: If pyarrow is not installed, for Parquet.
        """
        path = Path(path)
        check_feature_file(path)
        files = self._parquet(path) if path.suffix.lower() == ".parquet" else self._numpy(path)
        try:
            for file, content in files.items():
                write_atomically(file, content)
        except OSError as error:
            raise DataError(f"{path} cannot be written: {error.strerror}") from None
        return tuple(files)

    def _numpy(self, path: Path) -> dict[Path, bytes]:
        import csv

        array, names = io.BytesIO(), io.StringIO(newline="")
        np.save(array, self.values)
        csv.writer(names, lineterminator="\n").writerows([["image"], *([name] for name in self.images)])
        text = names.getvalue().encode(errors="backslashreplace")  # file names need not be Unicode
        return {path: array.getvalue(), path.with_suffix(".images.csv"): text}

    def _parquet(self, path: Path) -> dict[Path, bytes]:
        import pyarrow
        import pyarrow.parquet

        flat = np.ascontiguousarray(self.values.reshape(len(self.values), -1))
        features = pyarrow.FixedSizeListArray.from_arrays(pyarrow.array(flat.reshape(-1)), flat.shape[1])
        names = [name.encode(errors="backslashreplace").decode() for name in self.images]
        content = io.BytesIO()
        pyarrow.parquet.write_table(pyarrow.table({"image": names, "features": features}), content)
        return {path: content.getvalue()}


@typed(DataError, but=("images",))
def features(
    model: Model | str | PathLike[str],
    images: Iterable[GivenImage],
    *,
    layer: str | None = None,
    threads: int | None = None,
    channel_order: str = "rgb",
    progress: Progress = SILENT,
) -> FeatureTable:
    """Compute what a layer of a Model gives for images, by default the layer before its classifier.

    Args:
        model: A Model of any task, or the path of a Model file.
        images: Images as :meth:`Classifier.predict_many <mobilenets.engine.predictor.Classifier.predict_many>` takes
            them, of any size.
        layer: Name of the layer, as ``mobilenets show`` lists it; see
            :func:`~mobilenets.model.features.feature_model`.
        threads: Threads to use; by default the cores that this process may use.
        channel_order: Of arrays: ``"rgb"``, or ``"bgr"`` as OpenCV has it.
        progress: Receives progress updates.

    Returns:
        One row for each image that could be read, in their order.

    Raises:
        InputTypeError: If a single image is given.
        DataError: If none of the images can be read.
        ModelError: If the network has no such layer.
        ModelFileError: If the file cannot be read.
        EngineError: If the Model cannot be run.

    >>> from mobilenets import Classification, mobilenet_v1
    >>> network = mobilenet_v1(width_multiplier=0.25, resolution=32, classes=2)
    >>> ones = {name: np.ones(shape, np.float32) for name, shape in network.parameter_shapes().items()}
    >>> model = Model(network, ones, Classification(("cat", "dog")))
    >>> features(model, [np.zeros((48, 64, 3), np.uint8), np.zeros((20, 20), np.uint8)])
    FeatureTable(2 images, float32 (2, 256))
    """
    whole = model if isinstance(model, Model) else load(model)
    predictor = Predictor(feature_model(whole, layer), threads)
    given: deque[str] = deque()
    names: list[str] = []
    rows: list[npt.NDArray[np.float32]] = []
    failures: list[tuple[str, str]] = []

    def noted() -> Iterator[GivenImage]:
        for number, image in enumerate(images, 1):
            given.append(name_of(image, f"image {number}"))
            yield image

    check_many(images)
    with progress.task("computing features", length_hint(images), "images") as bar:
        for found in predictor.predict_many(noted(), channel_order=channel_order):
            name = given.popleft()
            bar.advance()
            if isinstance(found, DataError):
                progress.note(f"skipped: {found}")
                failures.append((name, str(found)))
            else:
                names.append(name)
                rows.append(cast("FeaturePrediction", found).values)
    if not rows:
        raise DataError(f"none of {plural(len(failures), 'image')} could be decoded")
    return FeatureTable(tuple(names), np.stack(rows), tuple(failures))


def check_feature_file(path: str | PathLike[str]) -> None:
    """Raise if features cannot be written to a file of that name.

    Raises:
        DataError: If its name ends in neither ``.npy`` nor ``.parquet``.
        MissingDependencyError: If pyarrow is not installed, for Parquet.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in SUFFIXES:
        raise DataError(f"{fspath(path)} must end in {' or '.join(SUFFIXES)}")
    if suffix == ".parquet" and find_spec("pyarrow") is None:
        raise MissingDependencyError("pyarrow", "data", alone=True)
