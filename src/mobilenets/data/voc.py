"""Boxes in the XML of Pascal VOC: a file for each image, and lists of files for the parts.

Source: M. Everingham et al. 2010, the development kit of the PASCAL Visual Object Classes challenge.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

from mobilenets.base.text import plural
from mobilenets.data.box_annotations import (
    AnnotatedBox,
    AnnotatedImage,
    BoxLayout,
    ImagesByName,
    box_around,
    box_around_centre,
    part_of_path,
    size_of,
)
from mobilenets.data.file_finder import FileFinder
from mobilenets.data.findings import Finding, Kind, examples_of, listed
from mobilenets.data.label_files import ALL
from mobilenets.data.parts import PARTS
from mobilenets.data.reading import Reading
from mobilenets.data.tree import Folder, scan
from mobilenets.errors import DataError

_HEAD_BYTES = 4096
_ROOT = re.compile(rb"<annotation[\s/>]")
_LOOKED_AT = 20
"""XML files that are looked at: programs keep some of their own beside annotations."""
_LISTS = {"train": "train", "val": "validation", "valid": "validation", "validation": "validation", "test": "test"}


def voc_files(root: Folder) -> list[Path]:
    """The XML files below a folder, if one of the first is an annotation."""
    files = sorted(file for folder in root.walk() for file in folder.box_files if file.suffix.lower() == ".xml")
    return files if any(map(_is_annotation, files[:_LOOKED_AT])) else []


def _is_annotation(file: Path) -> bool:
    try:
        with file.open("rb") as opened:
            return _ROOT.search(opened.read(_HEAD_BYTES)) is not None
    except OSError:
        return False


def read_voc(files: Sequence[Path], root: Folder, reading: Reading) -> BoxLayout:
    """Read annotations.

    The parts are those of the lists in ``ImageSets/Main``, of folders called train, val and test, or none.

    Args:
        files: The annotations.
        root: The source.
        reading: What cannot be told from them.

    Raises:
        DataError: If a file is damaged.
    """
    named = ImagesByName(root if reading.images_in is None else scan(Path(reading.images_in)))
    finder = FileFinder(root.path if reading.images_in is None else Path(reading.images_in))
    lists, places = _lists(root)
    findings: list[Finding] = []
    images, unlisted, others = [], [], []
    for file in files:
        image = _read(file, named, finder, root.path)
        if image is None:
            others.append(file)
            continue
        if lists and file.stem not in lists:
            unlisted.append(file)
            continue
        images.append(image if not lists else _in_part(image, lists[file.stem]))
    if unlisted:
        message = f"{plural(len(unlisted), 'image')} in none of {listed(list(places.values()))}"
        findings.append(Finding(Kind.LEFT_OUT, message, len(unlisted), examples_of(unlisted)))
    if others:
        message = f"{plural(len(others), 'XML file')} of another kind beside the annotations, not read"
        findings.append(Finding(Kind.NOTE, message, 0, examples_of(others)))
    if not lists:
        places = _folders_of_parts(images, root.path)
    labels = sorted({box.label for image in images for box in image.boxes})
    findings += _without_annotation(images, root)
    return BoxLayout(tuple(images), tuple(labels), "Pascal VOC XML", places, tuple(findings))


def _in_part(image: AnnotatedImage, part: str) -> AnnotatedImage:
    return AnnotatedImage(image.file, image.origin, image.boxes, part, image.size)


def parse_xml(file: Path) -> ElementTree.Element:
    """The outermost element of an XML file.

    Raises:
        DataError: If it cannot be read, or declares entities, which could grow without bounds.
    """
    try:
        content = file.read_bytes()
        if b"<!DOCTYPE" in content or b"<!ENTITY" in content:
            raise DataError(f"{file} declares entities of its own, which are not read")
        return ElementTree.fromstring(content)
    except ElementTree.ParseError as error:
        raise DataError(f"{file} is not readable XML: {error}") from None
    except OSError as error:
        raise DataError(f"{file} cannot be read: {error.strerror}") from None


def _read(file: Path, images: ImagesByName, finder: FileFinder, root: Path) -> AnnotatedImage | None:
    """The image of an annotation; None of XML that is none."""
    tree = parse_xml(file)
    if tree.tag != "annotation":
        return None
    boxes = tuple(_box(node, f"object {number}", file) for number, node in enumerate(tree.findall("object"), start=1))
    name = (tree.findtext("filename") or "").strip()
    # Renamed files keep the old name inside, so that the file's own counts first.
    path = images.described_by(file) or (finder.find(name) if name else None)
    path = path or file.with_name(name or f"{file.stem}.jpg")
    return AnnotatedImage(path, file, boxes, part_of_path(file, root), _size(tree))


def _box(node: ElementTree.Element, place: str, file: Path) -> AnnotatedBox:
    label = (node.findtext("name") or "").strip()
    if not label:
        raise DataError(f"{file}: {place} has no name")
    corners = _corners(node, place, file)
    return AnnotatedBox(label, corners, place, (node.findtext("difficult") or "0").strip() == "1")


def _corners(node: ElementTree.Element, place: str, file: Path) -> tuple[float, float, float, float]:
    """The box of an object: its own, or the one around its polygon or around its turned box."""
    kinds = {"bndbox": ("xmin", "ymin", "xmax", "ymax"), "robndbox": ("cx", "cy", "w", "h", "angle")}
    for kind in (*kinds, "polygon"):
        shape = node.find(kind)
        if shape is None:
            continue
        texts = {one.tag: (one.text or "").strip() for one in shape}
        names = kinds.get(kind) or tuple(f"{axis}{n}" for n in range(1, len(texts) // 2 + 1) for axis in "xy")
        try:
            numbers = [float(texts.get(name, "")) for name in names]
        except ValueError:
            given = ", ".join(f"{name} {text!r:.20}" for name, text in texts.items()) or "empty"
            expected = f"{', '.join(names[:-1])} and {names[-1]}"
            raise DataError(f"{file}: {place} has a {kind} of {given}; expected numbers for {expected}") from None
        match numbers:
            case left, top, right, bottom if kind == "bndbox":
                return left, top, right, bottom
            case x, y, width, height, angle if kind == "robndbox":
                return box_around_centre(x, y, width, height, math.degrees(angle))
            case [_, _, _, _, _, _, *_]:
                return box_around(numbers)
            case _:
                break
    raise DataError(f"{file}: {place} has no bndbox with xmin, ymin, xmax and ymax")


def _size(tree: ElementTree.Element) -> tuple[int, int] | None:
    return size_of(tree.findtext("size/width"), tree.findtext("size/height"))


def _lists(root: Folder) -> tuple[dict[str, str], dict[str, str]]:
    """Name of each annotation, without its suffix → part, as lists of files say; and part → the list."""
    found: dict[str, str] = {}
    places: dict[str, str] = {}
    for node in root.walk():
        if node.name not in ("Main", "ImageSets"):
            continue
        files = {file.stem.lower(): file for file in node.box_files if file.suffix.lower() == ".txt"}
        chosen = {part: files[stem] for stem, part in _LISTS.items() if stem in files}
        if "train" not in chosen and "trainval" in files:
            chosen["train"] = files["trainval"]
        if not chosen:
            continue
        for part in reversed([part for part in PARTS if part in chosen]):  # what trains and tests is not trained on
            names = chosen[part].read_text(encoding="utf-8-sig").split("\n")
            for name in names:
                # Lists of one class have 1 or -1 behind the name; names may have a folder and a suffix.
                stem = Path(name.split()[0]).name.removesuffix(".jpg") if name.strip() else ""
                if stem:
                    found.setdefault(stem, part)
            places[part] = chosen[part].relative_to(root.path).as_posix()
        break
    return found, places


def _folders_of_parts(images: Sequence[AnnotatedImage], root: Path) -> dict[str, str]:
    places: dict[str, str] = {}
    for image in images:
        if image.part != ALL and image.part not in places and image.origin.is_relative_to(root):
            places[image.part] = image.origin.parent.relative_to(root).as_posix()
    return places


def _without_annotation(images: Sequence[AnnotatedImage], root: Folder) -> list[Finding]:
    known = {image.file for image in images}
    left = [image for image in root.all_images if image not in known]
    if not left:
        return []
    message = f"{plural(len(left), 'image')} without an annotation; an empty one says that nothing is there"
    return [Finding(Kind.LEFT_OUT, message, len(left), examples_of(left))]
