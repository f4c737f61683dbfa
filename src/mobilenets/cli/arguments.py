"""Arguments of Python functions that errors and notes name, as options of the command line.

Errors of the library say what to change as its callers write it: ``Reading(exclude=('masks',))``. Whoever typed a
command reads the option in its place: ``--exclude masks``.
"""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Mapping

OPTIONS = {
    "batch_size": "--batch-size",
    "calibration": "--calibration",
    "channels": "--channels",
    "classes_from": "--classes-from",
    "columns": "--columns",
    "data": "--data",
    "dequantized": "--dequantize",
    "device": "--device",
    "exclude": "--exclude",
    "find_parts": "--parts",
    "images": "--images",
    "images_in": "--images-in",
    "input_scaling": "--input-scaling",
    "labels": "--labels",
    "letter_case": "--letter-case",
    "max_file_bytes": "--max-size",
    "max_flash_bytes": "--max-flash",
    "max_instructions": "--max-instructions",
    "max_latency_ms": "--max-latency",
    "max_macs": "--max-macs",
    "max_memory_bytes": "--max-memory",
    "min_accuracy": "--min-accuracy",
    "output": "--output",
    "parts": "--parts",
    "replace_existing": "--force",
    "resolution": "--resolution",
    "resume": "--resume",
    "separator": "--separator",
    "split_words": "--split-words",
    "task": "--task",
    "threads": "--threads",
    "time": "--time",
    "to": "--to",
    "weights": "--weights",
}
"""Argument → the option that says the same."""
_UNITS = {"max_latency_ms": "ms", "max_file_bytes": "B", "max_memory_bytes": "B", "max_flash_bytes": "B"}

_TEXT = r"'(?:[^'\\\n]|\\.)*'|\"(?:[^\"\\\n]|\\.)*\""
_VALUE = rf"(?:{_TEXT}|\{{(?:{_TEXT}|[^{{}}'\"])*\}}|\((?:{_TEXT}|[^()'\"])*\)|[-+\w.]*[-+\w])"
_ARGUMENT = rf"\b(?:{'|'.join(OPTIONS)})={_VALUE}"
# Compiled by re when the first error wants them: they take as long as reading an image.
_ARGUMENTS = rf"\b(?:Reading|Settings|Budget)\(({_ARGUMENT}(?:, {_ARGUMENT})*)\)|({_ARGUMENT})"
_ONE = rf"\b({'|'.join(OPTIONS)})=({_VALUE})"


def as_options(message: str) -> str:
    """A message with options where it names arguments.

    >>> as_options("leave it out with Reading(exclude=('old masks',))")
    "leave it out with --exclude 'old masks'"
    >>> as_options("say Reading(split_words={'exam': 'test', 'study': 'train'}), or go on with resume=True")
    'say --split-words exam=test,study=train, or go on with --resume'
    >>> as_options("say labels=FILE, max_latency_ms=5 or find_parts=False; x=1 stays")
    'say --labels FILE, --max-latency 5ms or --parts none; x=1 stays'
    """
    return re.sub(_ARGUMENTS, lambda found: _options(found[1] or found[2]), message)


def _options(arguments: str) -> str:
    return " ".join(_option(name, value) for name, value in re.findall(_ONE, arguments))


def _option(name: str, written: str) -> str:
    try:
        value = ast.literal_eval(written)
    except (ValueError, SyntaxError):
        value = written  # a word that stands for a value, such as FOLDER
    option = OPTIONS[name]
    if name == "find_parts":
        return f"{option} none"
    match value:
        case True:
            return option
        case Mapping():
            return f"{option} {shlex.quote(','.join(f'{key}={each}' for key, each in value.items()))}"
        case tuple():
            return " ".join(f"{option} {shlex.quote(str(each))}" for each in value)
        case str():
            return f"{option} {shlex.quote(value)}"
        case _:
            return f"{option} {value}{_UNITS.get(name, '')}"
