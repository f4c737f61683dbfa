"""JSON values as rows of a table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def flat_row(values: Mapping[str, Any]) -> dict[str, Any]:
    """One row of a table: objects in a list become numbered columns, the first without a number.

    >>> flat_row({"image": "a.png", "labels": [{"label": "cat", "share": 0.9}, {"label": "dog", "share": 0.1}]})
    {'image': 'a.png', 'label': 'cat', 'share': 0.9, 'label_2': 'dog', 'share_2': 0.1}
    """
    row: dict[str, Any] = {}
    for name, value in values.items():
        match value:
            case [Mapping(), *_]:
                for number, one in enumerate(value, 1):
                    row |= {key if number == 1 else f"{key}_{number}": cell for key, cell in one.items()}
            case list():
                row[name] = "; ".join(map(str, value))
            case _:
                row[name] = value
    return row
