"""Tensors of an ONNX file that lie in other files beside it: torch's exporter writes ``model.onnx.data``."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from mobilenets.errors import FormatError
from mobilenets.formats.containers.binary import Bytes, read_file
from mobilenets.formats.containers.protobuf import Message

_EXTERNAL, _ENTRIES = 14, 13
"""Fields of a tensor: where its numbers lie, and the file, the offset and the length."""


class ExternalTensors:
    """Files beside an ONNX file, each read once.

    Args:
        file: The ONNX file; None where only its bytes are known, so that nothing lies beside it.
    """

    def __init__(self, file: Path | None) -> None:
        self._file = file
        self._read: dict[str, Bytes] = {}

    @property
    def size(self) -> int:
        """Bytes of the files that were read."""
        return sum(map(len, self._read.values()))

    @staticmethod
    def holds(tensor: Message) -> bool:
        """Whether a tensor's numbers lie in another file."""
        return tensor.has(_ENTRIES) or tensor.integer(_EXTERNAL) == 1

    def bytes_of(self, name: str, tensor: Message, needed: int) -> bytes:
        """The bytes of a tensor.

        Args:
            name: Its name.
            tensor: It.
            needed: How many bytes its shape takes.

        Raises:
            FormatError: If the file is not there, lies in another folder, or is too short.
        """
        said = {entry.text(1): entry.text(2) for entry in tensor.messages(_ENTRIES, "ONNX external data")}
        try:
            offset, length = int(said.get("offset") or 0), int(said.get("length") or needed)
        except ValueError:
            raise FormatError(f"the ONNX tensor {name!r:.80} lies at {said!r:.120} in another file") from None
        if length != needed:
            raise FormatError(f"the ONNX tensor {name!r:.80} has {length} bytes in another file; it needs {needed}")
        return bytes(self._open(name, said.get("location", "")).take(offset, length))

    def _open(self, name: str, location: str) -> Bytes:
        if location in self._read:
            return self._read[location]
        if self._file is None:
            raise FormatError(f"the ONNX tensor {name!r:.80} lies in another file, {location!r:.80}")
        if not location or PurePosixPath(location).name != location or location in (".", "..") or "\\" in location:
            raise FormatError(
                f"the ONNX tensor {name!r:.80} lies in {location!r:.80}; only files beside {self._file.name} are read"
            )
        path = self._file.parent / location
        if not path.is_file():
            raise FormatError(
                f"{self._file.name} keeps its weights in {location}, which is not beside it; copy both files into one "
                "folder, or export the graph as one file (external_data=False)"
            )
        self._read[location] = Bytes(read_file(path), f"{location}, which {self._file.name} keeps its weights in,")
        return self._read[location]
