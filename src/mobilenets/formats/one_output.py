"""Graphs of one output: a sigmoid makes it the probability of the second of two classes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mobilenets.architecture.layers import Activation, Linear
from mobilenets.formats.graph import Graph, Value
from mobilenets.formats.one_logit import HALVES
from mobilenets.formats.weights import NamedTensor


def two_logits(graph: Graph, name: str) -> str:
    """The layer of a graph that gives two logits instead of one: that layer, or one behind it."""
    layer = graph.layers[name]
    if not isinstance(layer, Linear) or layer.activation is not Activation.NONE:
        return graph.linear("classifier", Value(name), NamedTensor("the two classes", HALVES[:, None]))
    for part in ("weight", "bias"):
        found = graph.tensors.get(f"{name}.{part}")
        if found is not None:
            values = np.asarray(found.value, np.float32)
            graph.tensors[f"{name}.{part}"] = replace(found, value=np.concatenate([values * half for half in HALVES]))
    graph.widen(name, 2)
    return name
