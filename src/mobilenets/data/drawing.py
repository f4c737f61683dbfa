"""Boxes drawn on images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cache

from PIL import Image, ImageDraw, ImageFont

from mobilenets.errors import DataError

COLORS = (
    (230, 25, 75), (60, 180, 75), (0, 130, 200), (245, 130, 48), (145, 30, 180), (70, 240, 240), (240, 50, 230),
    (210, 245, 60), (0, 128, 128), (170, 110, 40), (128, 0, 0), (128, 128, 0), (0, 0, 128), (255, 225, 25),
)  # fmt: skip
"""Of classes, in order, and again from the beginning."""
SMALLEST_TEXT, LARGEST_TEXT = 11, 40
"""Height of letters, in pixels."""
TEXT_SHARE, LINE_SHARE = 1 / 40, 1 / 250
"""Of the longer side of an image."""


class Line(Enum):
    """How the border of a box is drawn."""

    SOLID = "solid"
    DASHED = "dashed"


@dataclass(frozen=True)
class DrawnBox:
    """A box as it is drawn.

    Attributes:
        box: Left, top, right and bottom, in pixels of the image.
        color: Number of its color, such as that of its class; see :data:`COLORS`.
        text: What stands above it; empty for nothing.
        line: How its border is drawn.
    """

    box: tuple[float, float, float, float]
    color: int
    text: str = ""
    line: Line = Line.SOLID


def draw_boxes(image: Image.Image, boxes: Sequence[DrawnBox]) -> Image.Image:
    """A copy of an image with boxes on it, the first on top.

    Args:
        image: RGB.
        boxes: What is drawn.

    >>> drawn = draw_boxes(Image.new("RGB", (64, 48)), [DrawnBox((10, 10, 30, 40), color=0)])
    >>> drawn.getpixel((10, 20)), drawn.getpixel((20, 20))
    ((230, 25, 75), (0, 0, 0))
    """
    drawn = image.copy()
    canvas = ImageDraw.Draw(drawn)
    side = max(image.size)
    width = max(1, round(side * LINE_SHARE))
    height = min(LARGEST_TEXT, max(SMALLEST_TEXT, round(side * TEXT_SHARE)))
    for box in reversed(boxes):
        color = COLORS[box.color % len(COLORS)]
        _border(canvas, box, color, width)
    for box in reversed(boxes):  # no border through a text
        if box.text:
            _text(canvas, box, COLORS[box.color % len(COLORS)], height, image.size)
    return drawn


def _border(canvas: ImageDraw.ImageDraw, box: DrawnBox, color: tuple[int, int, int], width: int) -> None:
    left, top, right, bottom = (round(side) for side in box.box)
    right, bottom = max(left, right - 1), max(top, bottom - 1)
    match box.line:
        case Line.SOLID:
            canvas.rectangle((left, top, right, bottom), outline=color, width=width)
        case Line.DASHED:
            step = 4 * width
            for begin in range(left, right + 1, 2 * step):
                for y in (top, max(top, bottom - width + 1)):
                    canvas.rectangle((begin, y, min(right, begin + step), y + width - 1), fill=color)
            for begin in range(top, bottom + 1, 2 * step):
                for x in (left, max(left, right - width + 1)):
                    canvas.rectangle((x, begin, x + width - 1, min(bottom, begin + step)), fill=color)


def _text(
    canvas: ImageDraw.ImageDraw, box: DrawnBox, color: tuple[int, int, int], height: int, size: tuple[int, int]
) -> None:
    font = _font(height)
    left, top, right, bottom = canvas.textbbox((0, 0), box.text, font=font)
    wide, high = right - left + 4, bottom - top + 4
    x = min(max(0, round(box.box[0])), max(0, size[0] - wide))
    above = round(box.box[1]) - high
    y = above if above >= 0 else min(max(0, round(box.box[1])), max(0, size[1] - high))
    canvas.rectangle((x, y, x + wide, y + high), fill=color)
    dark = sum(share * level for share, level in zip((0.299, 0.587, 0.114), color, strict=True)) < 140
    canvas.text((x + 2 - left, y + 2 - top), box.text, font=font, fill="white" if dark else "black")


@cache
def _font(height: int) -> ImageFont.ImageFont | ImageFont.FreeTypeFont:
    return ImageFont.load_default(height)


def contact_sheet(images: Sequence[Image.Image], columns: int, side: int) -> Image.Image:
    """Images in rows, each in a square of its own.

    Args:
        images: The images.
        columns: Number of them in a row.
        side: Side of a square, in pixels.

    Raises:
        DataError: If there are none.
    """
    if not images:
        raise DataError("there are no images to draw")
    columns = min(columns, len(images))
    rows = -(-len(images) // columns)
    sheet = Image.new("RGB", (columns * side, rows * side), "white")
    for number, image in enumerate(images):
        scale = (side - 4) / max(image.size)
        small = image.resize((max(1, round(image.width * scale)), max(1, round(image.height * scale))))
        row, column = divmod(number, columns)
        corner = (column * side + (side - small.width) // 2, row * side + (side - small.height) // 2)
        sheet.paste(small, corner)
    return sheet
