"""Keras: whole saved models and weights alone, read without Keras.

- Whole models in HDF5 (``.h5``: weights under ``model_weights``, and the configuration beside them) and in archives
  (``.keras`` of Keras 2.12 and later), compiled and fitted or not.
- Weights alone: as published (``mobilenet_2_5_224_tf.h5`` and 31 more, with and without top), in either naming
  generation (``conv1/kernel:0`` of Keras 1 and 2, ``conv1/kernel`` of Keras 3), and ``.weights.h5``
  (``layers/conv2d_3/vars/0``).

Where there is a configuration it is believed: any network of layers that this package has is read from it, with the
scaling of pixels that is part of it. Weights alone are those of MobileNet V1 or V2 with a head or of V3, and the rest
is assumed.
"""

from __future__ import annotations

import re
from pathlib import Path

from mobilenets.errors import FormatError, ModelError
from mobilenets.formats.graph import renamed_tensors
from mobilenets.formats.keras.config import KerasConfiguration, read_configuration
from mobilenets.formats.keras.file import KerasFile, read_keras
from mobilenets.formats.keras.image import ImageInput, image_input, image_preprocessing
from mobilenets.formats.keras.mobilenet_v3 import is_mobilenet_v3, mobilenet_v3_of
from mobilenets.formats.keras.network import KerasNetwork
from mobilenets.formats.keras.output import logits_layer
from mobilenets.formats.keras.weights_only import ImpliedModel
from mobilenets.formats.recognition import recognized
from mobilenets.formats.source import Source, source_of
from mobilenets.formats.weights import ImportOptions, checked_parameters
from mobilenets.model.model import Model
from mobilenets.model.provenance import Imported, Provenance
from mobilenets.tasks.classification import Classification


def from_keras(
    source: str | Path | Source,
    *,
    resolution: int | tuple[int, int] | None = None,
    labels: tuple[str, ...] | None = None,
) -> Model:
    """Read a Keras file into a float32 Model.

    Args:
        source: ``.h5``, ``.weights.h5`` or ``.keras``.
        resolution: Input side in pixels, or (height, width); by default what the file's configuration says, else what
            its name says (``_224_``), else 224.
        labels: Class names; Keras files have none. Two names make two classes of a single output.

    Raises:
        FormatError: If the file is damaged, or holds a layer that this package does not have; it is named.
    """
    source = source_of(source)
    return keras_model(read_keras(source), source.path.name, "keras", resolution=resolution, labels=labels)


def keras_model(
    file: KerasFile,
    file_name: str,
    format_name: str,
    *,
    resolution: int | tuple[int, int] | None = None,
    labels: tuple[str, ...] | None = None,
) -> Model:
    """The Model of a configuration and its variables, or of variables alone. See :func:`from_keras`.

    Args:
        file: What the file holds.
        file_name: Its name, which may tell the resolution.
        format_name: What the provenance calls the format.
        resolution: As above.
        labels: As above.
    """
    assumed: list[str] = []
    if file.config is not None:
        configuration = read_configuration(file.config)
        image = image_input(configuration)
        size = _sides(resolution or image.size or resolution_in_name(file_name) or 224)
    else:
        size = _sides(resolution or resolution_in_name(file_name) or 224)
        if is_mobilenet_v3(file):
            imported = Imported(format_name, file_name, configuration=False)
            return mobilenet_v3_of(file, ImportOptions(resolution=size, labels=labels, imported=imported))
        implied = ImpliedModel(file, size)
        configuration, assumed = implied.configuration, implied.assumed
        image = ImageInput(size, implied.channels, None)
    built = _built(file, configuration, size, image.channels)
    graph = built.graph
    two_names = labels is not None and len(labels) == 2
    output = logits_layer(graph, built.output(), loss=file.loss, two_names=two_names)
    network, names = recognized(graph.network(configuration.name or file_name.partition(".")[0], [output]))
    preprocessing, known = image_preprocessing(image, built.image)
    others = {"known": known} | ({"assumed": ", ".join(assumed)} if assumed else {})
    imported = Imported(format_name, file_name, configuration=file.config is not None, others=others)
    try:
        return Model(
            network,
            checked_parameters(renamed_tensors(graph.tensors, names), network),
            Classification(labels) if labels else Classification.numbered(network),
            preprocessing=preprocessing,
            provenance=Provenance(imported=imported).encode(),
        )
    except ModelError as error:
        raise FormatError(str(error)) from None


def resolution_in_name(name: str) -> int | None:
    """The resolution that a published file's name ends in.

    >>> resolution_in_name("mobilenet_2_5_224_tf_no_top.h5"), resolution_in_name("weights.h5")
    (224, None)
    """
    found = re.search(r"_(128|160|192|224|256)(?=[_.])", name)
    return int(found.group(1)) if found else None


def _sides(resolution: int | tuple[int, int]) -> tuple[int, int]:
    """Height and width."""
    return (resolution, resolution) if isinstance(resolution, int) else resolution


def _built(file: KerasFile, configuration: KerasConfiguration, size: tuple[int, int], channels: int) -> KerasNetwork:
    """The network; a configuration whose values are of other kinds than Keras writes is not readable."""
    try:
        return KerasNetwork(file, configuration, size, channels)
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError) as error:
        raise FormatError(f"the Keras model configuration is not readable: {error!r:.200}") from None
