"""The size of a network's input on the command line."""

from __future__ import annotations

import re

import click

SMALLEST_SIDE = 32
"""Pixels: below it the maps of every MobileNet are used up before its last layer."""


class InputSize(click.ParamType[int | tuple[int, int]]):
    """One side of a square in pixels, or height and width as ``48x192``.

    >>> InputSize().convert("224", None, None), InputSize().convert("48x192", None, None)
    (224, (48, 192))
    """

    name = "N|HxW"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int | tuple[int, int]:
        """The side, or (height, width)."""
        found = re.fullmatch(r"(\d{1,6})(?:\s*[x×]\s*(\d{1,6}))?", str(value).strip().lower())
        if found is None:
            self.fail(
                f"{value!r} is no size; it is a number of pixels such as 224, or HEIGHTxWIDTH such as 48x192", param
            )
        sides = [int(side) for side in found.groups() if side is not None]
        if min(sides) < SMALLEST_SIDE:
            self.fail(f"{value} has a side below {SMALLEST_SIDE} pixels", param)
        return sides[0] if len(sides) == 1 else (sides[0], sides[1])


class SquareSide(click.ParamType[int]):
    """The side of a square input in pixels: ``224``, or ``224x224``.

    >>> SquareSide().convert("224", None, None), SquareSide().convert("224x224", None, None)
    (224, 224)
    """

    name = "pixels"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The side."""
        found = re.fullmatch(r"(\d{1,6})(?:\s*[x×]\s*(\d{1,6}))?(?:\s*px)?", str(value).strip().lower())
        if found is None:
            self.fail(f"{value!r} is no size; it is a number of pixels such as 224", param, ctx)
        if found[2] is not None and found[2] != found[1]:
            self.fail(
                f"{value} is height and width, and networks that are made here are square: give one number of pixels, "
                f"such as {max(found[1], found[2], key=int)}; import takes both",
                param,
                ctx,
            )
        return int(found[1])
