"""LiteRT (TensorFlow Lite) → Model, without either: float32, float16 weights, int8 per channel, uint8 as published.

The official uint8 networks quantize weights asymmetrically, one scale and zero point per tensor. They are kept exact:
an int8 Model holds their bytes less 128 as weights, and their zero points as ``weight_zero_point``, because
requantizing them symmetrically would round every weight anew, and the result could not be compared byte for byte with
what the published kernels give.

A softmax at the end is dropped, and so is the quantization of the logits before it: a Model gives real logits. The
scale and zero point that the file has for them are kept in the provenance. A file that this project wrote comes back
exactly, by its description.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from mobilenets.architecture.catalog import CATALOG
from mobilenets.architecture.layers import INPUT, DepthwiseConvolution, Linear
from mobilenets.architecture.network import Network
from mobilenets.errors import FormatError, ModelError
from mobilenets.formats.classifier_output import as_classifier, with_linear_classifier
from mobilenets.formats.containers.binary import Bytes
from mobilenets.formats.containers.flatbuffer import FlatbufferTable
from mobilenets.formats.containers.zip_members import ZipMembers
from mobilenets.formats.description import Description
from mobilenets.formats.graph import renamed_tensors
from mobilenets.formats.labels import parse_labels
from mobilenets.formats.litert.codes import WEIGHTED
from mobilenets.formats.litert.detector import (
    best_of_any_score,
    detection_task,
    is_detector,
    with_boxes_across_first,
    without_tail,
)
from mobilenets.formats.litert.file import IDENTIFIER, TfliteFile, TfliteTensor
from mobilenets.formats.litert.graph import GraphReader, channels_first
from mobilenets.formats.litert.numbers import logits_quantization, quantized_parameters, signed_weight, weight_scale
from mobilenets.formats.normalizing_layer import pixel_preprocessing
from mobilenets.formats.recognition import recognized
from mobilenets.formats.source import Source, source_of
from mobilenets.formats.weights import NamedTensor, float32
from mobilenets.model.model import Model, Tensor
from mobilenets.model.preprocessing import Preprocessing, ResizeMode
from mobilenets.model.provenance import Imported, Provenance
from mobilenets.model.quantization import Quantization, TensorQuantization
from mobilenets.tasks.classification import Classification, with_labels
from mobilenets.tasks.task import Task

METADATA = "TFLITE_METADATA"
"""Name of the metadata that apps read: what the image means, and which class is which."""
DESCRIPTION = "mobilenets"
"""Name of the metadata that this project writes."""
_NORMALIZATION = 1
"""The process unit of model metadata that normalizes."""


def is_tflite(source: Source) -> bool:
    """Whether a source is a LiteRT file."""
    return source.data[4:8] == IDENTIFIER


def from_tflite(source: str | Path | Source, *, labels: tuple[str, ...] | None = None) -> Model:
    """Read a ``.tflite`` file into a float32 or an int8 Model.

    Args:
        source: The file.
        labels: Class names; by default those that are packed into the file, else numbers.

    Raises:
        FormatError: If the file is damaged, or holds an operator, a type or a quantization that no Model has; the
            offset, the operator or the tensor is named.
    """
    source = source_of(source)
    file = TfliteFile(source.data)
    if DESCRIPTION not in file.metadata:
        return _read(file, labels or packed_labels(source.data), source.path.name)
    model = _described(file)
    try:
        return model if labels is None else replace(model, task=with_labels(model.task, labels))
    except ModelError as error:
        raise FormatError(str(error)) from None


def packed_labels(data: bytes) -> tuple[str, ...] | None:
    """Labels of the text file that model metadata packs behind a network, or None.

    Of several the one is taken that is called after labels, before its translations (``labels_de.txt``).
    """
    if data.rfind(b"PK\x05\x06") < 0:
        return None
    archive = ZipMembers(data, "the metadata of the LiteRT file")
    texts = [name for name in archive.names if name.lower().endswith((".txt", ".json", ".pbtxt"))]
    chosen = texts if len(texts) == 1 else sorted((n for n in texts if "label" in n.lower()), key=lambda n: (len(n), n))
    if not chosen:
        return None
    where = f"{chosen[0]} in the LiteRT file"
    try:
        return parse_labels(bytes(archive.member(chosen[0])).decode("utf-8-sig"), where)
    except UnicodeDecodeError:
        raise FormatError(f"{where} is not UTF-8") from None


def _described(file: TfliteFile) -> Model:
    """The Model that this project wrote, from the constants under its tensors' names."""
    try:
        texts = json.loads(bytes(file.metadata[DESCRIPTION]))
    except (ValueError, RecursionError) as error:
        raise FormatError(f"the description of the network is not readable: {error}") from None
    if not isinstance(texts, dict):
        raise FormatError("the description of the network is no object")
    description = Description(texts)
    constants = _constants(file)
    constants |= {name.removesuffix("/float16"): tensor for name, tensor in constants.items()}
    tensors: dict[str, NamedTensor] = {}
    layers = [layer for layer in description.network.layers if layer.has_weight]
    for layer in layers:
        weight, bias = constants.get(f"{layer.name}.weight"), constants.get(f"{layer.name}.bias")
        if weight is not None:
            tensors |= _weights(description.network, layer.name, weight)
        scale = constants.get(f"{layer.name}.weight_scale")
        if scale is not None:
            tensors[f"{layer.name}.weight_scale"] = NamedTensor(scale.name, scale.value())
        if bias is not None:
            tensors[f"{layer.name}.bias"] = NamedTensor(bias.name, bias.value())
    operators = sum(operator.code in WEIGHTED for operator in file.operators)
    if operators != len(layers):
        raise FormatError(f"the LiteRT graph has {operators} layers with weights; its description says {len(layers)}")
    return description.model(tensors)


def _constants(file: TfliteFile) -> dict[str, TfliteTensor]:
    """Constant tensors by name.

    Raises:
        FormatError: If two of them that may be weights have the same name.
    """
    constants: dict[str, TfliteTensor] = {}
    for tensor in file.tensors:
        if tensor.constant:
            if tensor.name in constants and tensor.scales.size:
                raise FormatError(f"two tensors are called {tensor.name!r}")
            constants[tensor.name] = tensor
    return constants


def _weights(network: Network, name: str, weight: TfliteTensor) -> dict[str, NamedTensor]:
    """Weight, and where it is quantized its scale and zero point, as a Model has them."""
    layer, value = network[name], weight.value()
    if isinstance(layer, Linear):
        (shape,) = network.input_shapes(layer)
        if value.ndim == 4:  # a convolution of the whole map
            value = value.reshape(value.shape[0], math.prod(value.shape[1:]))
        value = channels_first(weight, value, shape.channels, shape.height, shape.width)
    elif value.ndim == 4:
        value = np.transpose(value, (3, 0, 1, 2) if isinstance(layer, DepthwiseConvolution) else (0, 3, 1, 2))
    found = {f"{name}.weight": NamedTensor(weight.name, value)}
    if weight.quantized:
        value, shift = signed_weight(value)
        scale, zero_point = weight_scale(found[f"{name}.weight"], weight, value.shape[0])
        found[f"{name}.weight"] = NamedTensor(weight.name, value)
        found[f"{name}.weight_scale"] = NamedTensor(weight.name, scale)
        found[f"{name}.weight_zero_point"] = NamedTensor(weight.name, (zero_point - shift).astype(np.int8))
    return found


def _read(file: TfliteFile, labels: tuple[str, ...] | None, file_name: str) -> Model:
    """The Model of a graph that nobody described."""
    if is_detector(file):
        return _detector(file, labels, file_name)
    reader = GraphReader(file)
    read = reader.read()
    network, tensors = with_linear_classifier(read, reader.graph.tensors)
    constants = _constants(file)
    network, tensors = as_classifier(
        network,
        tensors,
        reader.ending,
        of_two=len(labels or ()) == 2,
        with_zero_row=lambda found: _with_zero_row(found, constants),
    )
    numbers = _numbers(reader, network, tensors)
    network, imported = numbers.network, Imported("tflite", file_name, known=numbers.known)
    if numbers.quantization is not None and (logits := logits_quantization(network, numbers.made)) is not None:
        imported = replace(imported, logits_scale=logits[0], logits_zero_point=logits[1])
    try:
        task = Classification(labels) if labels else Classification.numbered(network)
        return _model(numbers, network, numbers.parameters, task, numbers.preprocessing, imported)
    except ModelError as error:
        raise FormatError(str(error)) from None


def _detector(file: TfliteFile, labels: tuple[str, ...] | None, file_name: str) -> Model:
    """The Model of a graph that ends in finished detections."""
    tail = without_tail(file)
    reader = GraphReader(file)
    network = reader.read()
    if len(network.outputs) != len(file.outputs):
        raise FormatError(f"{len(file.outputs)} maps are given by {len(network.outputs)} layers")
    numbers = _numbers(reader, network, reader.graph.tensors)
    network, parameters = with_boxes_across_first(tail, numbers.network, numbers.parameters)
    if network.name in CATALOG:  # its backbone
        lite = isinstance(network[network[network.outputs[0]].inputs[0]], DepthwiseConvolution)
        network = replace(network, name=f"{'ssdlite' if lite else 'ssd'}_{network.name}")
    assumed = best_of_any_score(tail)
    others = {} if assumed is None else {"assumed": assumed}
    known = {**numbers.known, **dict.fromkeys(("crop", "resize"), "TensorFlow's Object Detection API")}
    imported = Imported("tflite", file_name, known=known, others=others)
    stretched = replace(numbers.preprocessing, fit=ResizeMode.SQUASH, crop_fraction=1.0)
    try:
        task = detection_task(tail, network, labels)
        return _model(numbers, network, parameters, task, stretched, imported)
    except ModelError as error:
        raise FormatError(str(error)) from None


@dataclass(frozen=True)
class _Numbers:
    """A network that was read, with its parameters.

    Attributes:
        network: Under the catalog's names where it is of a family.
        parameters: float32, or integers with their scales.
        quantization: Of the integers; None in float32.
        made: The last tensor of each layer.
        preprocessing: The scaling of pixels.
        known: The parts of that which the file says, and where.
    """

    network: Network
    parameters: dict[str, Tensor]
    quantization: Quantization | None
    made: Mapping[str, TfliteTensor]
    preprocessing: Preprocessing
    known: dict[str, str]


def _numbers(reader: GraphReader, network: Network, tensors: Mapping[str, NamedTensor]) -> _Numbers:
    """The parameters of a graph that was read."""
    network, names = recognized(network)
    tensors = renamed_tensors(tensors, names)
    made = {names.get(layer, layer): reader.file.tensor(index) for layer, index in reader.made.items()}
    before = {names.get(layer, layer): reader.file.tensor(index) for layer, index in reader.pre_activations.items()}
    weights = [found.value.dtype.kind for name, found in tensors.items() if name.endswith(".weight")]
    if weights and all(kind == "f" for kind in weights):
        parameters = _checked(network, {name: NamedTensor(f.source, float32(f)) for name, f in tensors.items()})
        preprocessing, known = _preprocessing(reader)
        return _Numbers(network, parameters, None, made, preprocessing, known)
    normalization = reader.normalization
    network, parameters, quantization = quantized_parameters(
        network,
        tensors,
        made,
        before,
        _constants(reader.file),
        {names.get(layer, layer): scale for layer, scale in reader.graph.channel_scales.items()},
        None if normalization is None else normalization.of_pixels.quantization(),
    )
    if normalization is None:
        preprocessing, said = pixel_preprocessing(quantization.activations[INPUT]), "its quantized input"
    else:
        preprocessing, said = normalization.of_pixels.preprocessing(), "the graph"
    return _Numbers(network, parameters, quantization, made, preprocessing, {"input_scaling": said})


def _model(
    numbers: _Numbers,
    network: Network,
    parameters: dict[str, Tensor],
    task: Task,
    preprocessing: Preprocessing,
    imported: Imported,
) -> Model:
    provenance = Provenance(imported=imported).encode()
    return Model(network, parameters, task, preprocessing, numbers.quantization, provenance)


def _with_zero_row(found: NamedTensor, constants: Mapping[str, TfliteTensor]) -> Tensor:
    """A row that stands for zeros before the one row; in bytes that is the zero point."""
    tensor = constants.get(found.source)
    in_bytes = tensor is not None and tensor.quantized and found.value.dtype == tensor.dtype
    zeros = tensor.zero_points if tensor is not None and in_bytes else np.zeros(1, np.int64)
    row = np.full_like(found.value, zeros[0] if zeros.size else 0)
    doubled: Tensor = np.concatenate([row, found.value])
    return doubled


def _preprocessing(reader: GraphReader) -> tuple[Preprocessing, dict[str, str]]:
    """The preprocessing of a float network, and what said its parts."""
    if reader.normalization is not None:
        return reader.normalization.of_pixels.preprocessing(), {"input_scaling": "the graph"}
    found = _metadata_preprocessing(reader.file.metadata.get(METADATA, b""))
    if found is not None:
        return found, {"input_scaling": "its metadata"}
    (index,) = reader.file.inputs
    image = reader.file.tensor(index)
    scales, zero_points = image.scales, image.zero_points
    if (
        image.dtype.itemsize != 2
        and scales.size == 1
        and zero_points.size == 1
        and scales[0] > 0
        and 0 <= zero_points[0] <= 255
    ):
        # Training in simulated integers leaves the scale of the bytes on the float input.
        quantization = TensorQuantization(float(scales[0]), int(zero_points[0]))
        return pixel_preprocessing(quantization), {"input_scaling": "its quantized input"}
    return Preprocessing(), {}


def _metadata_preprocessing(metadata: bytes | memoryview) -> Preprocessing | None:
    """The normalization that model metadata names for the image: (pixel − mean) / std, on the scale of bytes.

    Source: metadata_schema.fbs of TensorFlow Lite Support.
    """
    if not metadata:
        return None
    graphs = FlatbufferTable.root(Bytes(metadata, "the metadata of the LiteRT file")).tables(3)
    inputs = graphs[0].tables(2) if graphs else []
    for unit in inputs[0].tables(4) if inputs else []:
        options = unit.table(1)
        if unit.i8(0) == _NORMALIZATION and options is not None:
            mean, std = (options.numbers(slot, "<f4").astype(np.float64) for slot in (0, 1))
            if mean.size not in (1, 3) or std.size != mean.size:
                raise FormatError(f"the metadata normalizes by {mean.size} means and {std.size} standard deviations")
            red, green, blue = (float(np.round(value / 255, 7)) for value in np.broadcast_to(mean, 3))
            red_std, green_std, blue_std = (float(np.round(value / 255, 7)) for value in np.broadcast_to(std, 3))
            return Preprocessing(mean=(red, green, blue), std=(red_std, green_std, blue_std))
    return None


def _checked(network: Network, tensors: Mapping[str, NamedTensor]) -> dict[str, Tensor]:
    needed = network.parameter_shapes()
    for name, shape in needed.items():
        if name in tensors and tensors[name].value.shape != shape:
            found = tensors[name]
            raise FormatError(f"{found.source} has shape {found.value.shape} in PyTorch's layout; it needs {shape}")
    return {name: found.value for name, found in tensors.items()}
