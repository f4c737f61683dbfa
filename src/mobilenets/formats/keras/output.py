"""From what leaves a Keras model to one logit per class."""

from __future__ import annotations

from mobilenets.errors import FormatError
from mobilenets.formats.graph import Graph, Value
from mobilenets.formats.keras.signal import Signal
from mobilenets.formats.one_output import two_logits


def logits_layer(graph: Graph, signal: Signal, *, loss: str, two_names: bool) -> str:
    """The layer that gives the logits, made where the model gives something else.

    A softmax is left out, for Models give logits. A map becomes its average: features. One number that a sigmoid makes
    a probability becomes two logits whose difference it is.

    Args:
        graph: The network.
        signal: What leaves the model.
        loss: What it was compiled to minimize, in snake case; empty where that is not known.
        two_names: Whether the person names two classes.

    Raises:
        FormatError: If several outputs are probabilities of their own, or a single one is of unknown meaning.
    """
    layer = signal.value.layer
    shape = graph.shape(layer)
    if shape.size != shape.channels:
        if signal.flat or signal.ending:
            raise FormatError(
                f"the Keras model ends in a {signal.ending or 'flattened'} map of {shape}; a classifier ends in one "
                "number per class"
            )
        return graph.average("pool", Value(layer))
    if shape.channels == 1 and signal.ending != "softmax":
        if signal.ending == "sigmoid" or loss.startswith("binary") or two_names:
            return two_logits(graph, layer)
        raise FormatError(
            f"the Keras model gives one number ({signal.maker!r}), without a sigmoid and compiled for "
            f"{loss or 'no loss that the file names'}: a logit of two classes, or a regression, which no Model does. "
            "If it is a logit, name the two classes (labels=FILE), that of low numbers first"
        )
    if signal.ending == "sigmoid":
        raise FormatError(
            f"the Keras model ends in {shape.channels} sigmoids ({signal.maker!r}): classes that do not exclude each "
            "other, which no Model has. If they do, put a softmax or nothing in their place and save again"
        )
    return layer
