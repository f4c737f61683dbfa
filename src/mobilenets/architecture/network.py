"""A network as data.

A :class:`Network` is a list of layers in static single assignment form: every layer names the layers that it reads
(or ``"input"``), and its own name stands for what it makes. Branches and several outputs need nothing more. Shapes
follow from the layers and the input size and are never stored beside them.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

from mobilenets.architecture.layers import INPUT, Activation, GlobalAveragePool, Layer, MaxPool, Shape, check
from mobilenets.architecture.multipliers import ONE_FOR_ONE, PaddingPolicy, Rounding
from mobilenets.base.arguments import check_fields, check_integer, check_number
from mobilenets.base.records import record
from mobilenets.errors import ArchitectureError


@record(frozen=True)
class Network:
    """A network: input size, layers in order of execution, and which of them are its outputs.

    Attributes:
        name: What people call it, such as ``mobilenet_v1``: a name of the catalog where it came from there.
        height: Input height in pixels.
        width: Input width in pixels.
        layers: The layers; each reads only layers before it, or ``"input"``.
        outputs: Names of the layers whose results leave the network.
        channels: Input channels.
        width_multiplier: α that the layers were computed with.
        rounding: How α was applied to channel counts.
        padding_policy: How the explicit paddings were computed.

    Raises:
        ArchitectureError: If names repeat, a layer reads what does not exist yet, or shapes do not meet.

    >>> from mobilenets.architecture.layers import Convolution, Linear
    >>> layers = (
    ...     Convolution("filters", ("input",), out_channels=4, kernel=3, stride=2),
    ...     GlobalAveragePool("pool", ("filters",)),
    ...     Linear("classifier", ("pool",), out_features=2),
    ... )
    >>> network = Network("tiny", 33, 33, layers, outputs=("classifier",))
    >>> str(network.shapes["filters"]), network.parameter_shapes()["classifier.weight"]
    ('4×16×16', (2, 4))
    >>> Network("tiny", 33, 33, layers[1:], outputs=("classifier",))
    Traceback (most recent call last):
    ...
    mobilenets.errors.ArchitectureError: pool reads 'filters', which no earlier layer makes
    """

    name: str
    height: int
    width: int
    layers: tuple[Layer, ...]
    outputs: tuple[str, ...]
    channels: int = 3
    width_multiplier: float = 1.0
    rounding: Rounding = ONE_FOR_ONE
    padding_policy: PaddingPolicy = PaddingPolicy.SAME

    def __post_init__(self) -> None:
        check_fields(self, ArchitectureError)
        check_number("width_multiplier", self.width_multiplier, ArchitectureError, above=0)
        for name in ("height", "width", "channels"):
            check_integer(f"{self.name}: {name}", getattr(self, name), ArchitectureError, least=1)
        check(len(self.outputs) >= 1, f"{self.name}: a network needs an output")
        check(len(set(self.outputs)) == len(self.outputs), f"{self.name}: an output is named twice")
        shapes = self.shapes  # computing them is the check
        for output in self.outputs:
            check(
                output in shapes and output != INPUT,
                f"{self.name}: output {output!r} is not a layer of the network",
            )

    @property
    def summary(self) -> str:
        """Its name, width and input: ``mobilenet_v1, width 0.25, 32×32``."""
        return f"{self.name}, width {self.width_multiplier:g}, {self.height}×{self.width}"

    def __repr__(self) -> str:
        return f"Network({self.summary}, {len(self.layers)} layers)"

    @cached_property
    def shapes(self) -> dict[str, Shape]:
        """Shape of the input and of every layer's output, by name."""
        shapes = {INPUT: Shape(self.channels, self.height, self.width)}
        for layer in self.layers:
            check(layer.name not in shapes, f"{self.name}: two layers are named {layer.name!r}")
            for source in layer.inputs:
                check(source in shapes, f"{layer.name} reads {source!r}, which no earlier layer makes")
            shapes[layer.name] = layer.output_shape(tuple(shapes[source] for source in layer.inputs))
        return shapes

    @cached_property
    def consumers(self) -> dict[str, tuple[str, ...]]:
        """For the input and every layer, the names of the layers that read it."""
        readers: dict[str, list[str]] = {name: [] for name in self.shapes}
        for layer in self.layers:
            for source in layer.inputs:
                readers[source].append(layer.name)
        return {name: tuple(names) for name, names in readers.items()}

    def __getitem__(self, name: str) -> Layer:
        """The layer of that name.

        Raises:
            ArchitectureError: If there is none.
        """
        try:
            return self._by_name[name]
        except KeyError:
            raise ArchitectureError(f"{self.name} has no layer {name!r}") from None

    @cached_property
    def _by_name(self) -> dict[str, Layer]:
        return {layer.name: layer for layer in self.layers}

    @property
    def gives_features(self) -> bool:
        """Whether the first output is a pool of activated maps, with no classifier behind it.

        >>> from mobilenets.architecture.networks.mobilenet_v1 import mobilenet_v1
        >>> mobilenet_v1().gives_features
        False
        """
        layer = self[self.outputs[0]]
        if not isinstance(layer, GlobalAveragePool | MaxPool):
            return False
        while not (layer.has_weight or layer.inputs[0] == INPUT):
            layer = self[layer.inputs[0]]
        return layer.activation is not Activation.NONE or layer.batch_norm is not None

    def input_shapes(self, layer: Layer) -> tuple[Shape, ...]:
        """Shapes of what a layer reads.

        Args:
            layer: A layer of this network.
        """
        return tuple(self.shapes[source] for source in layer.inputs)

    def parameter_shapes(self) -> dict[str, tuple[int, ...]]:
        """Name and shape of every float parameter and running statistic, in order of the layers.

        ``<layer>.weight``, ``<layer>.bias`` and ``<layer>.batch_norm.{weight,bias,running_mean,running_var}``,
        in PyTorch's layouts.
        """
        return dict(self._parameter_shapes())

    def _parameter_shapes(self) -> Iterator[tuple[str, tuple[int, ...]]]:
        for layer in self.layers:
            if not layer.has_weight:
                continue
            shape = layer.weight_shape(self.input_shapes(layer))
            yield f"{layer.name}.weight", shape
            if layer.bias:
                yield f"{layer.name}.bias", shape[:1]
            for name in layer.batch_norm_names:
                yield name, shape[:1]
