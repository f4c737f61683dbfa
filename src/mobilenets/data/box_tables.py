"""Boxes in tables: a row a box, with a column for each of its four numbers or one for all."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import assert_never

from mobilenets.data.box_annotations import AnnotatedBox, AnnotatedImage, BoxLayout, are_shares, part_of_path, size_of
from mobilenets.data.columns import (
    CLASS_NAMES,
    FILE_NAMES,
    Columns,
    first_of,
    is_yes,
    simplified,
    split_column,
)
from mobilenets.data.file_finder import FileFinder
from mobilenets.data.findings import Finding, Kind
from mobilenets.data.label_files import ALL, part_words, parts_of_rows
from mobilenets.data.label_table import LabelTable, looks_like_file
from mobilenets.data.parts import part_name, part_of_word
from mobilenets.data.reading import NONE, OMIT, Reading, told
from mobilenets.data.tables import read_label_table
from mobilenets.errors import DataError

ONLY_CLASS = "object"
"""What the objects of a table without a class column are called."""
_HEAD_BYTES = 8192
_EMPTY = frozenset({"", "nan", "null", "none", "n/a", "na"})


class BoxForm(StrEnum):
    """What the four numbers of a box are."""

    CORNERS = "left, top, right and bottom"
    SIDES = "left, top, width and height"
    CENTRE = "centre, width and height"


def _pairs(text: str) -> tuple[tuple[str, ...], ...]:
    return tuple(tuple(row.split()) for row in text.strip().splitlines())


_FORMS: Mapping[BoxForm, tuple[tuple[str, ...], ...]] = {
    BoxForm.CORNERS: _pairs(
        "xmin ymin xmax ymax\nx0 y0 x1 y1\nx1 y1 x2 y2\nleft top right bottom\nminx miny maxx maxy"
    ),
    BoxForm.SIDES: _pairs("x y w h\nx y width height\nxmin ymin width height\nleft top width height"),
    BoxForm.CENTRE: _pairs("xcenter ycenter width height\nxcentre ycentre width height\ncx cy w h\nxc yc w h"),
}
_PREFIXES = ("", "bbox", "box", "boundingbox", "bb")
_IN_ONE = ("bbox", "box", "boundingbox", "bndbox")
_WIDTHS, _HEIGHTS = ("width", "imagewidth", "imgwidth", "imwidth"), ("height", "imageheight", "imgheight", "imheight")
_IGNORED = ("iscrowd", "isgroupof", "difficult", "ignore", "ignored")


@dataclass(frozen=True)
class BoxColumns:
    """Columns of a table by what they say.

    Attributes:
        form: What the numbers are.
        numbers: The four columns, or the one that holds a list of four.
        file: The column that names the image.
        label: The column of the class; None where there is only one class.
        size: The columns of the image's width and height, if there are any.
        ignored: The column that says whether the object counts, if there is one.
    """

    form: BoxForm
    numbers: tuple[int, ...]
    file: int
    label: int | None
    size: tuple[int, int] | None = None
    ignored: int | None = None


def is_box_table(path: Path) -> bool:
    """Whether a table has columns of boxes, as far as its first line says."""
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
    except OSError:
        return False
    encoding = "utf-16" if head[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    lines = [line for line in head.decode(encoding, errors="replace").splitlines() if line.strip()]
    if not lines:
        return False
    cells = [cell.strip().strip("\"'") for cell in re.split(r"[,;\t|]", lines[0])]
    return _numbers(cells) is not None or _without_header(cells) is not None


def read_box_tables(files: Sequence[Path], root: Path, reading: Reading) -> BoxLayout:
    """Read one table of all boxes, or one for each part.

    Args:
        files: The tables.
        root: The source.
        reading: What cannot be told from them.

    Raises:
        DataError: If a number is missing or is none, or a column cannot be found.
    """
    images: list[AnnotatedImage] = []
    findings: list[Finding] = []
    places: dict[str, str] = {}
    for file in files:
        named = part_name(file.stem)
        part = named.part if named is not None else part_of_path(file, root)
        found = _read(file, root, part if len(files) > 1 else None, reading, findings)
        places |= found.places if part == ALL or len(files) == 1 else {part: _inside(file, root)}
        images += found.images
    labels = sorted({box.label for image in images for box in image.boxes})
    return BoxLayout(tuple(images), tuple(labels), f"table of boxes ({images[0].origin.name})", places, tuple(findings))


def _inside(file: Path, root: Path) -> str:
    return file.relative_to(root).as_posix() if file != root and file.is_relative_to(root) else file.name


def _read(file: Path, root: Path, part: str | None, reading: Reading, findings: list[Finding]) -> BoxLayout:
    table = read_label_table(file)
    findings += table.findings
    columns = _columns(table, reading)
    split, flag = (
        split_column(table, [simplified(name) for name in table.columns], reading)
        if table.columns
        else _word_column(table)
    )
    described = Columns(columns.file, (), split, flag)
    parts = parts_of_rows(table, described, reading) if part is None else [part] * len(table.rows)
    boxes = _boxes_of_rows(table, columns)
    in_shares = are_shares(boxes)
    finder = FileFinder(*([file.parent, root] if reading.images_in is None else [Path(reading.images_in)]))
    images: dict[tuple[str, str], list[AnnotatedBox]] = {}
    sizes: dict[str, tuple[int, int] | None] = {}
    for row, box, where in zip(table.rows, boxes, parts, strict=True):
        if where == OMIT:
            continue
        name = row[columns.file]
        if not name:
            raise DataError(f"{file}: a row has no name of an image")
        images.setdefault((name, where), []).extend([] if box is None else [box])
        sizes[name] = _size(row, columns)
    if columns.label is None:
        findings.append(
            Finding(Kind.NOTE, f"{file.name} has no column of classes: all objects are of one class, {ONLY_CLASS}")
        )
    found = tuple(
        AnnotatedImage(finder.find(name) or file.parent / name, file, tuple(boxes), where, sizes[name], in_shares)
        for (name, where), boxes in images.items()
    )
    return BoxLayout(found, (), "", part_words(table, described, parts) if part is None else {})


# Columns -------------------------------------------------------------------------------------------------------------


def _key(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", simplified(name))


def _numbers(columns: Sequence[str]) -> tuple[BoxForm, tuple[int, ...]] | None:
    """The columns of the four numbers, or of a list of them."""
    keys = [_key(column) for column in columns]
    for form, rows in _FORMS.items():
        for names in rows:
            for prefix in _PREFIXES:
                wanted = [f"{prefix}{name}" for name in names]
                if all(name in keys for name in wanted):
                    return form, tuple(keys.index(name) for name in wanted)
    whole = next((keys.index(name) for name in _IN_ONE if name in keys), None)
    return None if whole is None else (BoxForm.SIDES, (whole,))


def _without_header(cells: Sequence[str]) -> BoxColumns | None:
    """The columns of a table without a header.

    These are ``file,x1,y1,x2,y2,class``; ``class,x,y,w,h,file,width,height``; or a part, a file, a class and corners.
    """
    if len(cells) == 6 and looks_like_file(cells[0]) and all(_is_number(cell) for cell in cells[1:5]):
        return BoxColumns(BoxForm.CORNERS, (1, 2, 3, 4), 0, 5)
    if len(cells) == 8 and looks_like_file(cells[5]) and all(_is_number(cells[n]) for n in (1, 2, 3, 4, 6, 7)):
        return BoxColumns(BoxForm.SIDES, (1, 2, 3, 4), 5, 0, (6, 7))
    if len(cells) in (10, 11) and looks_like_file(cells[1]) and all(_is_number(cells[n]) for n in (3, 4, 7, 8)):
        return BoxColumns(BoxForm.CORNERS, (3, 4, 7, 8), 1, 2)
    return None


def _columns(table: LabelTable, reading: Reading) -> BoxColumns:
    if not table.columns:
        found = next((found for row in table.rows if (found := _without_header(row)) is not None), None)
        if found is None:
            raise DataError(f"{table.path} has no header; expected rows of file,left,top,right,bottom,class")
        return found
    numbers = _numbers(table.columns)
    if numbers is None:
        raise DataError(f"{table.path} has no columns of boxes, such as xmin,ymin,xmax,ymax")
    form, places = numbers
    names = [simplified(column) for column in table.columns]
    keys = [_key(column) for column in table.columns]
    free = [number for number in range(table.width) if number not in places]
    file = _wanted(table, "file", reading)
    if file is None:
        file = first_of(names, FILE_NAMES, free.__contains__)
    if file is None:
        raise DataError(
            f"{table.path} needs a column that names the image; its header is {', '.join(table.columns)[:160]!r}; "
            f"say {told(columns={'file': 'NAME'})}"
        )
    label = _wanted(table, "class", reading)
    if label is None:
        label = first_of(names, CLASS_NAMES, lambda number: number in free and number != file)
    width, height = (next((keys.index(name) for name in sides if name in keys), None) for sides in (_WIDTHS, _HEIGHTS))
    size = None if width is None or height is None or {width, height} & set(places) else (width, height)
    ignored = next((keys.index(name) for name in _IGNORED if name in keys), None)
    return BoxColumns(form, places, file, label, size, ignored)


def _wanted(table: LabelTable, purpose: str, reading: Reading) -> int | None:
    wanted = reading.columns.get(purpose)
    if wanted is None or wanted == NONE:
        return None
    names = [simplified(column) for column in table.columns]
    if simplified(wanted) not in names:
        raise DataError(f"{table.path} has no column {wanted}; it has {', '.join(table.columns)}")
    return names.index(simplified(wanted))


def _word_column(table: LabelTable) -> tuple[int | None, str | None]:
    """The column of the part in a table without a header."""
    columns = range(table.width)
    return next((n for n in columns if all(part_of_word(cell) for cell in table.column(n))), None), None


# Rows ----------------------------------------------------------------------------------------------------------------


def _boxes_of_rows(table: LabelTable, columns: BoxColumns) -> list[AnnotatedBox | None]:
    """The box of each row; None where a row says that nothing is in its image."""
    found: list[AnnotatedBox | None] = []
    for line, row in zip(table.lines, table.rows, strict=True):
        cells = [row[number] for number in columns.numbers]
        if all(cell.casefold() in _EMPTY for cell in cells):
            found.append(None)
            continue
        place = f"line {line}"
        numbers = _four(cells, table.path, place)
        label = ONLY_CLASS if columns.label is None else row[columns.label]
        if not label:
            raise DataError(f"{table.path}, {place}: a box without a class")
        ignored = columns.ignored is not None and is_yes(row[columns.ignored])
        found.append(AnnotatedBox(label, _corners(numbers, columns.form), place, ignored))
    return found


def _four(cells: Sequence[str], path: Path, place: str) -> tuple[float, float, float, float]:
    try:
        texts = json.loads(cells[0]) if len(cells) == 1 and cells[0].startswith("[") else cells
        left, top, right, bottom = (float(text) for text in (texts if len(texts) > 1 else str(texts[0]).split()))
    except (TypeError, ValueError):
        raise DataError(f"{path}, {place}: expected the four numbers of a box, not {', '.join(cells)[:60]!r}") from None
    return left, top, right, bottom


def _corners(numbers: tuple[float, float, float, float], form: BoxForm) -> tuple[float, float, float, float]:
    x, y, third, fourth = numbers
    match form:
        case BoxForm.CORNERS:
            return numbers
        case BoxForm.SIDES:
            return x, y, x + third, y + fourth
        case BoxForm.CENTRE:
            return x - third / 2, y - fourth / 2, x + third / 2, y + fourth / 2
        case _:
            assert_never(form)


def _size(row: Sequence[str], columns: BoxColumns) -> tuple[int, int] | None:
    if columns.size is None:
        return None
    return size_of(*(row[number] for number in columns.size))


def _is_number(cell: str) -> bool:
    try:
        float(cell or "0")
    except ValueError:
        return False
    return True
