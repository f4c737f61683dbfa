"""Classes and parts that fit together: one name for each class, and every class in the images to train on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from mobilenets.base.text import plural
from mobilenets.data.class_names import unify
from mobilenets.data.findings import Finding, Kind, examples_of, listed
from mobilenets.data.image import FileImage, ImageSource
from mobilenets.data.label_files import NO_LABEL
from mobilenets.data.layout import Layout
from mobilenets.data.reading import Reading, told
from mobilenets.errors import DataError

Classes = dict[str, list[ImageSource]]


def reconciled(
    layout: Layout, reading: Reading, source: str
) -> tuple[dict[str, Classes], dict[str, int], list[Finding]]:
    """The images of a source by part and label.

    Args:
        layout: How it is laid out.
        reading: What to do with classes that look alike.
        source: What to call it.

    Returns:
        Part → label → images; label → its number in the set that it was taken from; and what was found on the way.

    Raises:
        DataError: If classes look alike, or a class has no images to train on.
    """
    names, findings = unify(
        [name for classes in layout.parts.values() for name, images in classes.items() if images and name], reading
    )
    names[NO_LABEL] = NO_LABEL
    parts = {part: _renamed(classes, names) for part, classes in layout.parts.items()}
    if "train" in parts:
        for part in ("validation", "test"):
            if part in parts and not _is_labeled(part, parts, layout, findings):
                del parts[part]
        for part in ("validation", "test"):
            if part in parts:
                _check_classes(part, parts, layout, source)
                _say_missing(part, parts, findings)
    indices = {names.get(name, name): index for name, index in layout.class_indices.items()}
    return parts, indices, findings


def _renamed(classes: Mapping[str, Sequence[Path]], names: Mapping[str, str]) -> Classes:
    found: Classes = {}
    for name, paths in classes.items():
        if paths:
            found.setdefault(names[name], []).extend(FileImage(path) for path in paths)
    return found


def _is_labeled(part: str, parts: Mapping[str, Classes], layout: Layout, findings: list[Finding]) -> bool:
    """Whether a part has classes: one folder that is no class of the training images holds unlabeled ones."""
    classes = parts[part]
    if not classes:
        findings.append(Finding(Kind.NOTE, f"no images with a class in {layout.places.get(part, part)}"))
        return False
    if len(classes) > 1 or set(classes) & set(parts["train"]):
        return True
    name, images = next(iter(classes.items()))
    message = (
        f"{plural(len(images), 'image')} in {layout.places.get(part, part)}/{name}, "
        "which is no class of the training images: taken for unlabeled"
    )
    findings.append(Finding(Kind.LEFT_OUT, message, len(images), examples_of(image.name for image in images)))
    return False


def _check_classes(part: str, parts: Mapping[str, Classes], layout: Layout, source: str) -> None:
    """Raise if a part has classes that there is nothing to train on for."""
    strange = [name for name in parts[part] if name not in parts["train"] and name != NO_LABEL]
    if strange:
        count = len(parts[part][strange[0]])
        known = listed(sorted(parts["train"]))
        others = f" (nor have {listed(strange[1:])})" if len(strange) > 1 else ""
        raise DataError(
            f"class {strange[0]!r} of {source} has {plural(count, 'image')} in {layout.places.get(part, part)} "
            f"and none in {layout.places.get('train', 'train')}{others}, whose classes are {known}; "
            f"rename it, add training images, or leave it out with {told(exclude=(strange[0],))}"
        )


def _say_missing(part: str, parts: Mapping[str, Classes], findings: list[Finding]) -> None:
    missing = sorted(set(parts["train"]) - set(parts[part]) - {NO_LABEL})
    if missing:
        message = (
            f"{plural(len(missing), 'class', 'classes')} of {len(parts['train']):,} "
            f"without any {part} image: {listed(missing)}"
        )
        findings.append(Finding(Kind.WARNING, message))
