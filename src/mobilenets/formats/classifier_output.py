"""The end of a foreign network as a classifier: a linear layer, with two classes where one number chose."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from enum import Enum

import numpy as np

from mobilenets.architecture.layers import Activation, GlobalAveragePool, Linear, PointwiseConvolution
from mobilenets.architecture.network import Network
from mobilenets.errors import FormatError
from mobilenets.formats.graph import no_classes
from mobilenets.formats.names import legal_name
from mobilenets.formats.weights import NamedTensor
from mobilenets.model.model import Tensor


class LastFunction(Enum):
    """What a file applies last, and a Model leaves out."""

    SOFTMAX = "softmax"
    SIGMOID = "sigmoid"


def zero_row(found: NamedTensor) -> Tensor:
    """A row of zeros before the rows of a weight or a bias."""
    row: Tensor = np.concatenate([np.zeros_like(found.value[:1]), found.value])
    return row


def with_linear_classifier(network: Network, tensors: dict[str, NamedTensor]) -> tuple[Network, dict[str, NamedTensor]]:
    """The network with a pointwise convolution of a 1×1 map, where it is the only output, as the linear layer it is."""
    last = network.layers[-1] if network.layers else None
    if not isinstance(last, PointwiseConvolution) or network.outputs != (last.name,):
        return network, tensors
    if network.input_shapes(last)[0][1:] != (1, 1) or last.activation is not Activation.NONE:
        return network, tensors
    linear = Linear(last.name, last.inputs, out_features=last.out_channels, bias=last.bias)
    weight = tensors[f"{last.name}.weight"]
    flat = replace(weight, value=weight.value.reshape(weight.value.shape[:2]))
    return replace(network, layers=(*network.layers[:-1], linear)), {**tensors, f"{last.name}.weight": flat}


def as_classifier(
    network: Network,
    tensors: dict[str, NamedTensor],
    ending: LastFunction | None,
    *,
    of_two: bool = False,
    with_zero_row: Callable[[NamedTensor], Tensor] = zero_row,
) -> tuple[Network, dict[str, NamedTensor]]:
    """The network as a classifier by softmax.

    Args:
        network: As it was read, without what it ends in.
        tensors: Its weights.
        ending: What the file applies last, if anything.
        of_two: Whether the caller names two classes, so that one number without a sigmoid is a logit.
        with_zero_row: Puts a row that stands for zeros before the one row of a weight or a bias.

    Returns:
        The network and its weights. A network whose classifier is missing gives the averages of its last map. One logit
        z behind a sigmoid becomes the logits 0 and z, whose softmax is 1 − sigmoid(z) and sigmoid(z).

    Raises:
        FormatError: If the outputs are no classes that exclude each other.
    """
    channels, height, width = network.shapes[network.outputs[0]]
    last = network[network.outputs[0]]
    if (height, width) != (1, 1) and ending is None and last.activation in (Activation.RELU, Activation.RELU6):
        pool = GlobalAveragePool(legal_name("pool", network.shapes), (last.name,))
        return replace(network, layers=(*network.layers, pool), outputs=(pool.name,)), tensors
    if (height, width) != (1, 1):
        raise no_classes(network)
    if ending is not LastFunction.SIGMOID and channels > 1:
        return network, tensors
    if ending is not LastFunction.SIGMOID and not of_two:
        raise FormatError(
            f"{network.outputs[0]} gives one number, without a sigmoid. If it is the logit of the second of two "
            "classes, name both (labels=FILE); for an estimate this package has no task"
        )
    if channels > 1:
        raise FormatError(
            f"the network ends in {channels} sigmoids: classes that do not exclude each other, for which this package "
            "has no task"
        )
    if not isinstance(last, Linear) or last.activation is not Activation.NONE:
        raise FormatError(f"{last.name} is read by a sigmoid; a linear layer was expected there")
    doubled = dict(tensors)
    for kind in ("weight", "bias"):
        found = tensors.get(f"{last.name}.{kind}")
        if found is not None:
            doubled[f"{last.name}.{kind}"] = replace(found, value=with_zero_row(found))
    return replace(network, layers=(*network.layers[:-1], replace(last, out_features=2))), doubled
