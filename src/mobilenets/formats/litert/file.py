"""LiteRT files as tensors and operators.

Source: schema.fbs of the LiteRT repository; slots are numbered in its order.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from mobilenets.errors import FormatError, ModelError
from mobilenets.formats.containers.binary import Bytes
from mobilenets.formats.containers.flatbuffer import FlatbufferTable
from mobilenets.model.model import Tensor
from mobilenets.model.quantization import TensorQuantization

IDENTIFIER = b"TFL3"
MOST_INDICES = 256
"""Tensors that one operator may name."""

CUSTOM = 32
"""Number of all operators that are not built in."""
_TYPES = {0: "<f4", 1: "<f2", 2: "<i4", 3: "u1", 4: "<i8", 7: "<i2", 9: "i1"}


_OTHER_TYPES = {5: "text", 6: "bool", 8: "complex64", 10: "float64", 17: "int4", 18: "bfloat16"}


@dataclass(frozen=True)
class TfliteTensor:
    """A tensor of the file.

    Attributes:
        name: Its name.
        shape: Its shape.
        dtype: Type of its numbers.
        data: Its bytes, empty where it is computed.
        scales: Of its quantization, one or one per channel.
        zero_points: Likewise.
    """

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    data: memoryview
    scales: Tensor
    zero_points: Tensor

    @property
    def constant(self) -> bool:
        return len(self.data) > 0

    @property
    def quantized(self) -> bool:
        return self.dtype.kind in "iu" and self.dtype.itemsize == 1

    def value(self) -> Tensor:
        """Its numbers, as a view of the file."""
        size = self.dtype.itemsize
        for extent in self.shape:
            size *= extent
        if size != len(self.data):
            raise FormatError(f"{self.name} has {len(self.data)} bytes; its shape {self.shape} needs {size}")
        return np.frombuffer(self.data, self.dtype).reshape(self.shape)

    def activation(self) -> TensorQuantization:
        """Scale and zero point of an activation, in the terms of uint8."""
        if not self.quantized or self.scales.size != 1 or self.zero_points.size != 1:
            raise FormatError(f"{self.name} needs one scale and one zero point as an 8-bit activation")
        shift = 128 if self.dtype.kind == "i" else 0
        try:
            return TensorQuantization(float(self.scales[0]), int(self.zero_points[0]) + shift)
        except ModelError as error:
            raise FormatError(f"{self.name}: {error}") from None


@dataclass(frozen=True)
class TfliteOperator:
    """One operator.

    Attributes:
        code: Its number in the schema.
        inputs: Indices of tensors; −1 for one that is left out.
        output: Index of the tensor that it makes; of several, the first.
        options: Its own table of settings.
        custom: Name of an operator that is not built in; empty for one that is.
        settings: Bytes in which that keeps its settings.
        outputs: Indices of all tensors that it makes; only an operator that is not built in makes several.
    """

    code: int
    inputs: tuple[int, ...]
    output: int
    options: FlatbufferTable | None
    custom: str = ""
    settings: memoryview = memoryview(b"")
    outputs: tuple[int, ...] = ()


class TfliteFile:
    """A file of one graph.

    Args:
        data: Its bytes.

    Attributes:
        name: Of the graph.
        tensors: All of them.
        operators: In order of execution.
        inputs: Indices of the graph's inputs.
        outputs: Indices of the graph's outputs.
        metadata: Views of the file by name.

    Raises:
        FormatError: If it is damaged, or holds another number of graphs.
    """

    def __init__(self, data: bytes) -> None:
        file = Bytes(data, "the LiteRT file")
        file.expect(4, IDENTIFIER)
        root = FlatbufferTable.root(file)
        subgraphs = root.tables(2)
        if len(subgraphs) != 1:
            raise FormatError(f"the LiteRT file holds {len(subgraphs)} graphs; one was expected")
        (main,) = subgraphs
        self._codes = [(max(code.i8(0), code.i32(3)), code.text(1)) for code in root.tables(1)]
        self._buffers = root.tables(4)
        self.name = main.text(4)
        self.tensors = [self._tensor(table) for table in main.tables(0)]
        self.inputs = self._indices(main, 1)
        self.outputs = self._indices(main, 2)
        self.operators = [self._operator(table) for table in main.tables(3)]
        self.metadata = {entry.text(0): self._buffer(entry.i32(1)).raw(0) for entry in root.tables(6)}

    def tensor(self, index: int) -> TfliteTensor:
        """A tensor by its index."""
        if not 0 <= index < len(self.tensors):
            raise FormatError(f"the graph names tensor {index} of {len(self.tensors)}")
        return self.tensors[index]

    def _buffer(self, index: int) -> FlatbufferTable:
        if not 0 <= index < len(self._buffers):
            raise FormatError(f"the LiteRT file names buffer {index} of {len(self._buffers)}")
        return self._buffers[index]

    def _indices(self, table: FlatbufferTable, slot: int) -> tuple[int, ...]:
        numbers = table.numbers(slot, "<i4")
        if numbers.size > MOST_INDICES:
            raise FormatError(f"an operator or the graph names {numbers.size} tensors; {MOST_INDICES} is the limit")
        return tuple(int(index) for index in numbers)

    def _operator(self, table: FlatbufferTable) -> TfliteOperator:
        code = table.i32(0)
        if not 0 <= code < len(self._codes):
            raise FormatError(f"an operator names code {code} of {len(self._codes)}")
        inputs, outputs = self._indices(table, 1), self._indices(table, 2)
        number, custom = self._codes[code]
        custom = custom if number == CUSTOM else ""
        if not inputs or not outputs or (len(outputs) > 1 and not custom):
            raise FormatError(f"an operator makes {len(outputs)} tensors of {len(inputs)}; one of some was expected")
        return TfliteOperator(number, inputs, outputs[0], table.table(4), custom, table.raw(5), outputs)

    def _tensor(self, table: FlatbufferTable) -> TfliteTensor:
        number, name = table.i8(1), table.text(3)
        if number not in _TYPES:
            held = _OTHER_TYPES.get(number, f"type {number} of the schema")
            raise FormatError(f"{name} is of {held}; real numbers and integers of 8, 16, 32 and 64 bits are read")
        quantization = table.table(4)
        return TfliteTensor(
            name=name,
            shape=tuple(int(extent) for extent in table.numbers(0, "<i4")[:8]),
            dtype=np.dtype(_TYPES[number]),
            data=self._buffer(table.i32(2)).raw(0),
            scales=quantization.numbers(2, "<f4") if quantization else np.zeros(0, np.float32),
            zero_points=quantization.numbers(3, "<i8") if quantization else np.zeros(0, np.int64),
        )
