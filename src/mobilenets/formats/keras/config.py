"""The configuration of a Keras model as a list of calls: models within models written out, inputs by number.

Every generation says the same in its own way: Keras 2 writes ``[["conv1", 0, 0, {}]]`` where Keras 3 writes
``{"args": [{"class_name": "__keras_tensor__", …}]}``, and a ``Sequential`` says nothing, for its layers stand in order.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mobilenets.errors import FormatError

DEEPEST = 8
"""Models within models beyond which a configuration is refused."""
MOST_CALLS = 4096
_CONTAINERS = {"Functional", "Model", "Sequential"}
_TENSOR = "__keras_tensor__"
_OPERANDS = {"x", "y", "x1", "x2"}
"""Keywords under which operators take their operands."""


@dataclass(frozen=True)
class KerasTensor:
    """What a call reads or makes, by its number."""

    number: int


@dataclass(frozen=True)
class KerasCall:
    """One layer or operator, applied once.

    Attributes:
        kind: Its class, such as ``Conv2D`` or ``TrueDivide``; of a TensorFlow function, its name (``math.truediv``).
        name: The layer's own name.
        config: Its settings.
        arguments: Tensors and constants in order; keyword arguments that hold tensors or numbers last.
        keywords: Other keyword arguments.
        output: What it makes.
        models: Names of the models that it lies in, the outermost first; not that of the whole model.
        place: Where archives keep its variables: ``layers/functional/layers/conv2d_3``.
    """

    kind: str
    name: str
    config: Mapping[str, Any]
    arguments: tuple[Any, ...]
    keywords: Mapping[str, Any]
    output: KerasTensor
    models: tuple[str, ...]
    place: str

    @property
    def tensors(self) -> list[KerasTensor]:
        """The tensors among its arguments."""
        return [argument for argument in self.arguments if isinstance(argument, KerasTensor)]

    @property
    def constants(self) -> list[Any]:
        """The arguments that are not tensors."""
        return [argument for argument in self.arguments if not isinstance(argument, KerasTensor)]


@dataclass
class KerasConfiguration:
    """A model's configuration.

    Attributes:
        name: The model's.
        calls: All layers and operators in an order in which each reads what came before.
        input_shape: Batch shape of the image, as written; None where none is given.
        input: The image.
        outputs: What leaves the model, with the names of the layers that make it.
    """

    name: str = ""
    calls: list[KerasCall] = field(default_factory=list)
    input_shape: list[Any] | None = None
    input: KerasTensor = KerasTensor(0)
    outputs: list[tuple[KerasTensor, str]] = field(default_factory=list)


def read_configuration(text: str | bytes) -> KerasConfiguration:
    """Read the JSON of a model's configuration.

    Raises:
        FormatError: If it is not such JSON, or is of a model with several inputs.
    """
    try:
        content = json.loads(text)
        if "config" not in content or "layers" not in _settings(content):
            raise FormatError(
                f"the Keras configuration is of a {content.get('class_name', 'model')!r:.60} written as a class of its "
                "own, whose layers only its Python code knows; rebuild it with keras.Sequential or keras.Model and save"
            )
        return _Reader().read(content)
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError, RecursionError) as error:
        raise FormatError(f"the Keras model configuration is not readable: {error!r:.200}") from None


def snake_case(name: str) -> str:
    """A class's name as archives of variables write it.

    >>> snake_case("DepthwiseConv2D"), snake_case("GlobalAveragePooling2D")
    ('depthwise_conv2d', 'global_average_pooling2d')
    """
    name = re.sub(r"\W+", "", name)
    name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub("([a-z])([A-Z])", r"\1_\2", name).lower()


def _settings(model: Mapping[str, Any]) -> Mapping[str, Any]:
    """A model's own settings; the oldest Sequential is a plain list of layers."""
    settings = model["config"]
    return {"layers": settings} if isinstance(settings, list) else settings


class _Reader:
    def __init__(self) -> None:
        self.found = KerasConfiguration()
        self.made = 0

    def read(self, model: Mapping[str, Any]) -> KerasConfiguration:
        self.found.name = str(_settings(model).get("name", ""))
        self.found.outputs = self._model(model, None, (), "", 0)
        return self.found

    def _new(self) -> KerasTensor:
        self.made += 1
        if self.made > MOST_CALLS:
            raise FormatError(f"the Keras model configuration has more than {MOST_CALLS} layers")
        return KerasTensor(self.made)

    def _model(
        self, model: Mapping[str, Any], source: KerasTensor | None, models: tuple[str, ...], place: str, depth: int
    ) -> list[tuple[KerasTensor, str]]:
        """Write out a model that reads one tensor (None: the image); what it makes, by the name of the maker."""
        if depth > DEEPEST:
            raise FormatError(f"the Keras model configuration nests models more than {DEEPEST} deep")
        self._new()  # models that hold nothing count too: a few within each other could be called without end
        settings = _settings(model)
        layers = _placed(settings["layers"], place)
        if model["class_name"] == "Sequential" or "output_layers" not in settings:
            return self._sequential(layers, source, models, depth)
        return self._functional(settings, layers, source, models, depth)

    def _sequential(
        self,
        layers: list[tuple[Mapping[str, Any], str]],
        source: KerasTensor | None,
        models: tuple[str, ...],
        depth: int,
    ) -> list[tuple[KerasTensor, str]]:
        tensor, name = source or self.found.input, ""
        for layer, place in layers:
            name = str(layer["config"].get("name", "")) if isinstance(layer["config"], Mapping) else ""
            self._note_shape(layer, tensor)
            if layer["class_name"] != "InputLayer":
                ((tensor, name),) = self._call(layer, (tensor,), {}, models, place, depth)
        return [(tensor, name)]

    def _functional(
        self,
        settings: Mapping[str, Any],
        layers: list[tuple[Mapping[str, Any], str]],
        source: KerasTensor | None,
        models: tuple[str, ...],
        depth: int,
    ) -> list[tuple[KerasTensor, str]]:
        inputs = _references(settings["input_layers"])
        if len(inputs) != 1:
            names = ", ".join(repr(name) for name, _, _ in inputs)
            raise FormatError(f"the Keras model has {len(inputs)} inputs ({names}); one image goes in")
        values = _Values({str(layer.get("name", layer["config"].get("name"))) for layer, _ in layers})
        waiting = [(layer, place, *call) for layer, place in layers for call in _calls(layer)]
        while waiting:
            left = []
            for layer, place, number, call in waiting:
                name = str(layer.get("name", layer["config"].get("name")))
                if name == inputs[0][0]:
                    values.made[name, 0] = [(source or self.found.input, name)]
                    self._note_shape(layer, source or self.found.input)
                    continue
                try:
                    arguments, keywords = values.arguments(call)
                except _NotYetMadeError:
                    left.append((layer, place, number, call))
                    continue
                outputs = self._call(layer, arguments, keywords, models, place, depth)
                values.made[name, number] = outputs
                if layer["class_name"] in _CONTAINERS:
                    values.made[name, number + 1] = outputs  # counted from 1 where building it was the first call
            if len(left) == len(waiting):
                raise FormatError(f"layer {left[0][0].get('name')!r} reads what no layer makes")
            waiting = left
        return [values.tensor(*reference) for reference in _references(settings["output_layers"])]

    def _call(
        self,
        layer: Mapping[str, Any],
        arguments: tuple[Any, ...],
        keywords: Mapping[str, Any],
        models: tuple[str, ...],
        place: str,
        depth: int,
    ) -> list[tuple[KerasTensor, str]]:
        kind, config = str(layer["class_name"]), layer["config"]
        if kind in _CONTAINERS:
            tensors = [argument for argument in arguments if isinstance(argument, KerasTensor)]
            inner = str(config.get("name", layer.get("name", ""))) if isinstance(config, Mapping) else ""
            if len(tensors) != 1:
                raise FormatError(f"the model {inner!r} reads {len(tensors)} tensors; one image goes in")
            return self._model(layer, tensors[0], (*models, inner), place, depth + 1)
        if kind in ("TFOpLambda", "SlicingOpLambda"):
            kind = str(config["function"])
        elif kind == "TensorFlowOpLayer":
            kind, arguments = _node_definition(config, arguments)
        output = self._new()
        name = str(config.get("name", layer.get("name", "")))
        self.found.calls.append(KerasCall(kind, name, config, arguments, keywords, output, models, place))
        return [(output, name)]

    def _note_shape(self, layer: Mapping[str, Any], tensor: KerasTensor) -> None:
        """Keep the shape that the first layer to read the image declares."""
        config = layer["config"]
        if tensor == self.found.input and self.found.input_shape is None and isinstance(config, Mapping):
            shape = config.get("batch_shape") or config.get("batch_input_shape")
            self.found.input_shape = list(shape) if shape is not None else None


def _placed(layers: list[Mapping[str, Any]], place: str) -> list[tuple[Mapping[str, Any], str]]:
    """Layers, each with the place of its variables: its class, numbered among its like."""
    count: Counter[str] = Counter()
    placed = []
    if len(layers) > MOST_CALLS:
        raise FormatError(f"the Keras model configuration has {len(layers)} layers")
    for layer in layers:
        name = snake_case(str(layer["class_name"]))
        number = count[name]
        count[name] += 1
        root = f"{place}/" if place else ""
        placed.append((layer, f"{root}layers/{name}{f'_{number}' if number else ''}"))
    return placed


def _references(written: Any) -> list[tuple[str, int, int]]:
    """Outputs of layers by (name, number of the call, number of the output); Keras 3 leaves the outer list out."""
    if isinstance(written, list) and written and isinstance(written[0], str):
        written = [written]
    if isinstance(written, Mapping):
        written = list(written.values())
    return [(str(name), int(call), int(output)) for name, call, output in written]


def _calls(layer: Mapping[str, Any]) -> list[tuple[int, Any]]:
    """The calls of a layer by number; None stands for that of an input."""
    calls = layer.get("inbound_nodes") or [None]
    if len(calls) > 1 and layer["class_name"] in _CONTAINERS:
        raise FormatError(f"the model {layer.get('name')!r} is applied {len(calls)} times, which no Model does")
    return list(enumerate(calls))


class _NotYetMadeError(KeyError):
    """A call reads what a later layer in the file makes."""


class _Values:
    """What the layers of one model made.

    Args:
        names: Names of all its layers.

    Attributes:
        made: Outputs with the names of their makers, by layer and number of the call.
    """

    def __init__(self, names: set[str]) -> None:
        self._names = names
        self.made: dict[tuple[str, int], list[tuple[KerasTensor, str]]] = {}

    def tensor(self, name: str, call: int, output: int) -> tuple[KerasTensor, str]:
        """An output."""
        if (name, call) not in self.made:
            raise _NotYetMadeError if name in self._names else KeyError(name)
        return self.made[name, call][output]

    def arguments(self, call: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Arguments of a call, lists of tensors written out, and the keywords that are neither tensors nor operands."""
        if call is None:
            return (), {}
        arguments: list[Any] = []
        keywords: dict[str, Any] = {}
        if isinstance(call, Mapping):
            for written in call.get("args", []):
                arguments.extend(self._values(written))
            further = dict(call.get("kwargs", {}))
        else:
            further = {}
            for name, number, output, *rest in [call] if isinstance(call[0], str) else call:
                arguments.append(output if name == "_CONSTANT_VALUE" else self.tensor(name, number, output)[0])
                further |= rest[0] if rest else {}
        for keyword, written in further.items():
            values = self._values(written)
            if keyword in _OPERANDS or any(isinstance(value, KerasTensor) for value in values):
                arguments.extend(values)
            else:
                keywords[keyword] = written
        return tuple(arguments), keywords

    def _values(self, written: Any) -> list[Any]:
        """What an argument stands for: one value, or those of a list of tensors."""
        if isinstance(written, Mapping) and written.get("class_name") == _TENSOR:
            return [self.tensor(*written["config"]["keras_history"])[0]]
        if isinstance(written, Mapping) and isinstance(written.get("config"), Mapping) and "value" in written["config"]:
            return [written["config"]["value"]]  # a constant tensor
        if (
            isinstance(written, list)
            and len(written) == 3
            and isinstance(written[0], str)
            and written[0] in self._names
        ):
            return [self.tensor(*written)[0]]
        if isinstance(written, list) and any(isinstance(item, Mapping | list) for item in written):
            values = [value for item in written for value in self._values(item)]
            if any(isinstance(value, KerasTensor) for value in values):
                return values
        return [written]


def _node_definition(config: Mapping[str, Any], arguments: tuple[Any, ...]) -> tuple[str, tuple[Any, ...]]:
    """Operator and arguments of a graph's node, as TensorFlow 2.2 and 2.3 wrapped them into layers."""
    node = config["node_def"]
    node = json.loads(node) if isinstance(node, str) else node
    constants = {int(place): value for place, value in config.get("constants", {}).items()}
    tensors = iter(arguments)
    count = len(constants) + len(arguments)
    return str(node["op"]), tuple(constants[place] if place in constants else next(tensors) for place in range(count))
