"""From one word to a Model: what every command and :func:`mobilenets.load` accept in the place of one.

Every prediction loads this module, and most are of a Model file: functions import readers and tables where they are
needed.
"""

from __future__ import annotations

import json
from os import PathLike, fspath
from pathlib import Path

from mobilenets.base.arguments import typed
from mobilenets.base.progress import SILENT, Progress
from mobilenets.errors import ModelFileError
from mobilenets.model.file import FORMAT, LARGEST_METADATA, SUFFIX
from mobilenets.model.file import load as load_model_file
from mobilenets.model.model import Model

MODEL_WORDS = (
    "a Model file, a folder that fit wrote, a file or folder of another format (as for import), or published weights "
    "such as keras:0.25-224 (mobilenets models lists them)"
)
"""What is accepted in the place of a Model, for help and errors."""

BY_ITSELF = (
    "imagenet",
    "imagenet1k",
    "imagenet1k_v1",
    "imagenet1k_v2",
    "in1k",
    "pretrained",
    "default",
    "best",
    "true",
)
FROM_SCRATCH = ("scratch", "random", "none", "no", "false", "null")
"""Words that other programs have for weights trained on ImageNet that somebody else chooses, and for none at all."""

NEAREST = 3
"""Names that an error suggests at most."""


@typed(ModelFileError)
def load_model(source: Model | str | PathLike[str], *, progress: Progress = SILENT) -> Model:
    """Read a Model from whatever holds one. A Model is given back as it is.

    Args:
        source: A Model file; a folder that ``fit`` wrote, or another with one file of weights; a file of any format
            that :func:`~mobilenets.formats.importing.import_model` reads; ``https://…``; ``hub:owner/name``; or
            published weights by their short name, such as ``"keras:0.25-224"``.
        progress: Receives progress updates of downloads, and a note where the preprocessing of foreign weights is
            assumed.

    Returns:
        A float32 or int8 Model.

    Raises:
        ModelFileError: If nothing has that name, or it is a damaged Model file.
        FormatError: If it is of no format that is read, or the weights are neither in the cache nor to be fetched.

    >>> load_model("keras:0.25-225")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    mobilenets.errors.FormatError: 'keras:0.25-225' is not published; did you mean keras:0.25-224? ...
    """
    if isinstance(source, Model):
        return source
    text = fspath(source)
    path = Path(text)
    if path.exists():
        file = _weights_within(path) if path.is_dir() else path
        if is_own(file):
            return load_model_file(file)
    elif not is_remote(text):
        raise ModelFileError(_not_found(text))
    from mobilenets.formats.importing import import_model

    return import_model(path if path.exists() else text, progress=progress)


def _weights_within(folder: Path) -> Path:
    from mobilenets.formats.source import WEIGHTS_FILES

    return next((file for name in WEIGHTS_FILES if (file := folder / name).is_file()), folder)


@typed(ModelFileError)
def pretrained(name: str, *, progress: Progress = SILENT) -> Model:
    """Published weights by their short name, from the cache or fetched into it.

    Args:
        name: Such as ``"keras:0.25-224"`` or ``"timm:mobilenetv4_conv_small"``; ``mobilenets models`` lists them.
        progress: Receives progress updates of a download.

    Returns:
        A float32 Model with the labels and the preprocessing that it was trained with.

    Raises:
        FormatError: If there is no such name, or the weights are neither in the cache nor to be fetched.

    >>> pretrained("keras:0.25-225")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    mobilenets.errors.FormatError: 'keras:0.25-225' is not published; did you mean keras:0.25-224? ...
    """
    from mobilenets.formats.published import short_name_in_full

    short_name_in_full(name)
    return load_model(name, progress=progress)


load = load_model
"""The name of :func:`load_model` in ``mobilenets``."""


def is_remote(source: str) -> bool:
    """Whether a text names what is fetched: an address, a repository of the hub, or published weights."""
    if "://" in source or source.startswith("hub:"):
        return True
    from mobilenets.formats.published import published_source

    return published_source(source) != source


def names_a_model(source: str) -> bool:
    """Whether a text names something that :func:`load_model` would read, without reading it.

    Raises:
        FormatError: If it begins like published weights that do not exist.
    """
    return Path(source).exists() or is_remote(source)


def check_named(source: str | PathLike[str]) -> None:
    """Raise what :func:`load_model` would where nothing has a name; no Model is read.

    Raises:
        ModelFileError: If nothing has that name.
        FormatError: If it begins like published weights that do not exist.
    """
    text = fspath(source)
    if not names_a_model(text):
        raise ModelFileError(_not_found(text))


def file_for(source: str | PathLike[str], suffix: str = SUFFIX) -> Path:
    """Where something made from a Model is written if nobody says where: beside its file, or here if it has none.

    >>> str(file_for("keras:0.25-224", ".tflite")), str(file_for("some/model.safetensors", ".tflite"))
    ('keras-0.25-224.tflite', 'some/model.tflite')
    """
    text = fspath(source)
    path = Path(text)
    if path.is_dir():
        return path / f"model{suffix}"
    if not path.exists() and is_remote(text):
        return Path(text.rpartition("/")[2].replace(":", "-").replace("@", "-") + suffix)
    return path.with_suffix(suffix)


def is_own(file: Path) -> bool:
    """Whether a file is a Model file of this package, or cannot be told and has the suffix of one."""
    try:
        with file.open("rb") as opened:
            length = int.from_bytes(opened.read(8), "little")
            header = json.loads(opened.read(length)) if length <= LARGEST_METADATA else None
        return str(header["__metadata__"]["format"]) == FORMAT if isinstance(header, dict) else _has_suffix(file)
    except KeyError:
        return False  # safetensors of somebody else
    except (OSError, ValueError, TypeError, RecursionError):
        return _has_suffix(file)


def _has_suffix(file: Path) -> bool:
    return file.suffix.lower() == SUFFIX


def _not_found(text: str) -> str:
    import difflib

    from mobilenets.architecture.catalog import CATALOG
    from mobilenets.architecture.imagenet_results import WEIGHTS
    from mobilenets.formats.published import all_short_names
    from mobilenets.formats.registry import readable

    if text.lower() in BY_ITSELF:
        return (
            f"{text} is no name of weights. Those trained on ImageNet have names such as keras:0.25-224 "
            "(mobilenets models lists them), and fit chooses among them by itself, with weights='auto' or without"
        )
    if text.lower() in FROM_SCRATCH:
        return f"{text} is no Model; to train from scratch, say weights='none'"
    name, _, _ = text.partition("@")
    if name in CATALOG:
        of_it = sorted((one for one in WEIGHTS if one.network.partition("@")[0] == name), key=lambda one: -one.top1)
        weights = list(dict.fromkeys(one.short_name for one in of_it))[:NEAREST]
        known = f"; published weights of it are {', '.join(weights)} (all: mobilenets models)" if weights else ""
        return f"{text} is an architecture, which has no weights{known}"
    suffixes = {suffix for row, _ in readable().values() for suffix in row.suffixes}
    if Path(text).suffix.lower() in suffixes or Path(text).name != text:
        return f"{text} does not exist"
    known_names = all_short_names()
    bare = {one.partition(":")[2]: one for one in reversed(known_names)} | {one: one for one in known_names}
    near = [bare[one] for one in difflib.get_close_matches(text, bare, n=NEAREST)]
    hint = f"; did you mean {' or '.join(dict.fromkeys(near))}?" if near else f"; a Model is {MODEL_WORDS}"
    return f"{text} does not exist{hint}"
