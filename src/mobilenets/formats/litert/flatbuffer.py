"""A LiteRT graph as plain data, and the flatbuffer that holds it.

Source: the TensorFlow Lite schema, version 3, through the ``tflite`` package.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from mobilenets.errors import MissingDependencyError

SCHEMA_VERSION = 3
FILE_IDENTIFIER = b"TFL3"
SIGNATURE = "serving_default"
"""Name of the one signature, as LiteRT's own converter calls it."""
ALIGNMENT = 16
"""Bytes to which constants are aligned, so that a runtime can use them where the file is mapped."""

Array = npt.NDArray[Any]


@dataclass
class Tensor:
    """One tensor of a graph.

    Attributes:
        name: Unique within the graph.
        kind: Name of its ``TensorType``, such as ``INT8``.
        shape: As stored; the batch is 1.
        values: What a constant holds; None for what is computed.
        scale: Scales of its quantization: none, one, or one per channel.
        zero_point: Likewise.
        axis: Axis of the channels that have scales of their own.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    values: Array | None = None
    scale: Array = field(default_factory=lambda: np.zeros(0, np.float32))
    zero_point: Array = field(default_factory=lambda: np.zeros(0, np.int64))
    axis: int = 0


@dataclass
class Operator:
    """One step of a graph.

    Attributes:
        code: Name of its ``BuiltinOperator``, such as ``CONV_2D``.
        inputs: Indices of tensors; −1 stands for one that is left out.
        output: Index of the one tensor that it makes.
        options: Name of its options table, such as ``Conv2DOptions``, or none.
        settings: Fields of that table by their names in the schema's Python binding, such as ``StrideH``.
        version: First version of the operator that does what is asked.
        custom: Name and settings, as a flexbuffer, of an operator that is not built in; its code is ``CUSTOM``.
        more: Indices of further tensors that it makes.
    """

    code: str
    inputs: tuple[int, ...]
    output: int
    options: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    version: int = 1
    custom: tuple[str, bytes] | None = None
    more: Sequence[int] = ()

    @property
    def identity(self) -> tuple[str, int, str]:
        """What operators of one kind have in common."""
        return self.code, self.version, "" if self.custom is None else self.custom[0]


@dataclass
class Subgraph:
    """Tensors and the operators between them, in order."""

    name: str
    tensors: list[Tensor] = field(default_factory=list)
    operators: list[Operator] = field(default_factory=list)
    inputs: list[int] = field(default_factory=list)
    outputs: list[int] = field(default_factory=list)

    def add(self, tensor: Tensor) -> int:
        """Append a tensor; returns its index."""
        self.tensors.append(tensor)
        return len(self.tensors) - 1


def serialize(graph: Subgraph, metadata: Mapping[str, bytes], description: str = "") -> bytes:
    """The graph as the bytes of a ``.tflite`` file.

    Args:
        graph: The graph.
        metadata: Named pieces of metadata.
        description: For people.

    Raises:
        MissingDependencyError: If flatbuffers or tflite is not installed.
    """
    try:
        import flatbuffers
        import tflite
    except ImportError as error:
        raise MissingDependencyError(error.name or "tflite", "formats") from None
    constants = [tensor.values for tensor in graph.tensors if tensor.values is not None]
    size = sum(values.nbytes for values in constants) + sum(map(len, metadata.values()))
    # The builder doubles its memory whenever it runs out, so it is given what the file will take, and room for tables.
    writer = _FlatbufferWriter(flatbuffers.Builder(size + 512 * (len(graph.tensors) + 16)), tflite)
    writer.model(graph, metadata, description)
    return bytes(writer.builder.Output())


class _FlatbufferWriter:
    """Writes tables bottom up, as flatbuffers must be; every method returns the offset of what it wrote."""

    def __init__(self, builder: Any, schema: Any) -> None:
        self.builder = builder
        self.schema = schema
        self.buffers: list[int] = []

    def model(self, graph: Subgraph, metadata: Mapping[str, bytes], description: str) -> None:
        self.buffer(b"")  # by convention the first buffer is empty, and computed tensors name it
        tensors = [self.tensor(tensor) for tensor in graph.tensors]
        kinds = sorted({operator.identity for operator in graph.operators})
        operators = [self.operator(operator, kinds.index(operator.identity)) for operator in graph.operators]
        subgraph = self.table(
            "SubGraph",
            Name=self.builder.CreateString(graph.name),
            Tensors=self.offsets(tensors),
            Inputs=self.numbers(graph.inputs, np.int32),
            Outputs=self.numbers(graph.outputs, np.int32),
            Operators=self.offsets(operators),
        )
        entries = []
        for name, content in metadata.items():
            number = self.buffer(content)
            entries.append(self.table("Metadata", Name=self.builder.CreateString(name), Buffer=number))
        signature = self.table(
            "SignatureDef",
            Inputs=self.names(graph, graph.inputs),
            Outputs=self.names(graph, graph.outputs),
            SignatureKey=self.builder.CreateString(SIGNATURE),
        )
        root = self.table(
            "Model",
            Version=SCHEMA_VERSION,
            OperatorCodes=self.offsets([self.operator_code(*kind) for kind in kinds]),
            Subgraphs=self.offsets([subgraph]),
            Description=self.builder.CreateString(description),
            Buffers=self.offsets(self.buffers),
            Metadata=self.offsets(entries),
            SignatureDefs=self.offsets([signature]),
        )
        self.builder.Finish(root, file_identifier=FILE_IDENTIFIER)

    def names(self, graph: Subgraph, tensors: list[int]) -> int:
        """Tensors by the names that a signature gives them: their own."""
        entries = [
            self.table("TensorMap", Name=self.builder.CreateString(graph.tensors[index].name), TensorIndex=index)
            for index in tensors
        ]
        return self.offsets(entries)

    def operator_code(self, code: str, version: int, custom: str) -> int:
        number = getattr(self.schema.BuiltinOperator, code)
        return self.table(
            "OperatorCode",
            # Readers from before there were more than 127 operators look at the deprecated byte.
            DeprecatedBuiltinCode=min(number, 127),
            CustomCode=self.builder.CreateString(custom) if custom else None,
            BuiltinCode=number,
            Version=version,
        )

    def tensor(self, tensor: Tensor) -> int:
        quantization = self.table(
            "QuantizationParameters",
            Scale=self.numbers(tensor.scale, np.float32) if tensor.scale.size else None,
            ZeroPoint=self.numbers(tensor.zero_point, np.int64) if tensor.scale.size else None,
            QuantizedDimension=tensor.axis,
        )
        computed = tensor.values is None
        signature = self.numbers([-1, *tensor.shape[1:]], np.int32) if computed else None
        return self.table(
            "Tensor",
            Name=self.builder.CreateString(tensor.name),
            Type=getattr(self.schema.TensorType, tensor.kind),
            Shape=self.numbers(tensor.shape, np.int32),
            ShapeSignature=signature,
            Quantization=quantization,
            Buffer=0 if tensor.values is None else self.buffer(np.ascontiguousarray(tensor.values).data.cast("B")),
            HasRank=True,
        )

    def operator(self, operator: Operator, kind: int) -> int:
        options, number = None, 0
        if operator.options:
            options = self.table(operator.options, **operator.settings)
            number = getattr(self.schema.BuiltinOptions, operator.options)
        return self.table(
            "Operator",
            OpcodeIndex=kind,
            Inputs=self.numbers(operator.inputs, np.int32),
            Outputs=self.numbers([operator.output, *operator.more], np.int32),
            BuiltinOptionsType=number,
            BuiltinOptions=options,
            CustomOptions=None if operator.custom is None else self.numbers(list(operator.custom[1]), np.uint8),
        )

    def buffer(self, content: bytes | memoryview) -> int:
        """Append a buffer; returns its number, not its offset."""
        data = None
        if len(content):
            self.builder.StartVector(1, len(content), ALIGNMENT)
            self.builder.head -= len(content)
            self.builder.Bytes[self.builder.head : self.builder.head + len(content)] = content
            data = self.builder.EndVector()
        self.buffers.append(self.table("Buffer", Data=data))
        return len(self.buffers) - 1

    def table(self, kind: str, **fields: Any) -> int:
        """A table of the schema; fields that are None are left out."""
        getattr(self.schema, f"{kind}Start")(self.builder)
        for name, value in fields.items():
            if value is not None:
                getattr(self.schema, f"{kind}Add{name}")(self.builder, value)
        end: Callable[[Any], int] = getattr(self.schema, f"{kind}End")
        return end(self.builder)

    def numbers(self, values: Any, dtype: npt.DTypeLike) -> int:
        """A vector of numbers."""
        offset: int = self.builder.CreateNumpyVector(np.asarray(values, dtype))
        return offset

    def offsets(self, offsets: list[int]) -> int:
        """A vector of tables."""
        self.builder.StartVector(4, len(offsets), 4)
        for offset in reversed(offsets):
            self.builder.PrependUOffsetTRelative(offset)
        end: int = self.builder.EndVector()
        return end
