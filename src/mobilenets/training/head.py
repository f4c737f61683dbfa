"""Starting from another Model: its layers, with an output layer for other classes, and the first ones as they are."""

from __future__ import annotations

from dataclasses import replace

from mobilenets.architecture.layers import GlobalAveragePool, Layer, Linear, PointwiseConvolution
from mobilenets.architecture.network import Network
from mobilenets.errors import TrainingError
from mobilenets.model.model import Model
from mobilenets.model.preprocessing import GREY_CHANNELS, RGB_CHANNELS


def with_classes(network: Network, classes: int) -> Network:
    """The same network with another number of classes.

    Raises:
        TrainingError: If it is not a classifier that ends in a linear or pointwise layer.
    """
    head = output_layer(network)
    changed: Layer = (
        replace(head, out_features=classes) if isinstance(head, Linear) else replace(head, out_channels=classes)
    )
    return replace(network, layers=tuple(changed if layer is head else layer for layer in network.layers))


def output_layer(network: Network) -> Linear | PointwiseConvolution:
    """The layer that gives a classifier's logits. Where they are averaged over a map, it is the layer before that.

    Raises:
        TrainingError: If the network is not a classifier that ends in such a layer.
    """
    if len(network.outputs) != 1:
        raise TrainingError(
            f"{network.name} has {len(network.outputs)} outputs ({', '.join(network.outputs)}); "
            "fit trains classifiers, which have one"
        )
    name = network.outputs[0]
    layer, shape = network[name], network.shapes[name]
    if (shape.height, shape.width) != (1, 1):
        raise TrainingError(f"{network.name} gives a map ({shape}) and not one value for each class: of another task")
    read = network.consumers[name]
    if isinstance(layer, GlobalAveragePool) and not read:
        (name,) = layer.inputs
        layer, read = network[name], tuple(reader for reader in network.consumers[name] if reader != layer.name)
    if not isinstance(layer, Linear | PointwiseConvolution) or read:
        raise TrainingError(
            f"{network.name} ends in {name} ({layer.kind}); a classifier ends in a linear or pointwise layer"
        )
    return layer


def early_layers(network: Network, stride: int) -> tuple[str, ...]:
    """Layers with weights whose maps are at least a ``stride``-th of the image's side, without the output layer.

    They see edges and colors, which are much the same in all photographs, and have few of a network's weights. Their
    maps are the largest, so they take most of the time of training.

    Args:
        network: A classifier.
        stride: Pixels of the image, along its side, for one of the smallest map that counts; 0 for no layers.

    >>> from mobilenets.architecture.networks.mobilenet_v1 import mobilenet_v1
    >>> early_layers(mobilenet_v1(), 2)
    ('stem', 'block1.depthwise', 'block1.pointwise')
    """
    output, shapes = output_layer(network), network.shapes
    return tuple(
        layer.name
        for layer in network.layers
        # Rounded, for maps without padding lose pixels at the border: 54 of 224 is every fourth.
        if layer.has_weight and layer is not output and round(network.height / shapes[layer.name].height) <= stride
    )


def check_trainable(model: Model) -> None:
    """Raise if training cannot start from a Model's weights.

    Raises:
        TrainingError: If it is int8, a detector, does not end in one vector, or does not take images.
    """
    if model.task.kind == "detection":
        raise TrainingError(
            f"the weights are of a detector, {model.network.name}: on images with boxes it is trained further at one "
            "size, without a budget; a classifier begins from a classifier"
        )
    if model.quantization is not None:
        raise TrainingError(
            "the weights are int8; training starts from a float32 Model: mobilenets import --dequantize makes one"
        )
    output_layer(model.network)
    check_channels(model.network)


def check_channels(network: Network) -> None:
    """Raise if a network does not take images.

    Raises:
        TrainingError: If it takes neither three channels nor one, of grey.
    """
    if network.channels not in (GREY_CHANNELS, RGB_CHANNELS):
        raise TrainingError(
            f"{network.name} takes {network.channels} channels; images have {RGB_CHANNELS}, or {GREY_CHANNELS} in grey"
        )
