"""What a file's name says that it is, so that nothing is written under the name of something else."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

SUFFIXES: Mapping[str, str] = MappingProxyType(
    {
        ".safetensors": "a Model file",
        ".tflite": "a LiteRT file",
        ".onnx": "an ONNX file",
        ".c": "a C file",
        ".xml": "an OpenVINO file",
        ".mlpackage": "a Core ML package",
        ".h5": "a Keras file",
        ".keras": "a Keras file",
        ".pb": "a TensorFlow graph",
        ".index": "a TensorFlow checkpoint",
        ".ckpt": "a checkpoint",
        ".pth": "a PyTorch checkpoint",
        ".pt": "a PyTorch checkpoint",
        ".bin": "a file of weights",
        ".tar": "an archive",
        ".json": "a JSON file",
        ".html": "a page",
        ".svg": "an image",
        ".csv": "a table",
    }
)
"""What a file of each suffix is taken for, by people and by programs."""
EXPORTED = (".tflite", ".onnx", ".c", ".html", ".xml", ".mlpackage")
"""Suffixes of what ``mobilenets export`` writes."""


def taken_for(path: Path, own: tuple[str, ...]) -> str | None:
    """What a file would be taken for by its name, if that is another thing than what is written into it.

    Args:
        path: Where it is to be written.
        own: Suffixes of what is written.

    >>> taken_for(Path("model.TFLITE"), (".safetensors",))
    'a LiteRT file'
    >>> taken_for(Path("model.v2"), (".safetensors",)) is None
    True
    """
    suffix = path.suffix.lower()
    return None if suffix in own else SUFFIXES.get(suffix)
