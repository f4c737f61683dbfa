"""Networks of one number: the logit of the second of two classes, as binary cross-entropy trains it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mobilenets.architecture.layers import Activation, Linear
from mobilenets.errors import FormatError
from mobilenets.model.model import Model
from mobilenets.tasks.classification import Classification, class_count, with_labels

HALVES = np.array([-0.5, 0.5], np.float32)
"""Of a logit z: the softmax of −z/2 and z/2 is 1 − sigmoid(z) and sigmoid(z)."""


def of_two_classes(model: Model, labels: tuple[str, ...] | None) -> Model:
    """A classifier of two classes where a float32 network gives one number and two labels say that it is a logit.

    Args:
        model: As its reader gives it, with numbered classes.
        labels: The two names, that of low numbers first.

    Raises:
        FormatError: If the network gives one number, and nobody names two classes.
    """
    network = model.network
    last = network[network.outputs[0]]
    if not isinstance(model.task, Classification) or network.gives_features or class_count(network) != 1:
        return model
    if labels is None or len(labels) != 2:
        raise FormatError(
            f"{last.name} gives one number: the logit of the second of two classes, or an estimate, which no "
            "classifier gives. If it is a logit, name the two classes (labels=FILE), that of low numbers first"
        )
    if not isinstance(last, Linear) or last.activation is not Activation.NONE or model.quantization is not None:
        raise FormatError(f"{last.name} gives one number, and is no linear layer in float32")
    parameters = dict(model.parameters)
    for part in ("weight", "bias")[: 1 + last.bias]:
        values = parameters[f"{last.name}.{part}"]
        parameters[f"{last.name}.{part}"] = np.concatenate([values * half for half in HALVES])
    wide = replace(network, layers=(*network.layers[:-1], replace(last, out_features=2)))
    task = with_labels(Classification.numbered(wide), labels)
    return Model(wide, parameters, task, model.preprocessing, None, model.provenance)
