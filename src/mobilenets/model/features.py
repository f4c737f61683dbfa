"""Features: what a layer inside a network gives, as the outputs of a Model of their own."""

from __future__ import annotations

from dataclasses import replace

from mobilenets.architecture.layers import INPUT, GlobalAveragePool, Layer, Linear, PointwiseConvolution
from mobilenets.architecture.network import Network
from mobilenets.base.arguments import typed
from mobilenets.errors import ModelError
from mobilenets.model.model import Model, parameter_types
from mobilenets.model.quantization import Quantization, needed_pre_activations, real_outputs
from mobilenets.tasks.classification import Classification
from mobilenets.tasks.features import Features

POOL = "features"
"""Name of the pool that is added where a classifier reads a map."""


@typed(ModelError)
def feature_model(model: Model, layer: str | None = None) -> Model:
    """The part of a Model that computes its features, as a Model that gives them.

    It runs, is saved and is exported like any other. An int8 Model gives the features that its bytes stand for.

    Args:
        model: A Model of any task.
        layer: Name of the layer whose result is wanted, as ``mobilenets show`` lists it. By default what the classifier
            at the end of the network reads, averaged over the map where it is one; of a network without a classifier,
            its first output.

    Returns:
        A Model whose first output is that layer's result, of the task :class:`~mobilenets.tasks.features.Features`.

    Raises:
        ModelError: If the network has no such layer.

    >>> import numpy as np
    >>> from mobilenets.architecture.networks.mobilenet_v1 import mobilenet_v1
    >>> from mobilenets.tasks.classification import Classification
    >>> network = mobilenet_v1(width_multiplier=0.25, resolution=32, classes=3)
    >>> zeros = {name: np.zeros(shape, np.float32) for name, shape in network.parameter_shapes().items()}
    >>> feature_model(Model(network, zeros, Classification(("a", "b", "c")))).task.description
    'features, 256 numbers an image'
    """
    named = isinstance(model.task, Classification) and not model.task.is_numbered
    network = _network_until(model.network, layer, labeled=named)
    quantization = None if model.quantization is None else _part_of(model.quantization, network)
    needed = parameter_types(network, quantization)
    kept = {name: model.parameters[name] for name in needed if name in model.parameters}
    channels, height, width = network.shapes[network.outputs[0]]
    return replace(
        model,
        network=network,
        parameters=kept,
        task=Features(network.outputs[0], (channels, height, width)),
        quantization=quantization,
        subnets={},
    )


def classifier_layer(network: Network, *, labeled: bool = False) -> Linear | PointwiseConvolution | None:
    """The layer at the end of a network that gives one logit per class; None of a network that ends otherwise.

    Where logits are averaged over a map, it is the layer before that average.

    Args:
        network: The network.
        labeled: Whether its outputs are known to be classes. SqueezeNet applies a ReLU to its logits, and then averages
            them, as networks without a classifier end in an average of activated maps.
    """
    layer = network[network.outputs[0]]
    averaged = labeled or not network.gives_features
    if isinstance(layer, GlobalAveragePool) and layer.inputs[0] != INPUT and averaged:
        layer = network[layer.inputs[0]]
    return layer if isinstance(layer, Linear | PointwiseConvolution) else None


def _network_until(network: Network, name: str | None, *, labeled: bool) -> Network:
    """The layers that one needs, with it as the only output; by default those before the classifier."""
    last = classifier_layer(network, labeled=labeled) if name is None else None
    if name is None:
        name = network.outputs[0] if last is None else last.inputs[0]
    elif name not in network.shapes:
        raise ModelError(f"{network.name} has no layer {name!r}; mobilenets show lists its layers")
    if name == INPUT:
        raise ModelError(f"the input of {network.name} is no layer; name one that mobilenets show lists")
    needed = {name}
    for layer in reversed(network.layers):
        if layer.name in needed:
            needed |= set(layer.inputs)
    layers: tuple[Layer, ...] = tuple(layer for layer in network.layers if layer.name in needed)
    if last is not None and network.shapes[name][1:] != (1, 1):
        layers, name = (*layers, GlobalAveragePool(POOL, (name,))), POOL
    return replace(network, layers=layers, outputs=(name,))


def _part_of(quantization: Quantization, network: Network) -> Quantization:
    """The numbers of the layers that a network has left."""
    real, tabled = real_outputs(network), needed_pre_activations(network)
    names = {INPUT, *(layer.name for layer in network.layers)}
    known = {**quantization.outputs, **quantization.activations}
    return Quantization(
        activations={name: scale for name, scale in quantization.activations.items() if name in names - real},
        weight_bits={name: bits for name, bits in quantization.weight_bits.items() if name in names},
        pre_activations={name: scale for name, scale in quantization.pre_activations.items() if name in tabled},
        outputs={name: scale for name, scale in known.items() if name in real},
    )
