"""Which folders are the classes: those at the top, or those within them."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mobilenets.base.text import plural
from mobilenets.data.findings import Finding, Kind, examples_of, listed
from mobilenets.data.masks import has_mask_word, holds_masks, mask_files
from mobilenets.data.parts import GENERIC, part_name, tokens_of
from mobilenets.data.reading import Reading, told
from mobilenets.data.tree import Folder
from mobilenets.errors import DataError

SHOOTING_WORDS = GENERIC | frozenset(
    str.split(
        "raw original originals color colour rgb gray grey crop cropped crops resized session batch take seq "
        "sequence clip video frame frames cam camera scene day date front back left right top side subject person "
        "user old new more other misc"
    )
)
"""Words of folders that say how or when images were made, not what they show."""
PIECE_WORDS = GENERIC | frozenset(
    str.split("batch chunk shard archive volume piece section fold zip tar dir pack group")
)
"""Words of folders that hold pieces of one set, where they differ in numbers only: ``images_001``, ``images_002``."""
_DATE = re.compile(r"(19|20)\d\d([-_. ]?\d\d){0,2}")


@dataclass(frozen=True)
class Classes:
    """Class folders, with their images in order of path.

    Attributes:
        images: Name of the folder → images.
        level: ``top`` or ``leaf``: which folders they are; ``name`` where the classes stand in the files' names.
        findings: What their owner should know of.
    """

    images: dict[str, list[Path]]
    level: str
    findings: tuple[Finding, ...]


def unwrapped(node: Folder) -> Folder:
    """The folder that class folders or parts lie in: ``archive/photos`` for ``archive``, if that holds nothing else.

    A folder is no wrapper if it holds images or label files, or if the one in it is a class, whose images lie in it.
    """
    while not node.images and not node.label_files and len(node.filled) == 1:
        inner, part = node.filled[0], part_name(node.filled[0].name)
        outer = part_name(node.name)
        twice = part is not None and outer is not None and part.part == outer.part  # train/train
        if inner.images or not inner.filled or (part is not None and not twice):
            break
        node = inner
    return node


def mask_folders(node: Folder) -> list[Folder]:
    """The folders in a folder that hold masks of the images in the others."""
    beside = [*node.filled, *([Folder(node.path, node.images)] if node.images else [])]
    if len(beside) < 2:
        return []
    return [folder for folder in node.filled if holds_masks(folder, beside)]


def label_in_name(path: Path) -> str:
    """What the name of an image begins with, before its number.

    >>> label_in_name(Path("cat.12.jpg")), label_in_name(Path("great_pyrenees_7.jpg")), label_in_name(Path("1.jpg"))
    ('cat', 'great_pyrenees', '')
    """
    return re.sub(r"[\W_]*(\d[\d\W_]*)?$", "", path.stem)


def classes_in_names(images: Sequence[Path]) -> dict[str, list[Path]]:
    """The images of each class that stands in their names; those that say nothing are under the empty name."""
    found: dict[str, list[Path]] = defaultdict(list)
    for image in images:
        found[label_in_name(image)].append(image)
    return dict(found)


def find_classes(node: Folder, reading: Reading, level: str | None = None, root: Path | None = None) -> Classes:
    """Find the class folders in a folder.

    Args:
        node: The folder.
        reading: Says whether the top or the leaf folders are the classes, if it cannot be told.
        level: The same, as it was found for another part of the data.
        root: The source, where the folders in the folder may turn out to be its parts.

    Raises:
        DataError: If it cannot be told.
    """
    if reading.classes_from == "name":
        return _named(node)
    findings: list[Finding] = []
    masks = mask_folders(node)
    if masks:
        findings.append(_masks_left_out(masks))
    tops = [folder for folder in node.filled if folder not in masks]
    if reading.classes_from is None:
        again = same_classes_again(node, tops)
        tops = [folder for folder in tops if folder not in again]
        findings += [_again(folder) for folder in again]
    findings += [_empty(folder) for folder in node.folders if not folder.count and folder.other_files]
    findings += [_mask_word(folder) for folder in tops if has_mask_word(folder.name)]
    level = reading.classes_from or level or _level(node, tops, root)
    chosen = tops if level == "top" else [leaf for top in tops for leaf in top.leaves]
    images: dict[str, list[Path]] = defaultdict(list)
    masked: list[Path] = []
    for folder in chosen:
        own = sorted(folder.images) if level == "leaf" else _images_of_class(folder, findings, masked)
        images[folder.name] += own
    if masked:
        message = f"{plural(len(masked), 'mask')} of images beside them"
        findings.append(Finding(Kind.LEFT_OUT, message, len(masked), examples_of(masked)))
    if node.images:
        message = f"{plural(len(node.images), 'image')} directly in {node.path}, in no class folder"
        findings.append(Finding(Kind.LEFT_OUT, message, len(node.images), examples_of(sorted(node.images))))
    return Classes(dict(images), level, tuple(findings))


def _named(node: Folder) -> Classes:
    images = classes_in_names(node.all_images)
    nameless = images.pop("", [])
    findings: tuple[Finding, ...] = ()
    if nameless:
        message = f"{plural(len(nameless), 'image')} in {node.path} with no class in the name"
        findings = (Finding(Kind.LEFT_OUT, message, len(nameless), examples_of(nameless)),)
    return Classes(images, "name", findings)


def _images_of_class(folder: Folder, findings: list[Finding], masked: list[Path]) -> list[Path]:
    """All images of a class at any depth, without masks."""
    found: list[Path] = []
    for inner in folder.walk():
        masks = mask_folders(inner)
        for mask in masks:
            masked += mask.all_images
        inner.folders = [one for one in inner.folders if one not in masks]
        files = mask_files(inner)
        masked += sorted(files)
        found += [image for image in inner.images if image not in files]
    within = len(found) - len(folder.images)
    if folder.images and within > 0:
        message = f"{plural(within, 'image')} in folders within {folder.path} count as {folder.name}"
        findings.append(Finding(Kind.NOTE, message, within))
    return sorted(found)


def _level(node: Folder, tops: Sequence[Folder], root: Path | None) -> str:
    """Whether the classes are the top folders; refused where the folders within them may be the classes."""
    deep = [top for top in tops if not top.images and len(_leaves_without_masks(top)) > 1]
    if not deep:
        return "top"
    leaves = [leaf for top in deep for leaf in _leaves_without_masks(top)]
    if all(_says_how(leaf.name) for leaf in leaves):
        return "top"
    inner = [{leaf.name for leaf in _leaves_without_masks(top)} for top in tops]
    names = sorted(set().union(*inner))
    shown = [leaf.path.relative_to(node.path).as_posix() for leaf in leaves]
    raise DataError(
        f"{node.path} holds folders within folders: {listed(shown)}. A class may be the outer folder "
        f"({plural(len(tops), 'class', 'classes')}: {listed([top.name for top in tops])}) or the inner one "
        f"({plural(len(names), 'class', 'classes')}: {listed(names)}); say {told(classes_from='top')} or "
        f"{told(classes_from='leaf')}{_if_parts(tops, inner, root)}"
    )


def _if_parts(tops: Sequence[Folder], inner: Sequence[set[str]], root: Path | None) -> str:
    """What to say where the outer folders are parts, or the same images several times: all hold the same classes."""
    same = sorted(set.intersection(*inner))
    if len(same) < 2 or len(tops) < 2 or root is None:
        return ""
    train, test = (top.path.relative_to(root).as_posix() for top in sorted(tops, key=lambda top: -top.count)[:2])
    return (
        f"; all of them hold {listed(same)}: if they are parts of the data, say "
        f"{told(parts={'train': train, 'test': test})}, and if they are the same images several times, name one of "
        f"them, such as {root / train}"
    )


def refuse_pieces(node: Folder, names: Sequence[str]) -> None:
    """Raise if class folders are called like pieces of one set: ``images_001``, ``images_002``.

    Args:
        node: The folder that they lie in.
        names: Their names.

    Raises:
        DataError: If they differ in numbers only, and have a word such as ``part`` or ``images``.
    """
    words = {tuple(token for token in tokens_of(name) if not token.isdecimal()) for name in names}
    if len(names) < 2 or len(words) != 1 or PIECE_WORDS.isdisjoint(*words):
        return
    table = f", such as {node.label_files[0]}" if node.label_files else ""
    raise DataError(
        f"{node.path} holds {listed(names)}, which are called like pieces of one set of images: say "
        f"{told(classes_from='top')} if they are the classes, or name the table that gives each image its class{table}"
    )


def same_classes_again(node: Folder, tops: Sequence[Folder]) -> list[Folder]:
    """Folders that hold the other class folders once more, file by file, as archives unpacked into themselves do.

    Args:
        node: The folder that the class folders lie in.
        tops: The class folders.
    """
    flat = {top.name: {image.name: image for image in top.images} for top in tops if top.images}
    again = []
    for top in tops:
        inner = unwrapped(top)
        if top.images or len(inner.filled) < 2 or inner.images or any(one.filled for one in inner.filled):
            continue
        pairs = [(image, flat.get(one.name, {}).get(image.name)) for one in inner.filled for image in one.images]
        if all(other is not None and _same_file(image, other) for image, other in pairs):
            again.append(top)
    return again


def _same_file(one: Path, other: Path) -> bool:
    return one.stat().st_size == other.stat().st_size and one.read_bytes() == other.read_bytes()


def _leaves_without_masks(top: Folder) -> list[Folder]:
    masks = {id(mask) for inner in top.walk() for mask in mask_folders(inner)}
    return [leaf for leaf in top.leaves if id(leaf) not in masks]


def _says_how(name: str) -> bool:
    """Whether a folder's name says how or when images were made, and nothing of what they show.

    >>> [_says_how(name) for name in ("2019-05-01", "session 3", "images", "owl", "7")]
    [True, True, True, False, False]
    """
    if _DATE.fullmatch(name):
        return True
    words = [token for token in tokens_of(name) if not token.isdecimal()]
    return bool(words) and SHOOTING_WORDS.issuperset(words)


def _masks_left_out(masks: Sequence[Folder]) -> Finding:
    count = sum(mask.count for mask in masks)
    message = f"{plural(count, 'image')} in {listed([mask.path for mask in masks])}: segmentation masks, no class"
    return Finding(Kind.LEFT_OUT, message, count)


def _again(folder: Folder) -> Finding:
    message = f"{plural(folder.count, 'image')} in {folder.path}: the same class folders again, file by file"
    return Finding(Kind.LEFT_OUT, message, folder.count, examples_of(folder.all_images))


def _empty(folder: Folder) -> Finding:
    return Finding(Kind.WARNING, f"{folder.path} holds no image of a kind that is read, and is no class")


def _mask_word(folder: Folder) -> Finding:
    return Finding(
        Kind.NOTE,
        f"{folder.name} is taken for a class; if it holds segmentation masks, say {told(exclude=(folder.name,))}",
    )
