"""How a source of labeled images is laid out: which folders and files are its parts and classes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from mobilenets.base.text import plural
from mobilenets.data.class_folders import (
    Classes,
    classes_in_names,
    find_classes,
    mask_folders,
    refuse_pieces,
    unwrapped,
)
from mobilenets.data.findings import Finding, Kind, examples_of, listed
from mobilenets.data.label_files import ALL, LabelFile, read_label_file
from mobilenets.data.part_folders import PartFolders, find_parts
from mobilenets.data.part_lists import PartLists, find_part_lists
from mobilenets.data.part_tables import find_part_tables, unread_splits
from mobilenets.data.parts import GENERIC, PARTS, part_name, tokens_of
from mobilenets.data.reading import NONE, Reading, told
from mobilenets.data.tables import TABLE_SUFFIXES
from mobilenets.data.thumbnails import leave_thumbnails_out
from mobilenets.data.tree import ARCHIVE_SUFFIXES, Folder, scan
from mobilenets.errors import DataError

MANIFESTS = (
    "labels.csv",
    "_classes.csv",
    "metadata.csv",
    "metadata.jsonl",
    "labels.tsv",
    "labels.json",
    "labels.jsonl",
)
"""Label files that are read without being named, in a folder of images that has no class folders."""
MOST_LABEL_FILES = 20
"""With more files that may hold labels, they are annotations of single images."""
MOST_LABEL_BYTES = 200_000_000


@dataclass(frozen=True)
class Layout:
    """Images of a source by part and class, as they were found.

    Attributes:
        parts: ``train``, ``validation`` and ``test`` as far as the source gives them, or ``all``; each class by class.
            A class may be empty.
        kind: What the layout is, in a few words.
        places: Part → where it was found, from the source on.
        class_indices: Class → its number in the set that it was taken from, if the source says so.
        findings: What the source's owner should know of.
        several: Whether an image may stand under several labels, or under :data:`~label_files.NO_LABEL`.
    """

    parts: Mapping[str, Mapping[str, list[Path]]]
    kind: str
    places: Mapping[str, str] = field(default_factory=dict)
    class_indices: Mapping[str, int] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()
    several: bool = False


def find_layout(path: Path, reading: Reading, root: Folder | None = None) -> Layout:
    """Find out how a source is laid out.

    Args:
        path: A folder or a label file.
        reading: What cannot be told from it.
        root: The folder, where it was listed already.

    Raises:
        DataError: If it has no known form, or could be read in several ways.
    """
    if not path.is_dir():
        if path.suffix.lower() not in TABLE_SUFFIXES:
            archive = path.suffix.lower() in ARCHIVE_SUFFIXES
            way_out = "; it is an archive: unpack it, and name the folder" if archive else ""
            raise DataError(f"{path} is a file; expected a folder of class folders, or a CSV of file,class{way_out}")
        return _of_table_and_lists(path, reading)
    root = scan(path, reading.exclude) if root is None else root
    thumbnails = leave_thumbnails_out(root)
    read = _of_given_parts if reading.parts is not None else _of_folder
    found = read(root, reading)
    if (
        found.several and reading.task is None
    ):  # a part whose images happen to have one label each is read as the others
        found = read(root, replace(reading, task="multilabel"))
    before = (*_system_folders(root), *_archives(root), *other_files(root), *thumbnails)
    return replace(found, findings=(*before, *found.findings))


def _system_folders(root: Folder) -> tuple[Finding, ...]:
    names = sorted({folder.name for folder in root.system_folders})
    if not names:
        return ()
    count = len(root.system_folders)
    return (Finding(Kind.LEFT_OUT, f"{plural(count, 'folder')} of the system or of programs: {listed(names, 5)}"),)


def _archives(root: Folder) -> tuple[Finding, ...]:
    found = [archive.relative_to(root.path).as_posix() for folder in root.walk() for archive in folder.archives]
    if not found:
        return ()
    are = "archive is" if len(found) == 1 else "archives are"
    return (Finding(Kind.LEFT_OUT, f"{len(found):,} {are} not unpacked: {listed(found)}"),)


def _of_table_and_lists(path: Path, reading: Reading, name: str = "") -> Layout:
    """A label file; where it says nothing of parts, and lists beside it do, with the parts of these."""
    layout = _of_label_file(read_label_file(path, reading), name)
    if set(layout.parts) != {ALL} or not reading.find_parts or reading.columns.get("split") == NONE:
        return layout
    classes, folder, findings = layout.parts[ALL], Folder(path.parent), [*layout.findings]
    images = [image for one in classes.values() for image in one]
    lists = find_part_lists(folder, folder, (*reading.exclude, path.name), images)
    if lists is None:
        return replace(layout, findings=(*findings, *unread_splits(folder, folder, {}, (*reading.exclude, path.name))))
    parts = lists.split(classes, findings)
    kind = f"{layout.kind}, parts by lists of files"
    return replace(layout, parts=parts, kind=kind, places=lists.places, findings=tuple(findings))


def other_files(root: Folder) -> tuple[Finding, ...]:
    """What lies in the folders of a source that people may take for images, and that is not read."""
    found = [file for folder in root.walk() for file in folder.other_files]
    if not found:
        return ()
    suffixes = Counter(file.suffix.lower() for file in found)
    each = ", ".join(f"{count:,} {suffix}" for suffix, count in suffixes.most_common(4))
    message = f"{plural(len(found), 'file')} of kinds that are not read as images: {each}"
    return (Finding(Kind.LEFT_OUT, message, len(found), examples_of(found)),)


def _of_label_file(labels: LabelFile, name: str = "") -> Layout:
    kind = f"{'label file ' + name if name else 'label file'} ({labels.words})"
    return Layout(labels.parts, kind, labels.part_words, labels.class_indices, labels.findings, labels.several)


# Folders -------------------------------------------------------------------------------------------------------------


def _of_folder(root: Folder, reading: Reading) -> Layout:
    node = unwrapped(root)
    named = [node.path / name for name in MANIFESTS if node.path / name in node.label_files]
    masks = mask_folders(node)
    found = find_parts(node, masks) if reading.find_parts else PartFolders({})
    if found.parts:
        return _of_parts(root, node, found, masks, reading)
    tops = [folder for folder in node.filled if folder not in masks]
    if len(tops) < 2:
        tables = _part_tables(node)
        if "train" in tables and len(tables) > 1:
            return _of_part_tables(tables, reading)
        labels = _only_label_file(node, named)
        if labels is not None:
            try:
                return _of_table_and_lists(labels, reading, labels.name)
            except DataError:
                if not (tops and tops[0].filled):
                    raise
                return _of_folder_within(root, tops[0], labels, reading)
    if (
        len(tops) == 1
        and not tops[0].filled
        and GENERIC.issuperset(tokens_of(tops[0].name))
        and not reading.classes_from
    ):
        raise _no_classes(tops[0])
    inside = _parts_within_classes(tops, reading)
    if inside is not None:
        return inside
    classes = find_classes(node, reading, root=root.path)
    if not any(classes.images.values()):
        raise _no_classes(node)
    _refuse_other_labels(node, classes, reading)
    if reading.classes_from is None and classes.level == "top":
        refuse_pieces(node, list(classes.images))
    place = "" if node is root else f" in {node.path.relative_to(root.path).as_posix()}"
    kinds = {"top": "class folders", "leaf": "innermost folders as classes", "name": "classes in the names of files"}
    kind = f"{kinds[classes.level]}{place}"
    findings = [*found.findings, *classes.findings]
    lists = _listed_parts(root, node, classes, reading) if reading.find_parts else None
    findings += unread_splits(root, node, lists.places if lists else {}, reading.exclude)
    if lists is not None:
        parts = lists.split(classes.images, findings)
        return Layout(parts, f"{kind}, parts by lists of files", lists.places, findings=tuple(findings))
    return Layout({ALL: classes.images}, kind, findings=tuple(findings))


def _listed_parts(root: Folder, node: Folder, classes: Classes, reading: Reading) -> PartLists | None:
    """The parts that lists or tables beside class folders say."""
    images = [image for one in classes.images.values() for image in one]
    return find_part_lists(root, node, reading.exclude) or find_part_tables(root, node, images, reading)


def _of_folder_within(root: Folder, node: Folder, table: Path, reading: Reading) -> Layout:
    """The one folder beside a table that says nothing of classes."""
    found = _of_folder(node, reading)
    inside = node.path.relative_to(root.path)
    places = {part: (inside / place).as_posix() for part, place in found.places.items()}
    note = Finding(Kind.NOTE, f"{table.name} is not read: it is no table of files and classes")
    return replace(found, places=places, findings=(note, *found.findings))


def _of_parts(root: Folder, node: Folder, found: PartFolders, masks: Sequence[Folder], reading: Reading) -> Layout:
    findings = [*found.findings]
    if not any(unwrapped(folder).filled or folder.label_files for folder in found.parts.values()):
        labels = _only_label_file(node, (), strict="train" not in _part_tables(node))
        if labels is not None and part_name(labels.stem) is None:
            return _of_label_file(read_label_file(labels, reading), labels.name)
    parts, places, kinds, level, several = {}, {}, set(), None, False
    for part in PARTS:
        folder = found.parts.get(part)
        if folder is None:
            continue
        classes = _labels_of_part(part, folder, node, reading, level, findings)
        if classes is None:
            continue
        parts[part], kind, level = classes.images, classes.kind, classes.level or level
        places[part] = classes.place.relative_to(root.path).as_posix()
        kinds.add(kind)
        several |= classes.several
    for folder in found.empty:
        findings.append(Finding(Kind.NOTE, f"{folder.path} holds no images"))
    left = [folder for folder in (*found.others, *masks) if folder.count]
    for folder in left:
        message = f"{plural(folder.count, 'image')} in {folder.path}, beside the parts of the data"
        findings.append(Finding(Kind.LEFT_OUT, message, folder.count, examples_of(folder.all_images)))
    if node.images:
        message = f"{plural(len(node.images), 'image')} directly in {node.path}, in no part and no class"
        findings.append(Finding(Kind.LEFT_OUT, message, len(node.images), examples_of(sorted(node.images))))
    in_order = {part: parts[part] for part in sorted(parts, key=lambda part: found.parts[part].name)}
    kind = f"part folders of {' and '.join(sorted(kinds))}"
    return Layout(in_order, kind, places, findings=tuple(findings), several=several)


@dataclass(frozen=True)
class _Part:
    images: dict[str, list[Path]]
    kind: str
    level: str | None
    place: Path
    several: bool = False


def _labels_of_part(
    part: str, folder: Folder, node: Folder, reading: Reading, level: str | None, findings: list[Finding]
) -> _Part | None:
    """The classes of a part: of its class folders, or of a label file in it or called like it; None if it has none."""
    inner = unwrapped(folder)
    if inner.filled or reading.classes_from == "name":
        classes = find_classes(inner, reading, level)
        findings += classes.findings
        kind = "classes in the names of files" if classes.level == "name" else "class folders"
        return _Part(classes.images, kind, classes.level, inner.path)
    for path in (_only_label_file(inner, (), strict=part == "train"), _part_tables(node).get(part)):
        if path is None:
            continue
        try:
            labels = read_label_file(path, reading, inner.path)
        except DataError:
            if part == "train":
                raise
            continue
        findings += labels.findings
        return _Part(_together(labels), f"images with a label file ({labels.words})", None, path, labels.several)
    if part == "train":
        raise _no_classes(inner)
    message = f"{plural(inner.count, 'image')} in {inner.path}, in no class folder: taken for unlabeled"
    findings.append(Finding(Kind.LEFT_OUT, message, inner.count, examples_of(inner.all_images)))
    return None


def _no_classes(node: Folder) -> DataError:
    path = node.path
    named = classes_in_names(node.images)
    hint = ""
    if "" not in named and 2 <= len(named) <= len(node.images) / 2:
        hint = f"; or, as the files' names begin with {listed(sorted(named))}, say {told(classes_from='name')}"
    if not node.count and (others := other_files(node)):
        hint += f"; it holds {others[0].message}"
    return DataError(
        f"{path} holds no images in class folders; expected {path}/<class>/<image>, or a CSV of file,class that says "
        f"which image is of which class{hint}"
    )


def _of_given_parts(root: Folder, reading: Reading) -> Layout:
    findings: list[Finding] = []
    parts, places, level, several = {}, {}, None, False
    for part in PARTS:
        given = (reading.parts or {}).get(part)
        if given is None:
            continue
        path = root.path / given
        if not path.exists():
            raise DataError(f"{path}, which is to hold the {part} images, does not exist")
        if path.is_dir():
            inner = unwrapped(scan(path, reading.exclude))
            classes = find_classes(inner, reading, level)
            level, images = classes.level, classes.images
            findings += classes.findings
        else:
            labels = read_label_file(path, reading)
            findings += labels.findings
            images, several = _together(labels), several | labels.several
        parts[part], places[part] = images, given
    return Layout(parts, "parts as they were named", places, findings=tuple(findings), several=several)


def _parts_within_classes(tops: Sequence[Folder], reading: Reading) -> Layout | None:
    """The parts of a source whose class folders hold them: ``cat/train``, ``cat/test``, ``dog/train`` …"""
    if not reading.find_parts or len(tops) < 2:
        return None
    parts: dict[str, dict[str, list[Path]]] = {}
    for top in tops:
        named = [(inner, part_name(inner.name)) for inner in top.filled]
        if top.images or len(named) < 2 or any(name is None or name.rest or inner.filled for inner, name in named):
            return None
        for inner, name in named:
            if name is not None:
                parts.setdefault(name.part, {}).setdefault(top.name, []).extend(inner.all_images)
    if "train" not in parts:
        return None
    return Layout(parts, "class folders of part folders", {part: f"<class>/{part}" for part in parts})


# Label files beside folders ------------------------------------------------------------------------------------------


def _only_label_file(node: Folder, named: Sequence[Path], *, strict: bool = True) -> Path | None:
    """The label file of a folder of images without class folders.

    Raises:
        DataError: If there are several, and ``strict``.
    """
    known = [*named, *(node.path / name for name in MANIFESTS if node.path / name in node.label_files)]
    if known:
        return known[0]
    if len(node.label_files) == 1:
        return node.label_files[0]
    if strict and 1 < len(node.label_files) <= MOST_LABEL_FILES and not node.filled[1:]:
        first = node.label_files[0]
        names = listed([file.name for file in node.label_files], 4)
        raise DataError(f"{node.path} holds no class folders, but several tables: {names}; name one, such as {first}")
    return None


def _part_tables(node: Folder) -> dict[str, Path]:
    """Part → the label file in a folder that is called like it, if no other is."""
    found: dict[str, list[Path]] = {}
    for file in node.label_files:
        name = part_name(file.stem)
        if name is not None:
            found.setdefault(name.part, []).append(file)
    return {part: files[0] for part, files in found.items() if len(files) == 1}


def _of_part_tables(tables: Mapping[str, Path], reading: Reading) -> Layout:
    """Parts by label files that are called like them; one that gives no classes, as in competitions, is left out."""
    findings: list[Finding] = []
    parts, places, several = {}, {}, False
    for part, path in tables.items():
        try:
            labels = read_label_file(path, reading)
        except DataError as error:
            if part == "train":
                raise
            findings.append(Finding(Kind.LEFT_OUT, f"{path.name}, which gives no images with classes ({error})"))
            continue
        findings += labels.findings
        parts[part], places[part] = _together(labels), path.name
        several |= labels.several
    kind = f"label files {listed(sorted(places.values()))}"
    return Layout(parts, kind, places, findings=tuple(findings), several=several)


def _together(labels: LabelFile) -> dict[str, list[Path]]:
    """The images of a label file by class, whatever part it says."""
    images: dict[str, list[Path]] = {}
    for by_class in labels.parts.values():
        for label, found in by_class.items():
            images[label] = images.get(label, []) + found
    return images


def _refuse_other_labels(node: Folder, classes: Classes, reading: Reading) -> None:
    """Raise if a label file in a folder of class folders gives their images other classes."""
    if len(node.label_files) > MOST_LABEL_FILES:
        return
    folder_of = {image: name for name, images in classes.images.items() for image in images}
    for file in node.label_files:
        try:
            labels = read_label_file(file, reading) if file.stat().st_size <= MOST_LABEL_BYTES else None
        except (DataError, OSError):
            continue  # it is about something else
        pairs = {
            (folder_of.get(image, ""), label)
            for by_class in (labels.parts.values() if labels else ())
            for label, images in by_class.items()
            for image in images
        } - {("", "")}
        if len({folder for folder, _ in pairs}) < len(pairs) or len({label for _, label in pairs}) < len(pairs):
            raise DataError(
                f"{node.path} holds the folders {listed(list(classes.images))}, and {file.name} gives their images "
                f"other classes: {listed(sorted({label for _, label in pairs}))}; name {file} to use it, or say "
                f"{told(exclude=(file.name,), classes_from='top')} to use the folders"
            )
