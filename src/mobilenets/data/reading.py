"""What a person says about a source of labeled images that it does not say itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mobilenets.data.parts import PARTS
from mobilenets.errors import DataError

OMIT, NONE = "omit", "none"
"""As a part: the images are left out. As a column, or for all parts: there is none."""
LEVELS, LETTER_CASES = ("top", "leaf", "name"), ("merge", "keep")
READ_TASKS = ("classification", "multilabel")
COLUMNS = ("file", "class", "split")


@dataclass(frozen=True)
class Reading:
    """How a source of labeled images is to be read where it could be read in several ways.

    Attributes:
        parts: ``train``, ``validation`` or ``test`` → the folder or file that holds it, from the source on; None to
            find them by their names.
        find_parts: Whether folders called train, test and so on are parts; otherwise they are classes.
        exclude: Names or paths, from the source on, of folders and files to leave out; of a table or of boxes, of
            classes and files.
        classes_from: ``top`` where a class is the outermost folder, ``leaf`` where it is the innermost, ``name`` where
            it is what the file's name begins with, before its number; None where there is no doubt.
        letter_case: What to do with classes that differ in upper and lower case only: ``merge`` or ``keep``; None to
            refuse them.
        columns: ``file``, ``class`` or ``split`` → the column of a table; a split column ``none`` is not read.
        split_words: Word of the split column → ``train``, ``validation``, ``test`` or ``omit``. Where a column holds
            the numbers of folds, those that are not named are for training.
        images_in: Folder that the files in a table are looked for in; by default the table's own.
        task: ``classification`` where an image has one class, ``multilabel`` where it may have several labels or none;
            None to tell it by the table.
        separator: What stands between the labels in a cell, which then may hold several; None to find it.

    Raises:
        DataError: If a value is none of those.
    """

    parts: Mapping[str, str] | None = None
    find_parts: bool = True
    exclude: tuple[str, ...] = ()
    classes_from: str | None = None
    letter_case: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    split_words: Mapping[str, str] = field(default_factory=dict)
    images_in: str | None = None
    task: str | None = None
    separator: str | None = None

    def __post_init__(self) -> None:
        for part in self.parts or ():
            _check(part, PARTS, "a part is")
        if self.parts is not None and "train" not in self.parts and set(self.parts) != {"validation", "test"}:
            raise DataError(f"the parts {', '.join(self.parts) or 'none'} leave nothing to train on; name train too")
        for column in self.columns:
            _check(column, COLUMNS, "a column is named for")
        for part in self.split_words.values():
            _check(part, (*PARTS, OMIT), "a word of the split stands for")
        if self.classes_from is not None:
            _check(self.classes_from, LEVELS, "classes come from")
        if self.task is not None:
            _check(self.task, READ_TASKS, "a table is read for the task")
        if self.separator is not None and not (isinstance(self.separator, str) and self.separator):
            raise DataError(f"a separator is one character or more, not {self.separator!r:.40}")
        if self.separator is not None and self.task == "classification":
            raise DataError("a separator stands between several labels, and the task classification has one an image")
        if self.letter_case is not None:
            _check(self.letter_case, LETTER_CASES, "letter case is to")

    def encode(self) -> dict[str, Any]:
        """JSON-ready values, without those that say nothing.

        >>> Reading(split_words={"learn": "train"}).encode()
        {'split_words': {'learn': 'train'}}
        """
        found = {
            "parts": None if self.parts is None else dict(self.parts),
            "find_parts": None if self.find_parts else False,
            "exclude": list(self.exclude) or None,
            "classes_from": self.classes_from,
            "letter_case": self.letter_case,
            "columns": dict(self.columns) or None,
            "split_words": dict(self.split_words) or None,
            "images_in": self.images_in,
            "task": self.task,
            "separator": self.separator,
        }
        return {name: value for name, value in found.items() if value is not None}

    @staticmethod
    def decode(data: Mapping[str, Any]) -> Reading:
        """A reading from its JSON values.

        Raises:
            DataError: If they are damaged.
        """
        try:
            return Reading(**{**data, "exclude": tuple(data.get("exclude", ()))})
        except (TypeError, AttributeError) as error:
            raise DataError(f"how the images were read cannot be understood: {error}") from None


def told(**fields: object) -> str:
    """A reading as a caller writes it, for errors that say the way out.

    >>> told(exclude=("masks",))
    "Reading(exclude=('masks',))"
    """
    return f"Reading({', '.join(f'{name}={value!r}' for name, value in fields.items())})"


def _check(value: str, known: tuple[str, ...], what: str) -> None:
    if value not in known:
        raise DataError(f"{what} {', '.join(known[:-1])} or {known[-1]}, not {value!r}")
