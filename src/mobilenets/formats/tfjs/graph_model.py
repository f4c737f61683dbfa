"""A graph model of TensorFlow.js → Model: TensorFlow's operators in JSON, and their constants in shards.

``tensorflowjs_converter`` writes them of SavedModels and of TensorFlow Hub's modules. Probabilities at the end become
logits, as in every Model. The networks of a family of the catalog are recognized, whatever their nodes are called.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mobilenets.errors import FormatError, ModelError
from mobilenets.formats.classifier_output import as_classifier, with_linear_classifier
from mobilenets.formats.graph import renamed_tensors
from mobilenets.formats.recognition import recognized
from mobilenets.formats.tfjs.graph import TfjsReader
from mobilenets.formats.tfjs.nodes import read_graph
from mobilenets.formats.tfjs.weights import read_weights
from mobilenets.formats.weights import checked_parameters
from mobilenets.model.model import Model
from mobilenets.model.preprocessing import Preprocessing
from mobilenets.model.provenance import Imported, Provenance
from mobilenets.tasks.classification import Classification


def graph_model(
    content: Mapping[str, Any],
    path: Path,
    *,
    resolution: int | tuple[int, int] | None = None,
    labels: tuple[str, ...] | None = None,
) -> Model:
    """Read a graph model into a float32 Model.

    Args:
        content: The JSON of ``model.json``.
        path: Where it lies, with its shards beside it.
        resolution: Input side in pixels, or (height, width), where the file leaves it open.
        labels: Class names; numbered where there are none.

    Raises:
        FormatError: If the file is damaged, or holds an operator or a form of one that no Model has; it is named.
    """
    size = (resolution, resolution) if isinstance(resolution, int) else resolution
    reader = TfjsReader(read_graph(content), read_weights(content.get("weightsManifest"), path.parent), size)
    network, tensors = with_linear_classifier(reader.read(path.stem), reader.graph.tensors)
    network, tensors = as_classifier(network, tensors, reader.ending, of_two=len(labels or ()) == 2)
    network, names = recognized(network)
    parameters = checked_parameters(renamed_tensors(tensors, names), network)
    known, preprocessing = {}, Preprocessing()
    if reader.normalization is not None:
        preprocessing, known = reader.normalization.of_pixels.preprocessing(), {"input_scaling": "the graph"}
    try:
        return Model(
            network=network,
            parameters=parameters,
            task=Classification(labels) if labels else Classification.numbered(network),
            preprocessing=preprocessing,
            provenance=Provenance(imported=Imported("tfjs", path.name, known=known)).encode(),
        )
    except ModelError as error:
        raise FormatError(f"{path.name}: {error}") from None
