"""JSON values that no reader expects, and JSON in which one value is changed."""

from __future__ import annotations

import copy
from typing import Any

from mobilenets.architecture.encoding import LARGEST_INTEGER


def deep(levels: int) -> Any:
    value: Any = []
    for _ in range(levels):
        value = [value]
    return value


HOSTILE: tuple[Any, ...] = (
    None,
    True,
    -1,
    0,
    1.5,
    LARGEST_INTEGER,
    LARGEST_INTEGER + 1,
    10**400,
    1e308,
    -1e-300,
    float("nan"),
    float("inf"),
    "",
    "input",
    "\x1b[2J",
    "x" * 100_000,
    "🦊",
    [],
    [[]],
    ["input"] * 3,
    [0, 0, 0],
    [1 << 70] * 4,
    {},
    {"epsilon": 10**400},
    {"epsilon": -1},
    {"epsilon": "1"},
    {"divisor": 0, "minimum": 8},
    deep(500),
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Path of every value inside a JSON value."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, item in inside for place in places(item, (*path, key)))]


def changed(data: Any, path: tuple[Any, ...], change: str, value: Any) -> Any:
    """A copy in which one value is replaced, removed or joined by a stranger."""
    data = copy.deepcopy(data)
    if not path:
        return value
    parent = data
    for key in path[:-1]:
        parent = parent[key]
    if change == "remove":
        del parent[path[-1]]
    elif change == "add" and isinstance(parent, dict):
        parent["stranger"] = value
    else:
        parent[path[-1]] = value
    return data
