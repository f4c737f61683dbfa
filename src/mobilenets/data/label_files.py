"""Files that say of which class images are: tables of any program, as images by class and part."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from mobilenets.base.text import plural
from mobilenets.data.columns import (
    UNSURE_SPLIT_NAMES,
    Columns,
    choices_of,
    find_columns,
    is_yes,
    simplified,
    words_hint,
)
from mobilenets.data.file_finder import FileFinder
from mobilenets.data.findings import Finding, Kind, examples_of, listed
from mobilenets.data.label_table import LabelTable
from mobilenets.data.parts import part_of_word
from mobilenets.data.reading import NONE, OMIT, Reading, told
from mobilenets.data.separators import labels_in, several_labels
from mobilenets.data.tables import read_label_table
from mobilenets.errors import DataError

NO_LABEL = ""
"""What images without any label stand under, where an image may have several."""
ALL = "all"
"""The part of images that are in no part."""
MOST_LEFT_OUT = 0.1
"""Share of the images of a table that may contradict each other, or be missing, before it is an error."""
NO_CLASS = frozenset({"nan", "null", "<na>", "n/a", "#n/a"})
"""How programs write that there is no class, in lower case."""
BLANK = "blank"
"""How an empty cell of the split column is called in ``Reading.split_words``."""


@dataclass(frozen=True)
class LabelFile:
    """What a label file says.

    Attributes:
        parts: Part → class → images.
        words: How the file was understood.
        part_words: Part → what it is called in the file.
        class_indices: Class → its number in the set that it was taken from, if the file says so.
        findings: What its owner should know of.
        several: Whether an image may stand under several classes, or under :data:`NO_LABEL`.
    """

    parts: Mapping[str, Mapping[str, list[Path]]]
    words: str
    part_words: Mapping[str, str]
    class_indices: Mapping[str, int]
    findings: tuple[Finding, ...]
    several: bool = False


@dataclass(frozen=True)
class _Row:
    line: int
    file: str
    labels: tuple[str, ...]
    part: str


def read_label_file(path: Path, reading: Reading, folder: Path | None = None) -> LabelFile:
    """Read a label file.

    Args:
        path: A table; see :func:`~mobilenets.data.tables.read_label_table`. The files that it names are looked for in
            its folder.
        reading: What cannot be told from the file.
        folder: A folder that the files are looked for in before that.

    Raises:
        DataError: If the file is no such table, names parts by unknown words, or more than a tenth of its images are
            not there or stand under several classes.
    """
    table = read_label_table(path)
    if not table.rows:
        raise DataError(f"{path} needs the columns file and class, and at least one row")
    columns = find_columns(table, reading)
    findings: list[Finding] = [*table.findings, *_other_split(table, columns)]
    parts, indices = parts_of_rows(table, columns, reading), _indices(table, columns)
    several, separator = several_labels(table, columns, reading)
    rows = _rows(table, columns, parts, findings, separator, several=several)
    rows = _without_excluded(rows, reading.exclude, findings)
    folders = [path.parent] if folder is None else [folder, path.parent]
    finder = FileFinder(*(folders if reading.images_in is None else [Path(reading.images_in)]))
    located = _located(rows, finder, path, findings)
    chosen = _all_labels(located) if several else _without_contradictions(located, path, findings)
    by_part: dict[str, dict[str, list[Path]]] = {}
    for file, (label, part) in chosen:
        by_part.setdefault(part, {}).setdefault(label, []).append(file)
    words = f"{columns.words(table)}{', several labels an image' if several else ''}"
    return LabelFile(by_part, words, part_words(table, columns, parts), indices, tuple(findings), several)


def _rows(
    table: LabelTable,
    columns: Columns,
    parts: Sequence[str],
    findings: list[Finding],
    separator: str | None,
    *,
    several: bool,
) -> list[_Row]:
    rows, unlabeled, omitted = [], [], 0
    for line, cells, part in zip(table.lines, table.rows, parts, strict=True):
        file, labels = cells[columns.file], _labels(table, columns, cells, separator)
        empty = len(columns.labels) == 1 and not cells[columns.labels[0]] and not several
        if not file or (empty and not table.path.suffix.lower().startswith(".j")):
            name = table.columns[columns.labels[0]] if table.columns else "class"
            raise DataError(f"{table.path}, line {line}: file or {name} is empty")
        if part == OMIT:
            omitted += 1
        elif not labels and not several:
            unlabeled.append(file)
        else:
            rows.append(_Row(line, file, labels, part))
    if omitted:
        findings.append(Finding(Kind.LEFT_OUT, f"{plural(omitted, 'image')} whose split is to be omitted", omitted))
    if unlabeled:
        message = f"{plural(len(unlabeled), 'image')} without a class in {table.path.name}"
        findings.append(Finding(Kind.LEFT_OUT, message, len(unlabeled), examples_of(unlabeled)))
    if not any(row.labels for row in rows):
        raise DataError(f"{table.path} gives no image a class")
    return rows


def _without_excluded(rows: list[_Row], exclude: Sequence[str], findings: list[Finding]) -> list[_Row]:
    """The rows without the classes and the files that are to be left out; ``*`` stands for anything."""

    def matches(name: str) -> bool:
        return any(fnmatchcase(name, pattern) for pattern in exclude)

    def is_excluded(row: _Row) -> bool:
        name = row.file.replace("\\", "/")
        return any(map(matches, (name, *name.split("/")))) or (bool(row.labels) and all(map(matches, row.labels)))

    left = [row for row in rows if is_excluded(row)] if exclude else []
    if left:
        message = f"{plural(len(left), 'image')} of what is to be left out"
        findings.append(Finding(Kind.LEFT_OUT, message, len(left), examples_of(row.file for row in left)))
    return [row for row in rows if row not in left] if left else rows


def _labels(table: LabelTable, columns: Columns, cells: Sequence[str], separator: str | None = None) -> tuple[str, ...]:
    if len(columns.labels) > 1:
        return tuple(table.columns[number] for number in columns.labels if is_yes(cells[number]))
    cell = cells[columns.labels[0]]
    if not cell or cell.casefold() in NO_CLASS:
        return ()
    choices = choices_of(cell)
    return tuple(labels_in(cell, separator) if separator is not None and choices == [cell] else choices)


# Parts ---------------------------------------------------------------------------------------------------------------


def parts_of_rows(table: LabelTable, columns: Columns, reading: Reading) -> list[str]:
    """The part of every row; ``omit`` of those that are left out.

    Raises:
        DataError: If words of the split column are not known.
    """
    if columns.split is None:
        return [ALL] * len(table.rows)
    cells = table.column(columns.split)
    said = {word.casefold().strip(): part for word, part in reading.split_words.items()}
    if columns.flag is not None and not said:
        return [columns.flag if is_yes(cell) else _opposite(columns.flag) for cell in cells]
    known = {cell: said.get((cell or BLANK).casefold()) or part_of_word(cell) for cell in set(cells)}
    if said and all(cell.isdecimal() for cell in cells):  # folds
        known = {cell: part or "train" for cell, part in known.items()}
    unknown = sorted(cell for cell, part in known.items() if part is None)
    if unknown == [""] and "" in cells and len(known) == 1:
        return [ALL] * len(cells)
    if unknown:
        raise _unknown_words(table, columns, cells, unknown)
    return [known[cell] or ALL for cell in cells]


def part_words(table: LabelTable, columns: Columns, parts: Sequence[str]) -> dict[str, str]:
    """Part → the words of the split column that stand for it."""
    if columns.split is None:
        return {}
    found: dict[str, list[str]] = {}
    for cell, part in sorted(set(zip(table.column(columns.split), parts, strict=True))):
        found.setdefault(part, []).append(cell or BLANK)
    name = table.columns[columns.split] if table.columns else f"column {columns.split + 1}"
    return {part: f"{name} {listed(words)}" for part, words in found.items()}


def _opposite(part: str) -> str:
    return "test" if part == "train" else "train"


def _unknown_words(table: LabelTable, columns: Columns, cells: Sequence[str], unknown: Sequence[str]) -> DataError:
    counts = Counter(cells)
    column = f"the column {table.columns[columns.split or 0]}" if table.columns else "the first column"
    if "" in unknown and len(unknown) == 1:
        return DataError(
            f"{table.path}: some rows name a split and some do not ({counts['']:,} are blank); "
            f"say {told(split_words={BLANK: 'train'})}, or omit in place of train"
        )
    found = listed([f"{word or BLANK} ({count:,})" for word, count in counts.most_common()], 8)
    if all(word.isdecimal() for word in unknown):
        first, *others = sorted(unknown, key=int)
        example = {first: "validation", **({others[0]: "test"} if len(others) > 1 else {})}
        return DataError(
            f"{table.path}: {column} holds numbers, as folds do: {found}; say which are not for training, such as "
            f"{told(split_words=example)}, or {told(columns={'split': NONE})} to have the parts drawn"
        )
    return DataError(
        f"{table.path}: {column} holds words that are not known for train, validation or test: {found}; "
        f"say what they mean, such as {words_hint([word or BLANK for word in unknown])} (or omit), "
        f"or {told(columns={'split': NONE})} to have the parts drawn"
    )


def _other_split(table: LabelTable, columns: Columns) -> list[Finding]:
    """Columns that might be a split and are not read as one."""
    found = []
    for number, name in enumerate(table.columns):
        if columns.split is not None or number in (columns.file, *columns.labels):
            continue
        if simplified(name) in UNSURE_SPLIT_NAMES:
            words = sorted(set(table.column(number)))
            if 1 < len(words) <= 10:
                reading = told(columns={"split": name})
                message = f"the column {name} ({listed(words)}) is not read as a split; with {reading} it is"
                found.append(Finding(Kind.NOTE, message))
    return found


# Files ---------------------------------------------------------------------------------------------------------------


def _located(rows: Sequence[_Row], finder: FileFinder, path: Path, findings: list[Finding]) -> list[tuple[Path, _Row]]:
    located, missing = [], []
    for row in rows:
        found = finder.find(row.file)
        if found is None:
            missing.append(row.file)
            found = path.parent / row.file  # named as unreadable when the images are read
        located.append((found, row))
    if len(missing) > MOST_LEFT_OUT * len(rows):
        raise DataError(
            f"{len(missing):,} of the {len(rows):,} images that {path} names are not there, nor anywhere below "
            f"{path.parent}: {listed(missing)}; say where they are with {told(images_in='FOLDER')}"
        )
    if finder.searched:
        name, file = finder.searched[0]
        message = f"{plural(len(finder.searched), 'image')} found by the end of the path, such as {file} for {name}"
        findings.append(Finding(Kind.NOTE, message, len(finder.searched)))
    return located


def _all_labels(located: Sequence[tuple[Path, _Row]]) -> list[tuple[Path, tuple[str, str]]]:
    """Every file with each of its labels and its part; one without any with :data:`NO_LABEL`."""
    labels: dict[tuple[Path, str], dict[str, None]] = {}
    for file, row in located:
        labels.setdefault((file, row.part), {}).update(dict.fromkeys(row.labels))
    return [(file, (label, part)) for (file, part), found in labels.items() for label in found or (NO_LABEL,)]


def _without_contradictions(
    located: Sequence[tuple[Path, _Row]], path: Path, findings: list[Finding]
) -> list[tuple[Path, tuple[str, str]]]:
    """Every file once, with its class and part; those of several classes are left out."""
    classes: dict[Path, set[str]] = defaultdict(set)
    for file, row in located:
        classes[file].update(row.labels)
    several = {file: sorted(labels) for file, labels in classes.items() if len(labels) > 1}
    examples = [f"{file.name} ({', '.join(labels[:3])})" for file, labels in several.items()]
    if len(several) > MOST_LEFT_OUT * len(classes):
        raise DataError(
            f"{path} gives {len(several):,} of {len(classes):,} images more than one class: {listed(examples)}; "
            f"a classifier needs one class for each image; say {told(task='multilabel')} if images have several"
        )
    if several:
        message = f"{plural(len(several), 'image')} to which {path.name} gives more than one class"
        findings.append(Finding(Kind.LEFT_OUT, message, len(several), examples_of(examples)))
    kept: dict[tuple[Path, str], str] = {}
    repeated = 0
    for file, row in located:
        if file in several:
            continue
        repeated += (file, row.part) in kept
        kept.setdefault((file, row.part), row.labels[0])
    if repeated:
        findings.append(Finding(Kind.NOTE, f"{plural(repeated, 'row')} of {path.name} repeat an image", repeated))
    return [(file, (label, part)) for (file, part), label in kept.items()]


def _indices(table: LabelTable, columns: Columns) -> dict[str, int]:
    """The number of every class, where a column gives each class one; a column that numbers rows gives none."""
    if columns.index is None or len(columns.labels) > 1:
        return {}
    found: dict[str, int] = {}
    for line, row in zip(table.lines, table.rows, strict=True):
        cell, label = row[columns.index], row[columns.labels[0]]
        if not cell:
            continue
        if not cell.isdecimal():
            raise DataError(f"{table.path}, line {line}: index must be an integer, not {cell!r}")
        if found.setdefault(label, int(cell)) != int(cell):
            return {}
    return found
