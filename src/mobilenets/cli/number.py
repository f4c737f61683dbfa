"""Options that take a number in a range."""

from __future__ import annotations

import math
from typing import Any

import click


class Number(click.FloatRange):
    """A finite number in a range: NaN is in every range of click's own, and infinity in those without an end."""

    name = "float"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The number behind the text."""
        number = float(super().convert(value, param, ctx))
        if not math.isfinite(number):
            self.fail(f"{value} is not a finite number.", param, ctx)
        return number


class Integer(click.IntRange):
    """An integer in a range, whose errors say what is expected in words."""

    name = "integer"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The number behind the text."""
        try:
            number = int(str(value))
        except ValueError:
            self.fail(f"{value!r} is not an integer; it must be {self._expected}", param, ctx)
        if (self.min is not None and number < self.min) or (self.max is not None and number > self.max):
            self.fail(f"it must be {self._expected}, not {number}", param, ctx)
        return number

    @property
    def _expected(self) -> str:
        return f"at least {self.min}" if self.max is None else f"from {self.min} to {self.max}"


POSITIVE = Number(min=0, min_open=True)
