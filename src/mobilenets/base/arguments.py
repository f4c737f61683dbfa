"""Checks of what callers pass: words of an enumeration, integers and numbers."""

from __future__ import annotations

from enum import StrEnum
from numbers import Integral, Real
from typing import Any, TypeVar

Word = TypeVar("Word", bound=StrEnum)


def word_of(words: type[Word], given: Any, what: str, error: type[Exception]) -> Word:
    """The member of an enumeration, given as itself or as its text.

    Args:
        words: The enumeration.
        given: What the caller passed.
        what: What the words stand for.
        error: What is raised if there is no such word; the message names those that there are.
    """
    try:
        return words(given)
    except ValueError:
        raise error(f"no {what} is called {given!r}; known are {', '.join(words)}") from None


def check_integer(name: str, given: Any, error: type[Exception], *, least: int, most: int | None = None) -> None:
    """Refuse what is no integer, or out of range.

    Args:
        name: Of the argument.
        given: What the caller passed.
        error: What is raised.
        least: Smallest value that is allowed.
        most: Largest value that is allowed.
    """
    if not is_integer(given):
        raise error(f"{name} must be an integer, not {given!r}")
    number = int(given)
    if number < least or (most is not None and number > most):
        expected = f"at least {least}" if most is None else f"from {least} to {most}"
        raise error(f"{name} must be {expected}, not {given}")


def is_integer(given: object) -> bool:
    """Whether a value is an integer, which a bool is not."""
    return isinstance(given, Integral) and not isinstance(given, bool)


def is_number(given: object) -> bool:
    """Whether a value is a real number, which a bool and a text are not; NaN and infinity are."""
    return isinstance(given, Real) and not isinstance(given, bool)
