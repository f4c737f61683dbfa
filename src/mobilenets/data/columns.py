"""Which column of a table names the image, which its class, and which its part of the data."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mobilenets.base.text import plural
from mobilenets.data.label_table import LabelTable, looks_like_file
from mobilenets.data.parts import WORDS, part_of_word, tokens_of
from mobilenets.data.reading import NONE, Reading, told
from mobilenets.errors import DataError

FILE_NAMES = tuple(
    str.split(
        "file file_name filename file_path filepath image_path imagepath image_file image_filename img_path "
        "img_file path image_name imagename img_name image img images image_url imagegcsuri uri url image_id "
        "imageid img_id id_code image_index image_code image_no photo photo_id photo_name picture picture_name fname"
    )
)
CLASS_NAMES = tuple(
    str.split(
        "class label name class_name classname label_name labelname category category_name class_label classid "
        "target choice breed species diagnosis dx ground_truth gt labels classes class_id label_id y"
    )
)
"""``class``, ``label`` and ``name`` first: a table with several of them is read as ever."""
CLASS_TOKENS = frozenset(str.split("label labels class classes category species breed diagnosis disease finding"))
"""Words of a column's name that may be the class's, where only one column's has any: ``Finding Labels``."""
SPLIT_NAMES = tuple(
    str.split(
        "split partition subset data_split dataset_split split_name ml_use fold folds fold_id kfold k_fold cv cv_fold"
    )
)
UNSURE_SPLIT_NAMES = tuple(str.split("set data_set dataset part usage phase mode group stage purpose"))
"""Columns that hold the parts if they hold a word for training, or no words but those of parts."""
_FLAG = re.compile(r"(?:is|in|for|use)?_?(?P<word>[a-z]+?)_?(?:set|data|image|images|img|sample|split|flag)?")
YES = frozenset({"1", "1.0", "true", "yes", "y", "t", "x"})
NO = frozenset({"0", "0.0", "-1", "-1.0", "false", "no", "n", "f"})
"""What columns of yes and no hold; a blank is a no in one whose yes is a cross, and −1 in tables of attributes."""
ROW_NUMBER = re.compile(r"(unnamed(:_?\d+)?|index|id|idx|no|nr|row|#)?", re.I)
INDEX = "index"


@dataclass(frozen=True)
class Columns:
    """The columns of a table by what they say.

    Attributes:
        file: Number of the column that names the image.
        labels: The columns of the class: one, or one of 0 and 1 for each class.
        split: The column of the part, if there is one.
        flag: What yes means in the split column, if it holds yes and no.
        index: The column of the class's number in the set that it was taken from, if there is one.
    """

    file: int
    labels: tuple[int, ...]
    split: int | None = None
    flag: str | None = None
    index: int | None = None

    def words(self, table: LabelTable) -> str:
        """Which columns they are, as people say it."""
        names = table.columns or tuple(str(number + 1) for number in range(table.width))
        if len(self.labels) > 1:
            classes = f"{len(self.labels)} columns of 0 and 1"
        else:
            classes = f"class from column {names[self.labels[0]]}"
        return f"file from column {names[self.file]}, {classes}"


def simplified(name: str) -> str:
    """A column's name as the lists of this module have it.

    >>> simplified(" Image-Path ")
    'image_path'
    """
    return re.sub(r"[\s\-]+", "_", unicodedata.normalize("NFC", name).strip().strip("\ufeff\"'").casefold())


def find_columns(table: LabelTable, reading: Reading) -> Columns:
    """Find the columns of a table.

    Args:
        table: The table.
        reading: Names columns that cannot be found.

    Raises:
        DataError: If the image or the class has no column, or which it is cannot be told.
    """
    if not table.columns:
        return _without_header(table, reading)
    names = [simplified(column) for column in table.columns]
    split, flag = split_column(table, names, reading)
    file = _named(table, "file", reading)
    if file is None:
        file = first_of(names, FILE_NAMES, lambda number: number != split)
    if file is None or not _names_files(table, file):
        by_content = next((n for n in range(table.width) if _share(table.column(n), looks_like_file) > 0.5), None)
        file = by_content if by_content is not None else file
    if file is None and (numbers := [n for n, name in enumerate(names) if name == "id"]):
        file = numbers[0]
    if file is None:
        raise _missing(table, "file")
    index = names.index(INDEX) if INDEX in names else None
    free = [number for number in range(table.width) if number not in (file, split)]
    labels = _label_columns(table, names, free, reading)
    return Columns(file, labels, split, flag, index if index not in labels else None)


def _label_columns(table: LabelTable, names: Sequence[str], free: Sequence[int], reading: Reading) -> tuple[int, ...]:
    named = _named(table, "class", reading)
    if named is not None:
        return (named,)
    others = [number for number in free if not _numbers_rows(table, names, number)]
    binary = [number for number in others if _holds_flags(table.column(number))]
    alone = len(binary) == len(others) or _one_of_each(table, binary)
    one_hot = len(binary) > 1 and (alone or reading.task == "multilabel")
    by_name = first_of(names, CLASS_NAMES, free.__contains__)
    if one_hot and (by_name is None or by_name in binary or _sums_to_one(table, binary)):
        return tuple(binary)
    if by_name is not None:
        return (by_name,)
    if len(others) == 1:
        return (others[0],)
    speaking = [number for number in others if not CLASS_TOKENS.isdisjoint(tokens_of(names[number]))]
    if len(speaking) == 1:
        return (speaking[0],)
    raise _missing(table, "class")


def _numbers_rows(table: LabelTable, names: Sequence[str], number: int) -> bool:
    """Whether a column numbers rows or images: it is called so, and its cells are numbers or all different."""
    cells = table.column(number)
    return bool(ROW_NUMBER.fullmatch(names[number])) and (
        all(cell.isdecimal() or not cell for cell in cells) or len(set(cells)) == len(cells)
    )


def _without_header(table: LabelTable, reading: Reading) -> Columns:
    """The columns by what is in them: a file, perhaps a part, and a class."""
    if reading.columns:
        raise DataError(f"{table.path} has no header; the columns cannot be named")
    file = next(n for n in range(table.width) if looks_like_file(table.rows[0][n]))
    others = [number for number in range(table.width) if number != file and any(table.column(number))]
    unassigned = {"unassigned"}
    parts = [
        number
        for number in others
        if all(part_of_word(cell) or cell.casefold() in unassigned for cell in table.column(number))
    ]
    others = [number for number in others if number not in parts[:1]]
    words = [number for number in others if not _share(table.column(number), _is_number)]
    others = words if len(words) == 1 else others  # beside numbers, such as those of a box
    if len(others) != 1:
        raise DataError(
            f"{table.path} has no header and {table.width} columns, so that its class column cannot be told; "
            "give it a header with the columns file and class"
        )
    return Columns(file, (others[0],), parts[0] if parts else None)


def split_column(table: LabelTable, names: Sequence[str], reading: Reading) -> tuple[int | None, str | None]:
    """The column of the part, and what yes means in it if it holds yes and no.

    Args:
        table: The table.
        names: Its columns, :func:`simplified`.
        reading: Names the column where it cannot be found.
    """
    if reading.columns.get("split") == NONE:
        return None, None
    named = _named(table, "split", reading)
    if named is None:
        named = first_of(names, SPLIT_NAMES, lambda number: any(table.column(number)))
    if named is not None:
        return named, flag_of(names[named]) if _share(table.column(named), _is_flag) == 1 else None
    for number, name in enumerate(names):
        cells = table.column(number)
        if (part := flag_of(name)) is not None and cells and _share(cells, _is_flag) == 1:
            return number, part
        known = {cell.casefold() for cell in reading.split_words}
        words = {cell: part_of_word(cell) for cell in set(cells)}
        all_known = cells and all(part or cell.casefold() in known for cell, part in words.items())
        if name in UNSURE_SPLIT_NAMES and (all_known or "train" in words.values()):  # beside training are other parts
            return number, None
    for number in range(table.width):  # by content: a column that mostly holds such words, whatever it is called
        if _share(table.column(number), part_of_word) > 0.5:
            return number, None
    return None, None


def flag_of(name: str) -> str | None:
    """The part that yes means in a column of yes and no, by its :func:`simplified` name; None where it says none.

    >>> flag_of("is_train"), flag_of("istest"), flag_of("in_training_set"), flag_of("tested_positive"), flag_of("isla")
    ('train', 'test', 'train', None, None)
    """
    match = _FLAG.fullmatch(name)
    return WORDS.get(match["word"]) if match is not None else None


def _named(table: LabelTable, purpose: str, reading: Reading) -> int | None:
    """The column that the reading names for a purpose."""
    wanted = reading.columns.get(purpose)
    if wanted is None or wanted == NONE:
        return None
    names = [simplified(column) for column in table.columns]
    if simplified(wanted) not in names:
        raise DataError(f"{table.path} has no column {wanted}; it has {', '.join(table.columns)}")
    return names.index(simplified(wanted))


def first_of(names: Sequence[str], wanted: Sequence[str], fits: Callable[[int], bool]) -> int | None:
    """The number of the first of some names that is the name of a column.

    Args:
        names: The columns, :func:`simplified`.
        wanted: What the column may be called, the likeliest name first.
        fits: Whether a column, by its number, may be it.
    """
    return next((names.index(name) for name in wanted if name in names and fits(names.index(name))), None)


def _names_files(table: LabelTable, number: int) -> bool:
    """Whether a column may name images: its cells differ, and are no numbers with decimals."""
    cells = table.column(number)
    return len(set(cells)) > len(cells) / 2


def _share(cells: Sequence[str], holds: Callable[[str], object]) -> float:
    return sum(bool(holds(cell)) for cell in cells) / len(cells) if cells else 0.0


def _is_number(cell: str) -> bool:
    return re.fullmatch(r"[-+]?\d+(\.\d*)?", cell) is not None


def _is_flag(cell: str) -> bool:
    return cell.casefold() in YES or cell.casefold() in NO


def is_yes(cell: str) -> bool:
    """Whether a cell of a column of yes and no says yes."""
    return cell.casefold() in YES


def _holds_flags(cells: Sequence[str]) -> bool:
    """Whether cells say yes or no; blanks do beside crosses."""
    crosses = {cell.casefold() for cell in cells} <= {"x", ""}
    return bool(cells) and (_share(cells, _is_flag) == 1 or (crosses and any(cells)))


def _one_of_each(table: LabelTable, numbers: Sequence[int]) -> bool:
    return bool(numbers) and all(sum(is_yes(row[number]) for number in numbers) == 1 for row in table.rows)


def _sums_to_one(table: LabelTable, numbers: Sequence[int]) -> bool:
    return all(sum(is_yes(row[number]) for number in numbers) <= 1 for row in table.rows)


def _missing(table: LabelTable, purpose: str) -> DataError:
    pixels = [column for column in table.columns if re.fullmatch(r"pixels?[ _]?\d*", column.casefold())]
    if purpose == "file" and pixels:
        return DataError(
            f"{table.path} holds the pixels of its images in {plural(len(pixels), 'column')}, from {pixels[0]} on, and "
            "names no files; write each row as an image file first, or give the pixels to LabeledArrays"
        )
    header = ", ".join(column or "(unnamed)" for column in table.columns)[:160] or "empty"
    return DataError(
        f"{table.path} needs the columns file and class, and which of its columns is the {purpose} cannot be told: "
        f"its header is {header!r}; say {told(columns={purpose: 'NAME'})}"
    )


def choices_of(cell: str) -> list[str]:
    """The classes that a cell names: several only where it is a list in JSON, as Label Studio writes it.

    >>> choices_of('{"choices": ["cat", "dog"]}'), choices_of("cat"), choices_of('["cat"]')
    (['cat', 'dog'], ['cat'], ['cat'])
    """
    if cell.startswith(("{", "[")):
        try:
            data = json.loads(cell)
        except (ValueError, RecursionError):
            return [cell]
        data = data.get("choices", data) if isinstance(data, dict) else data
        if isinstance(data, list) and data and all(isinstance(one, str) for one in data):
            return list(dict.fromkeys(data))
    return [cell]


def words_hint(unknown: Sequence[str]) -> str:
    """How to say what unknown words of a split mean, by way of example.

    >>> words_hint(["study", "exam"])
    "Reading(split_words={'study': 'train', 'exam': 'test'})"
    """
    meant = ("train", "test", "validation")
    return told(split_words={word: meant[min(n, 2)] for n, word in enumerate(unknown[:3])})
