"""Boxes in text files of YOLO: a line an object, its class and its centre, width and height as shares of the image.

Source: the data format of Darknet and of the ``data.yaml`` that later trainers of YOLO read beside it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mobilenets.base.text import plural
from mobilenets.data.box_annotations import (
    AnnotatedBox,
    AnnotatedImage,
    BoxLayout,
    ImagesByName,
    box_around,
    part_of_path,
)
from mobilenets.data.findings import Finding, Kind, examples_of, listed
from mobilenets.data.label_files import ALL
from mobilenets.data.parts import PARTS
from mobilenets.data.tree import Folder, scan
from mobilenets.data.yaml_text import Value, read_yaml
from mobilenets.errors import DataError

NAME_FILES = ("classes.txt", "obj.names", "_darknet.labels", "labels.txt", "names.txt", "predefined_classes.txt")
"""Files that name a class a line, where there is no data.yaml."""
_KEYS = {"train": "train", "val": "validation", "valid": "validation", "validation": "validation", "test": "test"}
_LOOKED_AT = 20
_BOX, _LEAST_POLYGON = 5, 7
"""Numbers of a line with a box, and of the shortest with a polygon: the class, and three points."""
_FEWEST_NUMBERS = 4
"""Numbers in a line that may be a box."""
YAML_SUFFIXES = (".yaml", ".yml")


@dataclass(frozen=True)
class _Parts:
    """Images by part, each in one, and where they were found."""

    images: Mapping[Path, str]
    places: Mapping[str, str]


def is_yolo_yaml(file: Path) -> bool:
    """Whether a YAML file names classes and the images of parts."""
    try:
        data = read_yaml(file.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError):
        return False
    return "names" in data and ("train" in data or "val" in data or "nc" in data)


def yolo_labels(root: Folder, images: ImagesByName) -> list[Path]:
    """Text files below a folder that are called like images, if the first ones hold boxes."""
    files = [
        file
        for folder in root.walk()
        for file in folder.box_files
        if file.suffix.lower() == ".txt"
        and file.name.lower() not in NAME_FILES
        and images.described_by(file) is not None
    ]
    return files if any(_holds_boxes(file) for file in files[:_LOOKED_AT]) else []


def strange_line(root: Folder, images: ImagesByName) -> tuple[Path, str] | None:
    """A text file called like an image whose first line holds numbers that are none of YOLO's, and that line."""
    files = [
        file
        for folder in root.walk()
        for file in folder.box_files
        if file.suffix.lower() == ".txt" and images.described_by(file) is not None
    ]
    for file in files[:_LOOKED_AT]:
        try:
            line = next((line for line in file.read_text(encoding="utf-8-sig").splitlines() if line.strip()), "")
        except (OSError, ValueError):
            continue
        if sum(map(_is_number, re.split(r"[\s,;]+", line))) >= _FEWEST_NUMBERS:
            return file, line.strip()
    return None


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _holds_boxes(file: Path) -> bool:
    try:
        lines = [line.split() for line in file.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
        return bool(lines) and all(len(line) >= _BOX and line[0].isdecimal() and float(line[1]) < 2 for line in lines)
    except (OSError, ValueError):
        return False


def read_yolo(root: Folder, yaml: Path | None) -> BoxLayout:
    """Read labels.

    Args:
        root: The source.
        yaml: Its ``data.yaml``; None if there is none.

    Raises:
        DataError: If classes have no names, or a line cannot be read or is of a class that has none.
    """
    data: Mapping[str, Value] = {} if yaml is None else _read(yaml)
    names, named_in = _names(data, yaml, root)
    images = ImagesByName(root)
    parts = _parts_of_yaml(data, yaml, root) if yaml is not None else None
    if parts is None:
        parts = _parts_of_folders(root)
    labels = {image: file for file in _texts(root) if (image := images.described_by(file)) is not None}
    lines = _Lines(names, named_in, _keypoint_numbers(data, yaml))
    found = [
        AnnotatedImage(image, labels.get(image, image), lines.boxes(labels.get(image)), part, in_shares=True)
        for image, part in parts.images.items()
    ]
    without = [image for image in parts.images if image not in labels]
    findings = [] if yaml is None else _outside(parts, labels, yaml)
    if len(without) == len(found):
        raise DataError(f"{root.path} holds {plural(len(found), 'image')} and no text file with boxes for any of them")
    if without:
        message = f"{plural(len(without), 'image')} without a text file of boxes: taken for images of no object"
        findings.append(Finding(Kind.NOTE, message, len(without), examples_of(without)))
    return BoxLayout(tuple(found), names, "YOLO text files", parts.places, tuple(findings))


def _outside(parts: _Parts, labels: Mapping[Path, Path], yaml: Path) -> list[Finding]:
    """Images with boxes that data.yaml does not name."""
    left = [image for image in labels if image not in parts.images]
    if not left:
        return []
    message = f"{plural(len(left), 'image')} with boxes in none of the parts that {yaml.name} names"
    return [Finding(Kind.LEFT_OUT, message, len(left), examples_of(sorted(left)))]


def _texts(root: Folder) -> list[Path]:
    return [
        file
        for folder in root.walk()
        for file in folder.box_files
        if file.suffix.lower() == ".txt" and file.name.lower() not in NAME_FILES
    ]


def _read(yaml: Path) -> Mapping[str, Value]:
    try:
        return read_yaml(yaml.read_text(encoding="utf-8-sig"))
    except ValueError as error:
        raise DataError(f"{yaml} is not readable: {error}") from None
    except OSError as error:
        raise DataError(f"{yaml} cannot be read: {error.strerror}") from None


# Classes -------------------------------------------------------------------------------------------------------------


def _names(data: Mapping[str, Value], yaml: Path | None, root: Folder) -> tuple[tuple[str, ...], str]:
    """Names of the classes, and the file that gives them."""
    if yaml is not None:
        match data.get("names"):
            case list() as names:
                return tuple(names), yaml.name
            case dict() as numbered:
                wanted = [str(number) for number in range(len(numbered))]
                if set(numbered) != set(wanted):
                    raise DataError(f"{yaml}: names must be numbered from 0 on, not {listed(list(numbered))}")
                return tuple(numbered[number] for number in wanted), yaml.name
            case names:
                raise DataError(f"{yaml}: names must be a list of classes, not {names!r:.40}")
    files = {file.name.lower(): file for folder in root.walk() for file in folder.box_files}
    file = next((files[name] for name in NAME_FILES if name in files), None)
    if file is None:
        for found in (one for folder in root.walk() for one in folder.box_files):
            if found.suffix.lower() in YAML_SUFFIXES and "names" not in _read(found):
                raise DataError(
                    f"{found} does not say what the classes are called; add a line such as names: [cat, dog]"
                )
        raise DataError(
            f"{root.path} holds boxes in text files, whose classes are numbers, and nothing says what they are called; "
            f"write {root.path / 'data.yaml'} with a line such as names: [cat, dog]"
        )
    return tuple(line.strip() for line in file.read_text(encoding="utf-8-sig").splitlines() if line.strip()), file.name


# Parts ---------------------------------------------------------------------------------------------------------------


def _parts_of_yaml(data: Mapping[str, Value], yaml: Path, root: Folder) -> _Parts | None:
    """The images of the parts that data.yaml names; None if it names none that is there."""
    bases = [yaml.parent]
    base = data.get("path")
    if isinstance(base, str) and base:
        bases = [yaml.parent / base, *bases]
    images: dict[Path, str] = {}
    places: dict[str, str] = {}
    missing = []
    given = {part: data[key] for key, part in _KEYS.items() if data.get(key)}
    for part in sorted(given, key=PARTS.index, reverse=True):  # what tests is not trained on
        value = given[part]
        entries = value if isinstance(value, list) else [str(value)]
        for entry in entries:
            place = _located(entry, bases)
            if place is None:
                missing.append(f"{entry} ({part})")
                continue
            places.setdefault(part, entry)
            for image in _images_at(place, bases):
                images.setdefault(image, part)
    if missing and "train" in given and "train" not in places:
        raise DataError(f"{yaml} names {listed(missing)}, which is not there")
    if set(images.values()) == {"train"} and len(given) > 1 and not missing:
        raise DataError(f"{yaml} names the same images for {' and '.join(given)}")
    return _Parts(images, places) if images else None


def _located(entry: str, bases: Sequence[Path]) -> Path | None:
    """The folder or file that an entry of data.yaml means: exports often begin it with one ../ too many."""
    for text in (entry, entry.removeprefix("../"), entry.removeprefix("./")):
        for base in bases:
            if (base / text).exists():
                return base / text
    return None


def _images_at(place: Path, bases: Sequence[Path]) -> list[Path]:
    if place.is_dir():
        return scan(place).all_images
    lines = [line.strip() for line in place.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
    return [
        found if (found := _located(line, [place.parent, *bases])) is not None else place.parent / line
        for line in lines
    ]


def _parts_of_folders(root: Folder) -> _Parts:
    images = {image: part_of_path(image, root.path) for image in root.all_images}
    places: dict[str, str] = {}
    for image, part in images.items():
        if part != ALL:
            places.setdefault(part, image.parent.relative_to(root.path).as_posix())
    return _Parts(images, places)


# Lines ---------------------------------------------------------------------------------------------------------------


def _keypoint_numbers(data: Mapping[str, Value], yaml: Path | None) -> int:
    """Numbers behind each box that are of keypoints."""
    shape = data.get("kpt_shape")
    if not shape:
        return 0
    try:
        count, values = (int(number) for number in shape)
    except (TypeError, ValueError):
        raise DataError(f"{yaml}: kpt_shape must be two numbers, such as [17, 3], not {shape!r:.40}") from None
    return count * values


@dataclass(frozen=True)
class _Lines:
    """What the lines of a text file mean.

    Attributes:
        names: Of the classes.
        named_in: The file that names them.
        keypoint_numbers: Numbers behind each box that are of keypoints.
    """

    names: Sequence[str]
    named_in: str
    keypoint_numbers: int = 0

    def boxes(self, file: Path | None) -> tuple[AnnotatedBox, ...]:
        """The boxes in a file; none where there is no file.

        Raises:
            DataError: If it cannot be read, or a line is none of a box and of a polygon.
        """
        if file is None:
            return ()
        try:
            lines = file.read_text(encoding="utf-8-sig").splitlines()
        except UnicodeDecodeError:
            raise DataError(f"{file} is not text") from None
        except OSError as error:
            raise DataError(f"{file} cannot be read: {error.strerror}") from None
        return tuple(
            self._box(line.split(), f"line {number}", file)
            for number, line in enumerate(lines, start=1)
            if line.strip()
        )

    def _box(self, cells: Sequence[str], place: str, file: Path) -> AnnotatedBox:
        try:
            number = int(float(cells[0]))
            numbers = [float(cell) for cell in cells[1:]]
        except (ValueError, OverflowError):
            raise DataError(
                f"{file}, {place}: expected numbers with blanks between them, not {' '.join(cells)[:60]!r}"
            ) from None
        if not 0 <= number < len(self.names):
            raise DataError(
                f"{file}, {place}: class {number}; {self.named_in} names "
                f"{plural(len(self.names), 'class', 'classes')}, 0 to {len(self.names) - 1}"
            )
        if len(cells) in (_BOX, _BOX + self.keypoint_numbers):
            x, y, width, height = numbers[:4]
            corners = (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
        elif len(cells) >= _LEAST_POLYGON and len(cells) % 2:
            corners = box_around(numbers)
        else:
            keypoints = f" (and {self.keypoint_numbers} numbers of keypoints)" if self.keypoint_numbers else ""
            raise DataError(
                f"{file}, {place}: {len(cells)} numbers; expected the class, the centre, width and height{keypoints}, "
                "or the class and the corners of a polygon"
            )
        return AnnotatedBox(self.names[number], corners, place)
