"""Predictions on standard output: lines, JSON or CSV."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import click

from mobilenets.base.text import visible
from mobilenets.cli.console import print_json
from mobilenets.data.image import ImageSource
from mobilenets.errors import DataError
from mobilenets.tasks.task import Prediction

if TYPE_CHECKING:
    import csv

WIDEST_NAME = 40
"""Columns that names of images take at most before the results."""


class LineWriter:
    """A line for each image, for people."""

    def __init__(self, found: Iterable[ImageSource]) -> None:
        self._width = min(WIDEST_NAME, max(len(_shown(image.name)) for image in found))

    def write(self, image: ImageSource, result: Prediction | DataError) -> None:
        """Take one image, with its prediction or the reason why there is none."""
        if not isinstance(result, DataError):
            click.echo(f"{_shown(image.name):{self._width}}  {visible(result.summary)}")

    def finish(self) -> None:
        """Nothing is left to print."""


def _shown(name: str) -> str:
    """A name on one line, without what a terminal would obey."""
    return visible(name).replace("\n", "\\n").replace("\t", "\\t")


class JsonWriter:
    """A list of objects, when all are there."""

    def __init__(self) -> None:
        self._listed: list[dict[str, Any]] = []

    def write(self, image: ImageSource, result: Prediction | DataError) -> None:
        """Take one image, with its prediction or the reason why there is none."""
        if isinstance(result, DataError):
            self._listed.append({"image": image.name, "error": str(result)})
        else:
            self._listed.append(result.to_json())

    def finish(self) -> None:
        """Print the list."""
        print_json(self._listed)


class CsvWriter:
    """A row for each image, or for each box of an image: one without a box has one row, with its name only.

    The first image that can be read says which columns there are.
    """

    def __init__(self) -> None:
        self._writer: csv.DictWriter[str] | None = None
        self._waiting: list[dict[str, Any]] = []

    def write(self, image: ImageSource, result: Prediction | DataError) -> None:
        """Take one image, with its prediction or the reason why there is none."""
        import csv

        from mobilenets.base.flat import flat_row
        from mobilenets.tasks.detection import BOX_COLUMNS, box_rows
        from mobilenets.tasks.multilabel import LabelsPrediction

        if isinstance(result, DataError):
            self._waiting.append({"image": image.name, "error": str(result)})
        else:
            values = result.to_json()
            if isinstance(result, LabelsPrediction):
                rows = [result.to_row()]
            else:
                rows = box_rows(values) if "detections" in values else [flat_row(values)]
            if self._writer is None:
                columns = BOX_COLUMNS if "detections" in values else tuple(rows[0])
                self._writer = csv.DictWriter(sys.stdout, [*columns, "error"], restval="", lineterminator="\n")
                self._writer.writeheader()
            self._waiting += rows
        if self._writer is not None:
            self._writer.writerows(self._waiting)
            self._waiting.clear()

    def finish(self) -> None:
        """Print what no prediction came for."""
        import csv

        if self._writer is None:
            self._writer = csv.DictWriter(sys.stdout, ["image", "error"], lineterminator="\n")
            self._writer.writeheader()
            self._writer.writerows(self._waiting)
