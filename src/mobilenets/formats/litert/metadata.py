"""The metadata by which mobile apps show names: what the image means, and which class is which.

A flatbuffer inside the ``.tflite`` file describes its input and output, and names a text file of labels that lies in a
zip archive after the end of the model.

Source: ``metadata_schema.fbs`` of TensorFlow Lite Support, version 1.0; fields are written by their numbers there.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np

from mobilenets.errors import MissingDependencyError
from mobilenets.model.model import Model
from mobilenets.model.preprocessing import RGB_CHANNELS

NAME = "TFLITE_METADATA"
LABELS_FILE = "labels.txt"
FILE_IDENTIFIER = b"M001"
PARSER_VERSION = "1.0.0"

# Numbers of the schema's enumerations and unions.
_TENSOR_AXIS_LABELS = 2
_RGB = 1
_FEATURE_PROPERTIES = 1
_IMAGE_PROPERTIES = 2
_NORMALIZATION_OPTIONS = 1


def metadata(model: Model, outputs: Sequence[str]) -> bytes:
    """The metadata flatbuffer.

    Args:
        model: Whose preprocessing and, of a classifier, labels are described.
        outputs: Names of the graph's outputs; the labels belong to the first.

    Raises:
        MissingDependencyError: If flatbuffers is not installed.
    """
    try:
        import flatbuffers
    except ImportError:
        raise MissingDependencyError("flatbuffers", "formats") from None
    writer = _Writer(flatbuffers.Builder(4096))
    classifies = model.task.labels is not None
    tensors = [writer.output(name, labeled=classifies and number == 0) for number, name in enumerate(outputs)]
    subgraph = writer.table({2: writer.tables([writer.image(model)]), 3: writer.tables(tensors)})
    description = model.task.description.capitalize()
    root = writer.table(
        {
            0: writer.text(model.network.name),
            1: writer.text(description),
            3: writer.tables([subgraph]),
            7: writer.text(PARSER_VERSION),
        }
    )
    writer.builder.Finish(root, file_identifier=FILE_IDENTIFIER)
    return bytes(writer.builder.Output())


def mediapipe_normalization(model: Model) -> tuple[float, float]:
    """What an app takes from each byte of an image, and then divides it by, before a float graph reads it.

    One number each for all channels: more is what the metadata allows but MediaPipe refuses. (0, 1), pixels as they
    are, where the channels differ; the graph then normalizes them itself.
    """
    mean, std = model.preprocessing.mean, model.preprocessing.std
    if len(set(mean)) > 1 or len(set(std)) > 1 or model.network.channels != RGB_CHANNELS:
        return 0.0, 1.0
    return 255 * mean[0], 255 * std[0]


def labels_archive(model: Model) -> bytes:
    """The zip archive to be appended to the model: one label a line. The same labels give the same bytes.

    Only a classifier has labels; nothing is appended to a Model of another task.
    """
    if model.task.labels is None:
        return b""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as file:
        file.writestr(zipfile.ZipInfo(LABELS_FILE), "".join(f"{label}\n" for label in model.task.labels))
    return archive.getvalue()


class _Writer:
    """Tables by field number; every method returns the offset of what it wrote."""

    def __init__(self, builder: Any) -> None:
        self.builder = builder

    def image(self, model: Model) -> int:
        """TensorMetadata of the image: RGB, its size, and what is taken from it and it is divided by."""
        network = model.network
        size = self.table({}, numbers={0: network.width, 1: network.height})
        properties = self.table({1: size}, kinds={0: _RGB})
        content = self.table({1: properties}, kinds={0: _IMAGE_PROPERTIES})
        mean, std = (
            self.builder.CreateNumpyVector(np.array([value], np.float32)) for value in mediapipe_normalization(model)
        )
        unit = self.table({1: self.table({0: mean, 1: std})}, kinds={0: _NORMALIZATION_OPTIONS})
        return self.table({0: self.text("image"), 3: content, 4: self.tables([unit])})

    def output(self, name: str, *, labeled: bool) -> int:
        """TensorMetadata of an output, with the labels along its last axis."""
        content = self.table({1: self.table({})}, kinds={0: _FEATURE_PROPERTIES})
        fields = {0: self.text(name), 3: content}
        if labeled:
            file = self.table({0: self.text(LABELS_FILE)}, kinds={2: _TENSOR_AXIS_LABELS})
            fields[6] = self.tables([file])
        return self.table(fields)

    def text(self, text: str) -> int:
        offset: int = self.builder.CreateString(text)
        return offset

    def table(
        self,
        offsets: Mapping[int, int],
        *,
        kinds: Mapping[int, int] = MappingProxyType({}),
        numbers: Mapping[int, int] = MappingProxyType({}),
    ) -> int:
        """A table whose fields are offsets, enumeration values (bytes) and unsigned 32-bit numbers."""
        self.builder.StartObject(8)
        for slot, offset in offsets.items():
            self.builder.PrependUOffsetTRelativeSlot(slot, offset, 0)
        for slot, number in numbers.items():
            self.builder.PrependUint32Slot(slot, number, 0)
        for slot, kind in kinds.items():
            self.builder.PrependUint8Slot(slot, kind, 0)
        end: int = self.builder.EndObject()
        return end

    def tables(self, offsets: list[int]) -> int:
        self.builder.StartVector(4, len(offsets), 4)
        for offset in reversed(offsets):
            self.builder.PrependUOffsetTRelative(offset)
        end: int = self.builder.EndVector()
        return end
