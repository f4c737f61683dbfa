"""Writing a dataset as shards: Parquet files of small JPEGs, each a fair sample of its part."""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from mobilenets.base.arguments import check_integer, typed
from mobilenets.base.atomic_write import write_atomically
from mobilenets.base.progress import SILENT, Progress
from mobilenets.base.text import plural
from mobilenets.data.dataset import Dataset, load_dataset
from mobilenets.data.image import ImageSource
from mobilenets.data.loading import each
from mobilenets.data.reading import Reading
from mobilenets.data.subset import Subset
from mobilenets.data.targets import strata
from mobilenets.errors import DataError, MissingDependencyError
from mobilenets.tasks.boxes import GroundTruth

SIDE, BOXES_SIDE = 256, 640
"""Shorter side of an image in pixels, and of one with boxes, whose objects are smaller than it."""
SHARD_IMAGES = 4096
"""Images in each shard."""
SUMS_FILE, STATE_FILE = "SHA256SUMS", "shards.json"
_QUALITY = 95
_ROW_GROUP = 100
"""Images that a reader of Parquet has to take together."""


@dataclass(frozen=True)
class WrittenShards:
    """What :func:`write_shards` wrote.

    Attributes:
        files: Names of the shards in their folder.
        images: How many they hold.
        skipped: Names of the images that could not be read.
    """

    files: tuple[str, ...]
    images: int
    skipped: tuple[str, ...]


@typed(DataError)
def write_shards(
    source: str | Path | Dataset,
    output: str | Path,
    *,
    side: int | None = None,
    shard_images: int = SHARD_IMAGES,
    seed: int = 0,
    reading: Reading = Reading(),
    progress: Progress = SILENT,
) -> WrittenShards:
    """Write labeled images as Parquet shards, as the libraries of Hugging Face read them too.

    The parts are those that ``fit`` would make, and stay so. Every shard has as much of each class as any other of its
    part. A run that was stopped goes on with the first shard that is missing.

    Args:
        source: Images of one class each or with boxes, as for :func:`~mobilenets.data.dataset.load_dataset`.
        output: Folder of the shards.
        side: Shorter side of an image in pixels; larger ones are made smaller, none larger. By default 256, and 640 for
            images with boxes.
        shard_images: Images in each shard.
        seed: Random seed of the parts.
        reading: How the source is read.
        progress: Receives progress updates.

    Returns:
        What was written.

    Raises:
        DataError: If the images cannot be used, or the folder cannot be written or holds shards of something else.
        MissingDependencyError: If pyarrow is not installed.
    """
    if side is not None:
        check_integer("side", side, DataError, least=1)
    check_integer("shard_images", shard_images, DataError, least=1)
    try:
        import pyarrow.parquet
    except ModuleNotFoundError:
        raise MissingDependencyError("pyarrow", "data", alone=True) from None
    dataset = source if isinstance(source, Dataset) else load_dataset(source, seed=seed, reading=reading)
    if dataset.task not in ("classification", "detection"):
        raise DataError(f"shards hold images of one class each, or with boxes; {dataset.source} is of {dataset.task}")
    side = side or (BOXES_SIDE if dataset.task == "detection" else SIDE)
    folder = Path(output)
    state = {"fingerprint": dataset.fingerprint, "side": side, "images": shard_images, "seed": dataset.seed}
    sums = _begun(folder, state)
    skipped = list(dataset.skipped)
    with progress.task("writing shards", sum(len(dataset.part(part)) for part in _PARTS), "images") as task:
        for part in _PARTS:
            subset = dataset.part(part)
            order = evenly_mixed(strata(subset.targets, len(dataset.labels)), dataset.seed)
            count = max(1, round(len(order) / shard_images))
            for number, rows in enumerate(order[start::count] for start in range(count)):
                name = f"{part}-{number:05}-of-{count:05}.parquet"
                images = subset.take(rows)
                if name not in sums:
                    sums[name] = _write_shard(folder / name, images, dataset.labels, side, skipped, progress)
                    lines = "".join(f"{digest}  {one}\n" for one, digest in sorted(sums.items()))
                    write_atomically(folder / SUMS_FILE, lines.encode())
                task.advance(len(images))
    images_written = sum(pyarrow.parquet.read_metadata(folder / name).num_rows for name in sums)
    return WrittenShards(tuple(sorted(sums)), images_written, tuple(skipped))


_PARTS = ("train", "validation", "test")


def evenly_mixed(targets: Sequence[int] | np.ndarray[Any, Any], seed: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    """An order in which every stretch has its share of each class.

    Args:
        targets: The class of each image.
        seed: Random seed.

    >>> order = evenly_mixed([0, 0, 0, 0, 1, 1], 0)
    >>> [int(number >= 4) for number in order]
    [0, 1, 0, 0, 1, 0]
    """
    classes, rng = np.asarray(targets), np.random.default_rng(seed)
    places = np.empty(len(classes))
    for one in np.unique(classes):
        members = rng.permutation(np.flatnonzero(classes == one))
        places[members] = (np.arange(len(members)) + 0.5) / len(members)
    return np.argsort(places, kind="stable").astype(np.int64)


def _begun(folder: Path, state: dict[str, Any]) -> dict[str, str]:
    """The shards that a stopped run has written, by name, with their checksums."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if (folder / STATE_FILE).exists():
            found = json.loads((folder / STATE_FILE).read_text(encoding="utf-8"))
            if found != state:
                raise DataError(f"{folder} holds shards of other images or of another side; name another folder")
            lines = (folder / SUMS_FILE).read_text(encoding="utf-8").splitlines() if _has_sums(folder) else []
            sums = {name: digest for digest, _, name in (line.partition("  ") for line in lines)}
            return {name: digest for name, digest in sums.items() if (folder / name).exists()}
        if any(folder.iterdir()):
            raise DataError(f"{folder} is not empty; name another folder")
        write_atomically(folder / STATE_FILE, json.dumps(state).encode())
        return {}
    except OSError as error:
        raise DataError(f"{folder} cannot be written: {error.strerror}") from None


def _has_sums(folder: Path) -> bool:
    return (folder / SUMS_FILE).exists()


def _write_shard(
    path: Path, subset: Subset, labels: Sequence[str], side: int, skipped: list[str], progress: Progress
) -> str:
    """Write one shard, whole or not at all; its SHA-256."""
    import pyarrow
    import pyarrow.parquet

    images: list[dict[str, Any]] = []
    targets: list[Any] = []
    sizes: list[tuple[int, int]] = []
    for (image, encoded), target in zip(
        each(subset.images, lambda image: _encoded(image, side)), subset.targets, strict=True
    ):
        if isinstance(encoded, DataError):
            skipped.append(image.name)
            progress.note(f"skipped: {encoded}")
        else:
            images.append({"bytes": encoded[0], "path": os.path.basename(image.name)})
            targets.append(target)
            sizes.append(encoded[1])
    kind = pyarrow.struct([("bytes", pyarrow.binary()), ("path", pyarrow.string())])
    columns = _box_columns(targets, sizes) if subset.targets.dtype == object else {"label": _classes(targets)}
    schema = pyarrow.schema([("image", kind), *((name, array.type) for name, array in columns.items())])
    schema = schema.with_metadata({"huggingface": json.dumps({"info": {"features": _features(columns, labels)}})})
    file = io.BytesIO()
    pyarrow.parquet.write_table(
        pyarrow.Table.from_arrays([pyarrow.array(images, kind), *columns.values()], schema=schema),
        file,
        row_group_size=_ROW_GROUP,
        compression="none",
    )
    try:
        write_atomically(path, file.getvalue())
    except OSError as error:
        raise DataError(
            f"{path} cannot be written: {error.strerror}; the shards before it are kept, and the same call goes on"
        ) from None
    return hashlib.sha256(file.getvalue()).hexdigest()


def _classes(targets: Sequence[Any]) -> Any:
    import pyarrow

    return pyarrow.array([int(target) for target in targets], pyarrow.int64())


def _box_columns(truths: Sequence[GroundTruth], sizes: Sequence[tuple[int, int]]) -> dict[str, Any]:
    """Sizes and objects as the libraries of Hugging Face have them: left, top, width and height in pixels."""
    import pyarrow

    rows = []
    for truth, size in zip(truths, sizes, strict=True):
        corners = truth.boxes.astype(np.float64) * np.tile(np.array(size) / truth.size, 2)
        sides = np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], axis=1)
        objects = {"bbox": sides.tolist(), "category": truth.labels.tolist(), "iscrowd": truth.ignored.tolist()}
        rows.append(objects)
    kind = pyarrow.struct(
        [
            ("bbox", pyarrow.list_(pyarrow.list_(pyarrow.float32(), 4))),
            ("category", pyarrow.list_(pyarrow.int64())),
            ("iscrowd", pyarrow.list_(pyarrow.bool_())),
        ]
    )
    widths, heights = ([size[axis] for size in sizes] for axis in (0, 1))
    whole = pyarrow.int32()
    return {
        "width": pyarrow.array(widths, whole),
        "height": pyarrow.array(heights, whole),
        "objects": pyarrow.array(rows, kind),
    }


def _features(columns: Mapping[str, Any], labels: Sequence[str]) -> dict[str, Any]:
    """What the libraries of Hugging Face know of columns."""
    classes = {"names": list(labels), "_type": "ClassLabel"}
    if "objects" not in columns:
        return {"image": {"_type": "Image"}, "label": classes}
    objects = {
        "bbox": {"feature": {"dtype": "float32", "_type": "Value"}, "length": 4, "_type": "Sequence"},
        "category": classes,
        "iscrowd": {"dtype": "bool", "_type": "Value"},
    }
    whole = {"dtype": "int32", "_type": "Value"}
    sides = {"width": whole, "height": whole}
    return {"image": {"_type": "Image"}, **sides, "objects": {"feature": objects, "_type": "Sequence"}}


def _encoded(image: ImageSource, side: int) -> tuple[bytes, tuple[int, int]]:
    """A JPEG, and its width and height."""
    opened = image.open(side)
    scale = side / min(opened.size)
    if scale < 1:
        size = (max(1, round(opened.width * scale)), max(1, round(opened.height * scale)))
        opened = opened.resize(size, Image.Resampling.BILINEAR, reducing_gap=3.0)
    content = io.BytesIO()
    opened.save(content, "JPEG", quality=_QUALITY, subsampling=0)
    return content.getvalue(), opened.size


def summary_of(written: WrittenShards, folder: Path) -> str:
    """What was written, in a sentence."""
    skipped = f", {plural(len(written.skipped), 'image')} could not be read" if written.skipped else ""
    return f"{plural(written.images, 'image')} in {plural(len(written.files), 'shard')} of {folder}{skipped}"
