"""Boxes in the XML of CVAT "for images": one file, with an element for each image.

Source: the annotation format 1.1 in CVAT's documentation.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

from mobilenets.base.text import plural
from mobilenets.data.box_annotations import (
    AnnotatedBox,
    AnnotatedImage,
    BoxLayout,
    box_around,
    box_around_centre,
    part_of_path,
    size_of,
)
from mobilenets.data.file_finder import FileFinder
from mobilenets.data.findings import Finding, Kind
from mobilenets.data.label_files import ALL
from mobilenets.data.parts import part_of_word
from mobilenets.data.reading import Reading
from mobilenets.data.voc import parse_xml
from mobilenets.errors import DataError

_HEAD_BYTES = 4096
_CORNERS = ("xtl", "ytl", "xbr", "ybr")


def cvat_files(files: Sequence[Path]) -> list[Path]:
    """Those of some files that are CVAT's."""
    return [file for file in files if file.suffix.lower() == ".xml" and _is_cvat(file)]


def _is_cvat(file: Path) -> bool:
    try:
        with file.open("rb") as opened:
            return b"<annotations" in opened.read(_HEAD_BYTES)
    except OSError:
        return False


def read_cvat(files: Sequence[Path], root: Path, reading: Reading) -> BoxLayout:
    """Read boxes, and polygons as the boxes around them.

    The part is an image's ``subset``, or what a folder of the file is called.

    Args:
        files: The files.
        root: The source.
        reading: Where the images are.

    Raises:
        DataError: If a file is damaged, or describes a video.
    """
    images: list[AnnotatedImage] = []
    findings: list[Finding] = []
    for file in files:
        tree = parse_xml(file)
        if tree.find("track") is not None and tree.find("image") is None:
            raise DataError(f"{file} describes the tracks of a video; export it from CVAT as COCO or YOLO, with images")
        folders = [file.parent, root] if reading.images_in is None else [Path(reading.images_in)]
        finder, others = FileFinder(*folders), 0
        for number, node in enumerate(tree.findall("image"), start=1):
            name = node.get("name")
            if not name:
                raise DataError(f"{file}: image {number} has no name")
            boxes, unread = _boxes(node, name, file)
            others += unread
            part = part_of_word(node.get("subset") or "") or part_of_path(file, root)
            images.append(
                AnnotatedImage(
                    finder.find(name) or file.parent / name,
                    file,
                    boxes,
                    part,
                    size_of(node.get("width"), node.get("height")),
                )
            )
        if others:
            message = f"{plural(others, 'annotation')} of {file.name} that are neither a box nor a polygon"
            findings.append(Finding(Kind.LEFT_OUT, message))
    labels = sorted({box.label for image in images for box in image.boxes})
    parts = {image.part for image in images} - {ALL}
    places = {part: listed_in.name for part in parts for listed_in in files[:1]}
    return BoxLayout(tuple(images), tuple(labels), "CVAT XML", places, tuple(findings))


def _boxes(image: ElementTree.Element, name: str, file: Path) -> tuple[tuple[AnnotatedBox, ...], int]:
    """The objects of an image, and how many annotations are of another kind."""
    found, others = [], 0
    for number, node in enumerate(image, start=1):
        place = f"{name}, {node.tag} {number}"
        if node.tag not in ("box", "polygon", "polyline", "points", "mask", "ellipse", "cuboid", "skeleton"):
            continue  # such as a tag of the whole image
        if node.tag not in ("box", "polygon"):
            others += 1
            continue
        try:
            corners = _corners(node)
        except ValueError:
            expected = ", ".join(_CORNERS) if node.tag == "box" else "points such as 1,2;30,40;5,60"
            raise DataError(f"{file}: {place} has {dict(node.attrib)!s:.80}; expected {expected}") from None
        found.append(AnnotatedBox((node.get("label") or "").strip(), corners, place))
        if not found[-1].label:
            raise DataError(f"{file}: {place} has no label")
    return tuple(found), others


def _corners(node: ElementTree.Element) -> tuple[float, float, float, float]:
    if node.tag == "polygon":
        points = [float(number) for point in (node.get("points") or "").split(";") for number in point.split(",")]
        if len(points) < 6 or len(points) % 2:
            raise ValueError(points)
        return box_around(points)
    left, top, right, bottom = (float(node.get(name) or "") for name in _CORNERS)
    angle = float(node.get("rotation") or 0)
    if not angle:
        return left, top, right, bottom
    return box_around_centre((left + right) / 2, (top + bottom) / 2, right - left, bottom - top, angle)
