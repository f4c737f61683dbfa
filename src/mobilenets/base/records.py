"""Frozen dataclasses that are made quickly.

:func:`dataclasses.dataclass` writes and compiles the source of six functions for every class. For the two dozen classes
between a Model file and a label that takes longer than reading the file, running the network and decoding the image
together. A record is a dataclass to everybody who asks (``fields``, ``replace``, ``asdict``, type checkers), with six
functions that all records share; a new one takes a microsecond or two longer to fill.

The rule: a class that every prediction loads is a ``@record``, any other a ``@dataclass``. A test holds both.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import MISSING, FrozenInstanceError, dataclass, fields
from typing import TYPE_CHECKING, Any

__all__ = ["record"]

if TYPE_CHECKING:
    from dataclasses import dataclass as record
else:

    def record(*, frozen: bool, eq: bool = True) -> Callable[[type], type]:
        """``@record(frozen=True)`` means what ``@dataclass(frozen=True)`` means.

        Args:
            frozen: Must be true; written out so that nobody has to look it up.
            eq: Whether two records are equal when their fields are, and may be hashed.

        >>> @record(frozen=True)
        ... class Point:
        ...     x: int
        ...     y: int = 0
        >>> Point(1), Point(1) == Point(x=1, y=0)
        (Point(x=1, y=0), True)
        """
        if not frozen:
            raise ValueError("records are frozen; use dataclasses.dataclass for one that is not")

        def decorate(cls: type) -> type:
            made = dataclass(init=False, repr=False, eq=False)(cls)
            listed = fields(made)
            names = tuple(field.name for field in listed)
            defaults = {field.name: field.default for field in listed if field.default is not MISSING}
            factories = {field.name: field.default_factory for field in listed if field.default_factory is not MISSING}
            shared: dict[str, Callable[..., Any]] = {
                "__init__": _initializer(names, defaults, factories),
                "__repr__": _representation(names),
                "__setattr__": _refuse_assignment,
                "__delattr__": _refuse_assignment,
            }
            if eq:
                shared |= {"__eq__": _equality(names), "__hash__": _hash(names)}
            for name, function in shared.items():
                if name not in vars(made):
                    setattr(made, name, function)
            return made

        return decorate


def _initializer(
    names: tuple[str, ...], defaults: dict[str, Any], factories: dict[str, Callable[[], Any]]
) -> Callable[..., None]:
    def __init__(self: Any, /, *values: Any, **named: Any) -> None:  # noqa: N807
        called = type(self).__qualname__
        if len(values) > len(names):
            raise TypeError(f"{called}() takes {len(names)} values; {len(values)} were given")
        given = dict(zip(names, values, strict=False))
        if not named.keys().isdisjoint(given):
            raise TypeError(f"{called}() was given {min(named.keys() & given)!r} twice")
        given |= named
        state = self.__dict__  # in the order of the fields, whatever the order of the arguments
        for name in names:
            if name in given:
                state[name] = given.pop(name)
            elif name in defaults:
                state[name] = defaults[name]
            elif name in factories:
                state[name] = factories[name]()
            else:
                raise TypeError(f"{called}() needs {name!r}")
        if given:
            raise TypeError(f"{called}() has no field {min(given)!r}")
        check = getattr(self, "__post_init__", None)
        if check is not None:
            check()

    return __init__


def _representation(names: tuple[str, ...]) -> Callable[[Any], str]:
    def __repr__(self: Any) -> str:  # noqa: N807
        return f"{type(self).__qualname__}({', '.join(f'{name}={getattr(self, name)!r}' for name in names)})"

    return __repr__


def _equality(names: tuple[str, ...]) -> Callable[[Any, Any], bool]:
    def __eq__(self: Any, other: Any) -> bool:  # noqa: N807
        if type(other) is not type(self):
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in names)

    return __eq__


def _hash(names: tuple[str, ...]) -> Callable[[Any], int]:
    def __hash__(self: Any) -> int:  # noqa: N807
        return hash(tuple(getattr(self, name) for name in names))

    return __hash__


def _refuse_assignment(self: Any, name: str, value: Any = None) -> None:
    raise FrozenInstanceError(f"{name!r} of a {type(self).__qualname__} is fixed; dataclasses.replace makes another")
