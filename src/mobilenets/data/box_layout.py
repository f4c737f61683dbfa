"""Whether a source holds boxes, and in which form: COCO, Pascal VOC, YOLO, or a table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path

from mobilenets.base.text import plural
from mobilenets.data.box_annotations import AnnotatedImage, BoxLayout, ImagesByName
from mobilenets.data.box_records import holds_box_records, read_box_records
from mobilenets.data.box_tables import is_box_table, read_box_tables
from mobilenets.data.coco import is_coco, read_coco
from mobilenets.data.cvat import cvat_files, read_cvat
from mobilenets.data.findings import Finding, Kind, examples_of, listed
from mobilenets.data.label_files import ALL, MOST_LEFT_OUT
from mobilenets.data.parts import PARTS
from mobilenets.data.reading import Reading, told
from mobilenets.data.tables import TABLE_SUFFIXES
from mobilenets.data.tree import Folder, scan
from mobilenets.data.voc import read_voc, voc_files
from mobilenets.data.yolo import YAML_SUFFIXES, is_yolo_yaml, read_yolo, strange_line, yolo_labels
from mobilenets.errors import DataError

JSON_SUFFIXES = (".json", ".jsonl", ".ndjson")
_HEAD_BYTES = 8192
_NESTED = {b"region_shape_attributes": "the VGG annotator's project", b"rectanglelabels": "Label Studio's project"}
"""What tables hold that programs write with JSON in their cells."""
MOST_FILES = 20
"""With more tables or JSON files, they are annotations of single images, in a form that is not read."""


def find_box_layout(path: Path, root: Folder | None, reading: Reading) -> BoxLayout | None:
    """Read the boxes of a source.

    Args:
        path: A folder, or a file that describes boxes.
        root: The folder, listed; None where ``path`` is a file.
        reading: What cannot be told from the source.

    Returns:
        None where it holds no boxes in any form that is known.

    Raises:
        DataError: If it holds boxes that cannot be read, or more than a tenth of their images are missing.
    """
    found = _of_file(path, reading) if root is None else _of_folder(root, reading)
    if found is None:
        return None
    if not found.images:
        raise DataError(f"{path} describes boxes ({found.kind}) and no image")
    return _in_asked_parts(_without_missing(_without_repeats(found), path), path, reading)


def _of_file(path: Path, reading: Reading) -> BoxLayout | None:
    suffix = path.suffix.lower()
    if suffix in YAML_SUFFIXES and is_yolo_yaml(path):
        return read_yolo(scan(path.parent, reading.exclude), path)
    if suffix == ".xml" and (cvat := cvat_files([path])):
        return read_cvat(cvat, path.parent, reading)
    if suffix == ".xml":
        raise DataError(f"{path} describes one image; name the folder that holds all of them")
    if suffix == ".json" and is_coco(path):
        return read_coco([path], path.parent, reading)
    if suffix in JSON_SUFFIXES and holds_box_records([path]):
        return read_box_records([path], path.parent, reading)
    _refuse_nested(path)
    if suffix in TABLE_SUFFIXES and is_box_table(path):
        return read_box_tables([path], path.parent, reading)
    return None


def _of_folder(root: Folder, reading: Reading) -> BoxLayout | None:
    folders = list(root.walk())
    yamls = [
        file for folder in folders[:MOST_FILES] for file in folder.box_files if file.suffix.lower() in YAML_SUFFIXES
    ]
    for file in yamls:
        if is_yolo_yaml(file):
            return read_yolo(root, file)
    tables = [file for folder in folders for file in folder.label_files]
    jsons = [file for file in tables if file.suffix.lower() == ".json"]
    coco = [file for file in jsons if is_coco(file)] if len(jsons) <= MOST_FILES else []
    if coco:
        return read_coco(coco, root.path, reading)
    if cvat := cvat_files([file for folder in folders for file in folder.box_files]):
        return read_cvat(cvat, root.path, reading)
    if voc := voc_files(root):
        return read_voc(voc, root, reading)
    texts = any(file.suffix.lower() == ".txt" for folder in folders for file in folder.box_files)
    if texts and yolo_labels(root, ImagesByName(root)):
        return read_yolo(root, None)
    if texts and (strange := strange_line(root, ImagesByName(root))):
        raise DataError(
            f"{strange[0]} is called like an image and holds lines such as {strange[1]!r:.60}, which are none of "
            "YOLO's: the number of a class, then the centre, width and height as shares of the image; convert them, or "
            f"leave them out with {told(exclude=('*.txt',))}"
        )
    records = [file for file in tables if file.suffix.lower() in JSON_SUFFIXES]
    if holds_box_records(records):
        return read_box_records(records, root.path, reading)
    for file in tables[:MOST_FILES]:
        _refuse_nested(file)
    boxes = [file for file in tables if file not in jsons and is_box_table(file)] if len(tables) <= MOST_FILES else []
    return read_box_tables(boxes, root.path, reading) if boxes else None


def _refuse_nested(table: Path) -> None:
    """Raise if a table holds boxes as JSON within its cells."""
    if table.suffix.lower() not in TABLE_SUFFIXES:
        return
    try:
        with table.open("rb") as file:
            head = file.read(_HEAD_BYTES)
    except OSError:
        return
    program = next((name for mark, name in _NESTED.items() if mark in head), None)
    if program is not None:
        raise DataError(f"{table} holds boxes as JSON in cells, which is not read; export {program} as JSON or COCO")


def _without_repeats(layout: BoxLayout) -> BoxLayout:
    """Every image once: what is tested on is not trained on."""
    rank = {"test": 0, "validation": 1, "train": 2, ALL: 3}
    first: dict[Path, AnnotatedImage] = {}
    for image in layout.images:
        if image.file not in first or rank[image.part] < rank[first[image.file].part]:
            first[image.file] = image
    repeated = Counter(image.file for image in layout.images)
    several = [file for file, count in repeated.items() if count > 1]
    if not several:
        return layout
    message = f"{plural(len(several), 'image')} described more than once; one description of each counts"
    finding = Finding(Kind.WARNING, message, len(several), examples_of(several))
    return replace(layout, images=tuple(first.values()), findings=(*layout.findings, finding))


def _without_missing(layout: BoxLayout, path: Path) -> BoxLayout:
    missing = [image for image in layout.images if not image.file.is_file()]
    if not missing:
        return layout
    names = [f"{image.file.name} (in {image.origin.name})" for image in missing]
    if len(missing) > MOST_LEFT_OUT * len(layout.images):
        raise DataError(
            f"{len(missing):,} of the {len(layout.images):,} images that {path} describes are not there, nor anywhere "
            f"below it: {listed(names)}; say where they are with {told(images_in='FOLDER')}"
        )
    message = f"{plural(len(missing), 'image')} with an annotation that are not there: {listed(names)}"
    finding = Finding(Kind.LEFT_OUT, message, len(missing), examples_of(names))
    there = tuple(image for image in layout.images if image.file.is_file())
    return replace(layout, images=there, findings=(*layout.findings, finding))


def _in_asked_parts(layout: BoxLayout, path: Path, reading: Reading) -> BoxLayout:
    """The layout with the parts that the reading names, or without any."""
    if reading.parts is not None:
        base = path if path.is_dir() else path.parent
        folders = {part: base / place for part, place in reading.parts.items()}
        images = tuple(
            replace(image, part=part) for image in layout.images if (part := _asked_part(image, folders)) is not None
        )
        for part, folder in folders.items():
            if not any(image.part == part for image in images):
                raise DataError(f"{folder}, which is to hold the {part} images, holds none with boxes")
        return replace(layout, images=images, places=dict(reading.parts))
    parts = {image.part for image in layout.images}
    # A folder of test images alone is evaluated as it is; to train on, all of its images are one pool.
    only_tests = parts <= {"validation", "test"}
    if not reading.find_parts or not (only_tests or "train" in parts):
        return replace(layout, images=tuple(replace(image, part=ALL) for image in layout.images), places={})
    outside = [image for image in layout.images if image.part == ALL]
    if not outside:
        return layout
    message = (
        f"{plural(len(outside), 'image')} in none of the parts {', '.join(part for part in PARTS if part in parts)}"
    )
    finding = Finding(Kind.LEFT_OUT, message, len(outside), examples_of(image.file for image in outside))
    inside = tuple(image for image in layout.images if image.part != ALL)
    return replace(layout, images=inside, findings=(*layout.findings, finding))


def without_classes(layout: BoxLayout, exclude: Sequence[str]) -> BoxLayout:
    """The layout without the boxes of some classes.

    Args:
        layout: Images with boxes.
        exclude: Names of classes, where ``*`` stands for anything, among names of files that mean nothing here.
    """
    labels = dict.fromkeys(box.label for image in layout.images for box in image.boxes)
    left = {label for label in labels if any(fnmatchcase(label, pattern) for pattern in exclude)}
    if not left:
        return layout
    count = sum(box.label in left for image in layout.images for box in image.boxes)
    message = f"{plural(count, 'box', 'boxes')} of {listed([label for label in labels if label in left])}, as asked"
    images = tuple(
        replace(image, boxes=tuple(box for box in image.boxes if box.label not in left)) for image in layout.images
    )
    kept = tuple(label for label in layout.labels if label not in left)
    finding = Finding(Kind.LEFT_OUT, message)
    return replace(layout, images=images, labels=kept, findings=(*layout.findings, finding))


def _asked_part(image: AnnotatedImage, folders: dict[str, Path]) -> str | None:
    described = (image.file, image.origin)
    return next(
        (
            part
            for part, folder in folders.items()
            if any(file == folder or folder in file.parents for file in described)
        ),
        None,
    )


def parts_of(images: Sequence[AnnotatedImage]) -> tuple[str, ...]:
    """The parts that images are in, in the order of training, validation and test."""
    return tuple(part for part in (*PARTS, ALL) if any(image.part == part for image in images))
