"""A file or folder that is being imported, read once whoever asks."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from mobilenets.formats.containers.binary import read_file
from mobilenets.formats.containers.safetensors_file import read_safetensors
from mobilenets.formats.containers.torch_checkpoint import (
    AVERAGES,
    TorchCheckpoint,
    is_torch_checkpoint,
    read_torch_checkpoint,
)
from mobilenets.formats.containers.zip_members import ZipMembers
from mobilenets.formats.prefixes import without_prefix
from mobilenets.model.model import Tensor

WEIGHTS_FILES = ("model.safetensors", "pytorch_model.bin")
"""Names under which folders, laid out as on the Hugging Face hub, hold their weights."""


class Source:
    """What is imported.

    Args:
        path: A file, or a folder.

    Attributes:
        path: The same.
        file: The file of weights: the path, or what a folder holds under one of :data:`WEIGHTS_FILES`; None where it
            holds neither.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.file: Path | None = self.path
        if self.path.is_dir():
            present = [self.path / name for name in WEIGHTS_FILES if (self.path / name).is_file()]
            self.file = present[0] if present else None

    @cached_property
    def data(self) -> bytes:
        """All bytes of the file; none where a folder holds no file of weights.

        Raises:
            FormatError: If the file does not exist or cannot be read.
        """
        return b"" if self.file is None else read_file(self.file)

    @cached_property
    def archive(self) -> ZipMembers | None:
        """Members of the file, where it is a ZIP archive.

        Raises:
            FormatError: If the archive is damaged.
        """
        return ZipMembers(self.data, f"{self.path.name}") if self.data[:2] == b"PK" else None

    @cached_property
    def state_dict(self) -> tuple[dict[str, Tensor], dict[str, str]] | None:
        """Tensors by name and metadata, where the file is a PyTorch checkpoint or of safetensors.

        What wrappers put before the names is taken off (see :func:`~mobilenets.formats.prefixes.without_prefix`). Of a
        checkpoint, the metadata say under ``taken`` which of its parts the tensors are.

        Raises:
            FormatError: If it is damaged, holds no weights, or those of two networks.
        """
        if is_torch_checkpoint(self.data):
            checkpoint = self._checkpoint
            return without_prefix(checkpoint.tensors), {"taken": checkpoint.key}
        if self.data[8:9] == b"{":
            tensors, metadata = read_safetensors(self.data)
            return without_prefix(tensors), metadata
        return None

    @cached_property
    def _checkpoint(self) -> TorchCheckpoint:
        return read_torch_checkpoint(self.data)

    @property
    def beside(self) -> Mapping[str, Any]:
        """Plain data beside the weights of a PyTorch checkpoint, text by key of safetensors; none of other formats."""
        if is_torch_checkpoint(self.data):
            return self._checkpoint.beside
        return self.state_dict[1] if self.state_dict is not None else {}

    @property
    def holds_averages(self) -> bool:
        """Whether a checkpoint's moving averages of the weights are taken."""
        return self.state_dict is not None and self.state_dict[1].get("taken") in AVERAGES


def source_of(source: str | Path | Source) -> Source:
    """A path as a source; a source as it is."""
    return source if isinstance(source, Source) else Source(source)
