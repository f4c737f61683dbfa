"""Checks of what callers pass: types, words of an enumeration, integers and numbers."""

from __future__ import annotations

import functools
import inspect
import math
import types
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import StrEnum
from numbers import Integral, Real
from os import PathLike
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

Parameters = ParamSpec("Parameters")
Returned = TypeVar("Returned")
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


def check_number(
    name: str,
    given: Any,
    error: type[Exception],
    *,
    least: float = -math.inf,
    above: float = -math.inf,
    most: float = math.inf,
    below: float = math.inf,
) -> None:
    """Refuse what is no finite number, or out of range.

    Args:
        name: Of the argument.
        given: What the caller passed.
        error: What is raised.
        least: Smallest value that is allowed.
        above: What the value must be above.
        most: Largest value that is allowed.
        below: What the value must be below.

    >>> check_number("dropout", 1.5, ValueError, least=0, below=1)
    Traceback (most recent call last):
    ...
    ValueError: dropout must be at least 0 and below 1, not 1.5
    >>> check_number("share", math.nan, ValueError, least=0, most=1)
    Traceback (most recent call last):
    ...
    ValueError: share must be a finite number, from 0 to 1, not nan
    """
    if is_number(given) and math.isfinite(given) and least <= given <= most and above < given < below:
        return
    kind = "a number" if not is_number(given) else "" if math.isfinite(given) else "a finite number"
    expected = ", ".join(filter(None, (kind, _range(least, above, most, below))))
    raise error(f"{name} must be {expected}, not {given!r:.60}")


def _range(least: float, above: float, most: float, below: float) -> str:
    if math.isfinite(least) and math.isfinite(most):
        return f"from {least:g} to {most:g}"
    limits = (("at least", least), ("above", above), ("at most", most), ("below", below))
    return " and ".join(f"{word} {limit:g}" for word, limit in limits if math.isfinite(limit))


def is_integer(given: object) -> bool:
    """Whether a value is an integer, which a bool is not."""
    return isinstance(given, Integral) and not isinstance(given, bool)


def is_number(given: object) -> bool:
    """Whether a value is a real number, which a bool and a text are not; NaN and infinity are."""
    return isinstance(given, Real) and not isinstance(given, bool)


def typed(
    error: type[Exception], *, but: tuple[str, ...] = ()
) -> Callable[[Callable[Parameters, Returned]], Callable[Parameters, Returned]]:
    """Make a public function refuse arguments that are not of the annotated types.

    Args:
        error: What is raised; the message names the argument, what it must be and what came.
        but: Arguments that the function checks itself, in words of its own.

    >>> @typed(ValueError)
    ... def repeat(text: str, times: int = 2) -> str:
    ...     return text * times
    >>> repeat("ab", "3")
    Traceback (most recent call last):
    ...
    ValueError: times must be an integer, not '3'
    """

    def decorate(function: Callable[Parameters, Returned]) -> Callable[Parameters, Returned]:
        signature = inspect.signature(function)

        @functools.wraps(function)
        def checked(*values: Parameters.args, **named: Parameters.kwargs) -> Returned:
            hints = _hints(function)
            try:
                given = signature.bind(*values, **named).arguments
            except TypeError:  # in the words of Python, with the name of the function
                return function(*values, **named)
            for name, value in given.items():
                kind = signature.parameters[name].kind
                if (
                    name in hints
                    and name not in but
                    and kind not in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
                ):
                    check_type(name, value, hints[name], error)
            return function(*values, **named)

        return checked

    return decorate


def check_fields(instance: Any, error: type[Exception]) -> None:
    """Refuse fields of a dataclass or record that are not of the annotated types."""
    hints = _hints(typing.cast("Callable[..., Any]", type(instance)))
    for name, value in vars(instance).items():
        if name in hints:
            check_type(name, value, hints[name], error)


def check_type(name: str, given: object, expected: Any, error: type[Exception]) -> None:
    """Refuse what is not of a type.

    Args:
        name: Of the argument.
        given: What the caller passed.
        expected: A type as annotations have it. A path is any path-like object, a number any real number but no bool.
            What cannot be checked is let through.
        error: What is raised.
    """
    if not _fits(given, expected):
        raise error(f"{name} must be {_described(expected)}, not {_came(given)}")


@functools.cache
def _hints(owner: Callable[..., Any]) -> dict[str, Any]:
    return typing.get_type_hints(owner)


def _fits(given: object, expected: Any) -> bool:
    origin, parts = typing.get_origin(expected), typing.get_args(expected)
    if origin in (typing.Union, types.UnionType):
        return any(_fits(given, part) for part in parts)
    if origin is tuple and (not parts or parts[-1] is not Ellipsis):
        return isinstance(given, tuple | list) and len(given) == len(parts) and all(map(_fits, given, parts))
    if origin in _SEVERAL:
        if isinstance(given, str | bytes) or not isinstance(given, origin):
            return False
        return not isinstance(given, Sequence) or all(_fits(one, parts[0]) for one in given)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return isinstance(given, Mapping) and all(_fits(one, parts[1]) for one in given.values())
    if isinstance(origin, type):
        return isinstance(given, origin)
    return not isinstance(expected, type) or _is_instance(given, expected)


def _is_instance(given: object, expected: type) -> bool:
    if expected is Any:
        return True
    if expected is float:
        return is_number(given)
    if expected is int:
        return is_integer(given)
    if getattr(expected, "_is_protocol", False):
        return all(hasattr(given, name) for name in vars(expected) if not name.startswith("_"))
    return isinstance(given, PathLike if issubclass(expected, Path) else expected)


def _described(expected: Any) -> str:
    origin, parts = typing.get_origin(expected), typing.get_args(expected)
    if origin in (typing.Union, types.UnionType):
        named = [part for part in parts if not (part is str and any(_is_path(other) for other in parts))]
        words = dict.fromkeys(_described(part) for part in named if part is not type(None))
        *first, last = words
        return f"{', '.join(first)} or {last}" if first else last
    if expected in _WORDS:
        return _WORDS[expected]
    if origin in _SEVERAL:
        one = "a tuple" if origin is tuple else "a list" if origin is list else "a sequence"
        several = one if parts[1:] in ((), (...,)) else f"{len(parts)} values"
        return f"{several}, each {_described(parts[0])}"
    kind = origin or expected
    if _is_path(kind):
        return "a path"
    name = {"ndarray": "NumPy array", "Mapping": "mapping"}.get(kind.__name__, kind.__name__)
    return f"{'an' if name[0] in 'AEIOU' else 'a'} {name}"


def _is_path(kind: Any) -> bool:
    kind = typing.get_origin(kind) or kind
    return isinstance(kind, type) and issubclass(kind, PathLike)


def _came(given: object) -> str:
    if given is None or isinstance(given, str | Real):
        return f"{given!r:.60}"
    if isinstance(given, list | tuple) and given:
        return f"a {type(given).__name__} of {', '.join(sorted({type(one).__name__ for one in given}))}"
    return f"a value of type {type(given).__name__}"


_SEVERAL = (tuple, list, Sequence, Iterable)
_WORDS = {int: "an integer", float: "a number", str: "text", bool: "True or False", type(None): "None", bytes: "bytes"}
