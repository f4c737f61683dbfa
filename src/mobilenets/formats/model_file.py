"""Model files of this package, as a format among others."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from mobilenets.errors import FormatError, ModelError
from mobilenets.formats.source import Source, source_of
from mobilenets.model.file import FORMAT, load
from mobilenets.model.model import Model
from mobilenets.tasks.classification import with_labels


def is_model_file(source: Source) -> bool:
    """Whether a source is a Model file, by its metadata."""
    return source.state_dict is not None and source.state_dict[1].get("format") == FORMAT


def from_model_file(source: str | Path | Source, *, labels: tuple[str, ...] | None = None) -> Model:
    """Load a Model file.

    Args:
        source: The file, or a folder that holds it as ``model.safetensors``.
        labels: Class names; by default those of the file.

    Raises:
        FormatError: If a folder holds no such file, or the labels are not as many as the classes.
        ModelFileError: If the file is damaged.
    """
    source = source_of(source)
    if source.file is None:
        raise FormatError(f"{source.path} holds no Model file")
    model = load(source.file)
    try:
        return model if labels is None else replace(model, task=with_labels(model.task, labels))
    except ModelError as error:
        raise FormatError(str(error)) from None
