"""Options that say how DATA is to be read where it could be read in several ways."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

import click

from mobilenets.cli.arguments import as_options
from mobilenets.data.reading import LETTER_CASES, LEVELS, NONE, READ_TASKS, Reading
from mobilenets.errors import DataError

Command = TypeVar("Command", bound=Callable[..., Any])


def data_options(function: Command) -> Command:
    """Options that become the argument ``reading``, a :class:`~mobilenets.data.reading.Reading`; None without them."""

    @wraps(function)
    def command(
        *arguments: Any,
        parts: dict[str, str] | str | None,
        exclude: tuple[str, ...],
        classes_from: str | None,
        letter_case: str | None,
        columns: dict[str, str] | None,
        split_words: dict[str, str] | None,
        images_in: str | None,
        task: str | None,
        separator: str | None,
        **others: Any,
    ) -> Any:
        try:
            reading = Reading(
                parts=parts if isinstance(parts, dict) else None,
                find_parts=parts != NONE,
                exclude=exclude,
                classes_from=classes_from,
                letter_case=letter_case,
                columns=columns or {},
                split_words=split_words or {},
                images_in=images_in,
                task=task,
                separator=separator,
            )
        except DataError as error:
            raise click.UsageError(as_options(str(error))) from None
        return function(*arguments, reading=None if reading == Reading() else reading, **others)

    decorated: Any = command
    for option in reversed(
        (
            click.option("--parts", callback=_parts, metavar="PART=FOLDER,…", help="Folders of the parts, or none."),
            click.option(
                "--exclude", multiple=True, metavar="NAME", help="Folder, file or class to leave out; repeatable."
            ),
            click.option(
                "--classes-from", type=click.Choice(LEVELS), help="Outermost or innermost folders, or files' names."
            ),
            click.option("--letter-case", type=click.Choice(LETTER_CASES), help="Classes that differ in case only."),
            click.option(
                "--columns", callback=_pairs, metavar="USE=COLUMN,…", help="Columns of a table: file, class, split."
            ),
            click.option(
                "--split-words", callback=_pairs, metavar="WORD=PART,…", help="What the split column says; or omit."
            ),
            click.option(
                "--task", type=click.Choice(READ_TASKS), help="Whether an image has one class or several labels."
            ),
            click.option("--separator", metavar="TEXT", help="What separates the labels in a cell of a table."),
            click.option("--images-in", metavar="FOLDER", help="Where the files that a table names are."),
        )
    ):
        decorated = option(decorated)
    result: Command = decorated
    return result


def _pairs(context: click.Context, parameter: click.Parameter, text: str | None) -> dict[str, str] | None:
    """``learn=train,holdout=test`` → a dictionary."""
    if text is None:
        return None
    found: dict[str, str] = {}
    for pair in text.split(","):
        name, equals, value = pair.rpartition("=")
        if not equals or not name.strip() or not value.strip():
            raise click.BadParameter(f"{pair!r} is not of the form {parameter.metavar}".removesuffix(",…"))
        found[name.strip()] = value.strip()
    return found


def _parts(context: click.Context, parameter: click.Parameter, text: str | None) -> dict[str, str] | str | None:
    return NONE if text == NONE else _pairs(context, parameter, text)
