"""The nodes of a graph model: TensorFlow's operators as JSON, checked and put into an order of execution.

Source: graph.proto and node_def.proto of TensorFlow, in protobuf's JSON form; texts are base64.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mobilenets.base.arguments import is_number
from mobilenets.errors import FormatError

MOST_NODES = 50_000
MOST_VALUES = 64
"""Numbers or texts in one attribute."""
LARGEST_INTEGER = 1 << 31


@dataclass(frozen=True)
class TfNode:
    """One node.

    Attributes:
        name: Its name.
        operator: What it computes, such as ``Conv2D``.
        inputs: Names of the nodes whose first output it reads.
        attributes: Settings, as the file has them; read them by the methods.
    """

    name: str
    operator: str
    inputs: tuple[str, ...]
    attributes: Mapping[str, Any]

    def integers(self, name: str) -> list[int]:
        """A list of integers; empty where there is none."""
        values = self._of(self._of(self.attributes.get(name)).get("list")).get("i", [])
        return [self._integer(name, value) for value in self._listed(name, values)]

    def texts(self, name: str) -> list[str]:
        """A list of texts; empty where there is none."""
        values = self._of(self._of(self.attributes.get(name)).get("list")).get("s", [])
        return [self._text(name, value) for value in self._listed(name, values)]

    def text(self, name: str, default: str) -> str:
        """A text, or the default where there is none."""
        value = self._of(self.attributes.get(name)).get("s")
        return default if value is None else self._text(name, value)

    def number(self, name: str, default: float) -> float:
        """A real number, or the default where there is none."""
        value = self._of(self.attributes.get(name)).get("f", default)
        if not is_number(value) or not abs(value) < LARGEST_INTEGER:
            raise FormatError(f"{self.name} ({self.operator}) has {name} {value!r:.40}")
        return float(value)

    def flag(self, name: str) -> bool:
        """Whether something is said to be true."""
        return self._of(self.attributes.get(name)).get("b") is True

    def shape(self) -> tuple[int | None, ...] | None:
        """The shape that a placeholder says; None for sizes that are open, and for a shape that is."""
        found = self._of(self._of(self.attributes.get("shape")).get("shape"))
        if "dim" not in found:
            return None
        sizes = [
            self._integer("shape", self._of(one).get("size", -1)) for one in self._listed("shape", found.get("dim"))
        ]
        return tuple(size if size > 0 else None for size in sizes)

    def _listed(self, name: str, values: Any) -> list[Any]:
        if not isinstance(values, list) or len(values) > MOST_VALUES:
            raise FormatError(f"{self.name} ({self.operator}) has {name} {values!r:.40}; a short list was expected")
        return values

    def _integer(self, name: str, value: Any) -> int:
        try:
            number = int(value) if isinstance(value, str | int) else None
        except ValueError:
            number = None
        if number is None or not -LARGEST_INTEGER < number < LARGEST_INTEGER:
            raise FormatError(f"{self.name} ({self.operator}) has {name} {value!r:.40}; an integer was expected")
        return number

    def _text(self, name: str, value: Any) -> str:
        """A text in base64, or as codes of its letters."""
        try:
            if isinstance(value, list):
                return bytes(value[:MOST_VALUES]).decode()
            return base64.b64decode(value, validate=True).decode()
        except (binascii.Error, ValueError, TypeError):
            raise FormatError(f"{self.name} ({self.operator}) has {name} {value!r:.40}; no text") from None

    @staticmethod
    def _of(value: Any) -> Mapping[str, Any]:
        """A JSON object; an empty one in the place of anything else."""
        return value if isinstance(value, Mapping) else {}


@dataclass(frozen=True)
class TfGraph:
    """The part of a graph that its outputs need.

    Attributes:
        nodes: By name; each comes after those that it reads.
        outputs: Names of the nodes whose results leave the graph.
    """

    nodes: Mapping[str, TfNode]
    outputs: tuple[str, ...]


def read_graph(content: Mapping[str, Any]) -> TfGraph:
    """The nodes of a graph model.

    Args:
        content: The JSON of ``model.json``.

    Raises:
        FormatError: If a node is not readable, reads one that does not exist, or they read each other in a circle.
    """
    listed = content["modelTopology"].get("node")
    if not isinstance(listed, list) or not listed or len(listed) > MOST_NODES:
        raise FormatError("the graph model lists no nodes, or too many")
    nodes: dict[str, TfNode] = {}
    for entry in listed:
        node = _node(entry)
        if node.name in nodes:
            raise FormatError(f"two nodes are called {node.name!r:.80}")
        nodes[node.name] = node
    outputs = _outputs(content, nodes)
    return TfGraph(_ordered(nodes, outputs), outputs)


def _node(entry: Any) -> TfNode:
    if not isinstance(entry, Mapping) or not all(isinstance(entry.get(key), str) for key in ("name", "op")):
        raise FormatError(f"a node of the graph model has no name or no operator: {entry!r:.80}")
    inputs, attributes = entry.get("input", []), entry.get("attr", {})
    if not isinstance(inputs, list) or not all(isinstance(one, str) for one in inputs):
        raise FormatError(f"the inputs of {entry['name']!r:.80} are {inputs!r:.60}")
    if not isinstance(attributes, Mapping):
        raise FormatError(f"the attributes of {entry['name']!r:.80} are {attributes!r:.60}")
    read = tuple(_first_output(one, entry["name"]) for one in inputs if not one.startswith("^"))
    return TfNode(entry["name"], entry["op"], read, attributes)


def _first_output(text: str, reader: str) -> str:
    """The node of ``name`` or ``name:0``."""
    name, colon, number = text.rpartition(":")
    if not colon:
        return text
    if number != "0":
        raise FormatError(f"{reader} reads {text!r:.80}; only first outputs of nodes are read")
    return name


def _outputs(content: Mapping[str, Any], nodes: Mapping[str, TfNode]) -> tuple[str, ...]:
    """What the signature names, else the nodes that none reads."""
    metadata = content.get("userDefinedMetadata")
    signature = content.get("signature") or (metadata.get("signature") if isinstance(metadata, Mapping) else None)
    said = signature.get("outputs") if isinstance(signature, Mapping) else None
    if isinstance(said, Mapping) and said:
        names = [one.get("name") if isinstance(one, Mapping) else None for one in said.values()]
        if all(isinstance(name, str) for name in names):
            found = tuple(_first_output(str(name), "the signature") for name in names)
            missing = [name for name in found if name not in nodes]
            if missing:
                raise FormatError(f"the signature names the output {missing[0]!r:.80}, which is no node")
            return found
    read = {source for node in nodes.values() for source in node.inputs}
    return tuple(name for name, node in nodes.items() if name not in read and node.operator != "Const")


def _ordered(nodes: Mapping[str, TfNode], outputs: tuple[str, ...]) -> dict[str, TfNode]:
    """The nodes that the outputs need, each after those that it reads."""
    done: dict[str, TfNode] = {}
    begun: set[str] = set()
    waiting = [(name, False) for name in reversed(outputs)]
    while waiting:
        name, inputs_done = waiting.pop()
        if name in done:
            continue
        if inputs_done:
            done[name] = nodes[name]
            continue
        if name in begun:
            raise FormatError(f"{name!r:.80} reads its own result")
        begun.add(name)
        waiting.append((name, True))
        for source in reversed(nodes[name].inputs):
            if source not in nodes:
                raise FormatError(f"{name} reads {source!r:.80}, which is no node")
            if source not in done:
                waiting.append((source, False))
    return done
