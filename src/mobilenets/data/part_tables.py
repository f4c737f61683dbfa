"""Tables beside class folders that say which part an image is in: ``train.csv``, a column of the split, numbered lists.

The classes are those of the folders. What is called like a split and cannot be read is named, as its test images would
be trained on.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from mobilenets.data.findings import Finding, Kind, listed
from mobilenets.data.label_files import ALL, LabelFile, read_label_file
from mobilenets.data.part_lists import LEAST_FOUND, MOST_LIST_BYTES, Listed, PartLists, as_part_lists
from mobilenets.data.parts import part_name, tokens_of
from mobilenets.data.reading import NONE, Reading, told
from mobilenets.data.tree import LABEL_SUFFIXES, Folder
from mobilenets.errors import DataError

MOST_TABLES = 20
"""With more tables than this in a folder, they are annotations of single images."""
SPLIT_WORDS = frozenset({"split", "splits", "fold", "folds", "partition", "partitions"})
LIST_WORDS = frozenset({"label", "labels", "list", "lists", "annotation", "annotations", "id", "ids", "name", "names"})
"""What else such a file is called: ``val_annotations.txt``; ``training_log.csv`` is something else."""
SPLIT_SUFFIXES = LABEL_SUFFIXES | {".txt", ".lst", ".list", ".mat", ".npy", ".npz", ".pkl", ".xlsx", ".parquet"}
NUMBERS, FLAGS = "images.txt", "train_test_split.txt"
"""CUB-200-2011's files of the numbers of images and of their parts: 1 for training, 0 for testing."""


def find_part_tables(root: Folder, node: Folder, images: Iterable[Path], reading: Reading) -> PartLists | None:
    """The parts that tables beside class folders give to their images; None where no table says any.

    Args:
        root: The source.
        node: The folder that holds the class folders.
        images: The images of the classes.
        reading: What cannot be told from the tables, and which of them to leave out.

    Raises:
        DataError: If tables contradict each other, or a table of the images names parts by unknown words.
    """
    known = frozenset(images)
    folders = list(beside(root, node))
    for folder in folders:
        numbered = _numbered(folder.path, root, known, reading)
        if numbered is not None:
            return numbered
    found = [
        one
        for folder in folders
        if len(folder.label_files) <= MOST_TABLES
        for file in folder.label_files
        for one in _parts_of(file, root, node, known, reading)
    ]
    return as_part_lists(root, found, known)


def unread_splits(root: Folder, node: Folder, used: Mapping[str, str], exclude: Iterable[str]) -> list[Finding]:
    """A note on files that are called like a split, and were not read as one.

    Args:
        root: The source.
        node: The folder that holds the class folders.
        used: Part → what its list is called.
        exclude: Names of files that are left out on purpose.
    """
    read = " ".join(used.values())
    names = [
        place
        for folder in beside(root, node)
        for file in sorted(folder.path.iterdir())
        if file.suffix.lower() in SPLIT_SUFFIXES and file.name not in exclude and _says_split(file.stem)
        if (place := file.relative_to(root.path).as_posix()) not in read
    ]
    if not names or used:
        return []
    verb, if_said = ("is", "it says") if len(names) == 1 else ("are", "they say")
    message = (
        f"{listed(names)} {verb} not read; if {if_said} which images are for testing, list those in a file test.txt "
        f"beside it, one <class>/<image> a line"
    )
    return [Finding(Kind.WARNING, message)]


def beside(root: Folder, node: Folder) -> Iterator[Folder]:
    """The folders whose files speak of all images: the source, the folder of the classes, those without images."""
    seen = set()
    for near in (root, node):
        for folder in (near, *(inner for inner in near.folders if not inner.count)):
            if folder.path not in seen:
                seen.add(folder.path)
                yield folder


def _says_split(stem: str) -> bool:
    named = part_name(stem)
    of_part = named is not None and LIST_WORDS.issuperset(named.rest.split())
    return of_part or not SPLIT_WORDS.isdisjoint(tokens_of(stem))


def _parts_of(file: Path, root: Folder, node: Folder, known: frozenset[Path], reading: Reading) -> Iterator[Listed]:
    """The parts that one table says."""
    if file.stat().st_size > MOST_LIST_BYTES:
        return
    table, mistake = _read(file, node, known, reading)
    if table is None:
        return
    if mistake is not None:  # the images are these, and only the words of the split are not known
        raise mistake
    place, named = file.relative_to(root.path).as_posix(), part_name(file.stem)
    if set(table.parts) == {ALL} and named is not None:
        yield Listed(named.part, _images(table) & known, place)
    for part, by_class in table.parts.items():
        if part != ALL:
            images = frozenset(image for one in by_class.values() for image in one)
            yield Listed(part, images & known, place, f"{place}, {table.part_words[part]}")


def _read(
    file: Path, node: Folder, known: frozenset[Path], reading: Reading
) -> tuple[LabelFile | None, DataError | None]:
    """A table of these images, or None; the error that its split raises, if it raises one."""
    try:
        table, mistake = read_label_file(file, reading, node.path), None
    except DataError as error:
        mistake = error
        try:
            unsplit = replace(reading, columns={**reading.columns, "split": NONE}, split_words={})
            table = read_label_file(file, unsplit, node.path)
        except DataError:
            return None, None
        if "split" not in str(mistake):
            return None, None
        mistake = DataError(f"{mistake}; or leave the table out with {told(exclude=(file.name,))}")
    images = _images(table)
    return (table, mistake) if len(images & known) >= LEAST_FOUND * len(images) else (None, None)


def _images(table: LabelFile) -> frozenset[Path]:
    return frozenset(file for by_class in table.parts.values() for files in by_class.values() for file in files)


def _numbered(folder: Path, root: Folder, known: frozenset[Path], reading: Reading) -> PartLists | None:
    """The parts of CUB-200-2011: a file numbers the images, another says of each number whether it trains."""
    if {NUMBERS, FLAGS} & set(reading.exclude):
        return None
    names, flags = _pairs(folder / NUMBERS), _pairs(folder / FLAGS)
    if not flags or not set(flags.values()) <= {"0", "1"}:
        return None
    by_tail = {f"{image.parent.name}/{image.name}": image for image in known}
    tails = {number: "/".join(name.replace("\\", "/").split("/")[-2:]) for number, name in names.items()}
    images = {number: by_tail[tail] for number, tail in tails.items() if tail in by_tail}
    if len(images.keys() & flags.keys()) < LEAST_FOUND * len(flags):
        return None
    place = (folder / FLAGS).relative_to(root.path).as_posix()
    found = [
        Listed(part, frozenset(images[one] for one in images if flags.get(one) == flag), place, f"{place}, {flag}")
        for part, flag in (("train", "1"), ("test", "0"))
    ]
    return as_part_lists(root, [one for one in found if one.images], known)


def _pairs(file: Path) -> dict[str, str]:
    """The lines of a file of two columns; none where it is not there or something else."""
    try:
        if file.stat().st_size > MOST_LIST_BYTES:
            return {}
        rows = [line.split(maxsplit=1) for line in file.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError):
        return {}
    return {row[0]: row[1].strip() for row in rows} if all(len(row) == 2 for row in rows) else {}
