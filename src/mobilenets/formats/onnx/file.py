"""ONNX files as nodes and arrays, read without the onnx package.

Source: onnx.proto of the ONNX repository; fields are numbered as there.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mobilenets.errors import FormatError
from mobilenets.formats.containers.protobuf import Message
from mobilenets.formats.onnx.external import ExternalTensors
from mobilenets.formats.weights import NamedTensor
from mobilenets.model.model import Tensor

MOST_NODES = 1 << 14

_TYPES = {1: "<f4", 2: "u1", 3: "i1", 6: "<i4", 7: "<i8", 10: "<f2", 11: "<f8"}
_TYPED_FIELDS = {1: 4, 11: 10}
"""Where numbers of a type lie when not in raw_data: float_data and double_data."""


@dataclass(frozen=True)
class Node:
    """One operator.

    Attributes:
        operator: Such as ``Conv``.
        name: Its name, or that of what it makes.
        inputs: Names of tensors; empty text for one that is left out.
        outputs: Likewise.
        attributes: Numbers, lists of numbers, text and tensors by name.
    """

    operator: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: dict[str, Any]

    def input(self, number: int) -> str:
        """Name of an input, empty where it is left out."""
        return self.inputs[number] if number < len(self.inputs) else ""


@dataclass(frozen=True)
class OnnxGraph:
    """What a file holds.

    Attributes:
        name: Of the graph.
        nodes: In order of execution.
        constants: Initializers by name.
        inputs: Shape by name; None for a size that is left open. Initializers are not among them.
        outputs: Names.
        metadata: Texts by key.
        producer: Name of the program that wrote it.
    """

    name: str
    nodes: tuple[Node, ...]
    constants: dict[str, NamedTensor]
    inputs: dict[str, tuple[int | None, ...]]
    outputs: tuple[str, ...]
    metadata: dict[str, str] = field(default_factory=dict)
    producer: str = ""


def read_onnx(data: bytes, file: Path | None = None) -> OnnxGraph:
    """Read a file.

    Args:
        data: Its bytes.
        file: Its path, beside which tensors may lie in files of their own.

    Raises:
        FormatError: If it is damaged, holds no graph, or a file that it keeps its tensors in is not beside it.
    """
    external = ExternalTensors(file)
    model = Message(data, "the ONNX file")
    if not model.has(7):
        raise FormatError("the ONNX file holds no graph")
    graph = model.message(7, "the ONNX graph")
    constants: dict[str, NamedTensor] = {}
    total = 0
    for message in graph.messages(5, "an ONNX initializer"):
        found = _tensor(message, external)
        total += found.value.nbytes
        if total > 2 * (len(data) + external.size):
            raise FormatError(f"{found.source}: the tensors take more than the file")
        constants[found.source] = found
    nodes = tuple(_node(message, external) for message in graph.messages(1, "an ONNX node"))
    if len(nodes) > MOST_NODES:
        raise FormatError(f"the ONNX graph has {len(nodes)} nodes; {MOST_NODES} is the limit")
    inputs = dict(_value(message) for message in graph.messages(11, "an ONNX input"))
    return OnnxGraph(
        name=graph.text(2),
        nodes=nodes,
        constants=constants,
        inputs={name: shape for name, shape in inputs.items() if name not in constants},
        outputs=tuple(_value(message)[0] for message in graph.messages(12, "an ONNX output")),
        metadata={entry.text(1): entry.text(2) for entry in model.messages(14, "ONNX metadata")},
        producer=model.text(2),
    )


def _node(message: Message, external: ExternalTensors) -> Node:
    outputs = tuple(message.texts(2))
    return Node(
        operator=message.text(4),
        name=message.text(3) or (outputs[0] if outputs else message.text(4)),
        inputs=tuple(message.texts(1)),
        outputs=outputs,
        attributes=dict(_attribute(attribute, external) for attribute in message.messages(5, "an ONNX attribute")),
    )


def _attribute(message: Message, external: ExternalTensors) -> tuple[str, Any]:
    kind = message.integer(20)
    readers: dict[int, Callable[[], Any]] = {
        1: lambda: message.real(2),
        2: lambda: message.integer(3),
        3: lambda: message.text(4),
        4: lambda: _tensor(message.message(5, "an ONNX attribute's tensor"), external),
        6: lambda: message.reals(7).tolist(),
        7: lambda: message.integers(8),
        8: lambda: message.texts(9),
    }
    if kind not in readers:
        raise FormatError(f"the ONNX attribute {message.text(1)!r:.60} is of type {kind}, which is not read")
    return message.text(1), readers[kind]()


def _tensor(message: Message, external: ExternalTensors) -> NamedTensor:
    name, kind, shape = message.text(8), message.integer(2), tuple(message.integers(1))
    if kind not in _TYPES:
        raise FormatError(f"the ONNX tensor {name!r:.80} is of type {kind}, which is not read")
    if len(shape) > 8 or any(extent < 0 for extent in shape):
        raise FormatError(f"the ONNX tensor {name!r:.80} has shape {shape}")
    dtype = np.dtype(_TYPES[kind])
    values: Tensor
    count = math.prod(shape)
    if external.holds(message):
        values = np.frombuffer(external.bytes_of(name, message, count * dtype.itemsize), dtype)
    elif message.has(9):
        raw = message.raw(9)
        if len(raw) % dtype.itemsize:
            raise FormatError(f"the ONNX tensor {name!r:.80} has {len(raw)} bytes")
        values = np.frombuffer(raw, dtype)
    elif kind in _TYPED_FIELDS:
        values = message.reals(_TYPED_FIELDS[kind], _TYPES[kind])
    elif kind in (2, 3, 6, 7):
        numbers = message.integers(7 if kind == 7 else 5)
        values = np.array(numbers, np.int64).astype(dtype)
    else:
        values = np.zeros(0, dtype)
    if values.size != count:
        raise FormatError(f"the ONNX tensor {name!r:.80} has {values.size} numbers; its shape {shape} needs {count}")
    return NamedTensor(name, values.reshape(shape))


def _value(message: Message) -> tuple[str, tuple[int | None, ...]]:
    shape = message.message(2, "an ONNX type").message(1, "an ONNX tensor type").message(2, "an ONNX shape")
    sizes = [
        size.integer(1) if size.has(1) and size.integer(1) > 0 else None for size in shape.messages(1, "an ONNX size")
    ]
    return message.text(1), tuple(sizes)
