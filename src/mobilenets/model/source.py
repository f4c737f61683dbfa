"""A Model from whatever holds one: what every class and function that runs Models takes."""

from __future__ import annotations

import importlib
from os import PathLike

from mobilenets.model.model import Model


def model_of(source: Model | str | PathLike[str]) -> Model:
    """A Model as it is, or what :func:`mobilenets.load` reads.

    The readers of other formats stand above this part, so it knows them by the package's public name only.

    Args:
        source: A Model; a path of a Model file or of a foreign file; or published weights such as ``"keras:0.25-224"``.

    Raises:
        ModelFileError: If nothing has that name, or it is a damaged Model file.
        FormatError: If it is of no format that is read, or the weights are not to be had.
    """
    if isinstance(source, Model):
        return source
    found = importlib.import_module("mobilenets").load(source)
    assert isinstance(found, Model)
    return found
