"""Any source of weights → Model: finds the file, recognizes its format, and reads it."""

from __future__ import annotations

import hashlib
import math
import re
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from mobilenets.architecture.layers import Activation
from mobilenets.base.arguments import check_integer, typed
from mobilenets.base.progress import SILENT, Progress
from mobilenets.base.text import plural
from mobilenets.data.sources import looks_like_image
from mobilenets.errors import ArchitectureError, FormatError, ModelError, ModelFileError
from mobilenets.formats.assumed import (
    PARTS,
    PreprocessingOptions,
    Scaling,
    assumption,
    formula,
    known_parts,
    scaling_name,
    scaling_of,
    sources,
    with_known,
)
from mobilenets.formats.download import fetch, fetch_from_hub
from mobilenets.formats.format import Resolution
from mobilenets.formats.input_statistics import scaling_by_statistics
from mobilenets.formats.known_weights import fetch_weights
from mobilenets.formats.normalizing_layer import inner_scaling
from mobilenets.formats.one_logit import of_two_classes
from mobilenets.formats.other_files import other_file
from mobilenets.formats.published import KERAS_ADDRESS, TORCHVISION_CROPS, imagenet_labels, published_source
from mobilenets.formats.registry import readable
from mobilenets.formats.saved_labels import fitting_labels, saved_labels
from mobilenets.formats.source import WEIGHTS_FILES, Source
from mobilenets.model.file import load, save
from mobilenets.model.integer_weights import dequantize
from mobilenets.model.model import Model
from mobilenets.model.preprocessing import GREY_CHANNELS
from mobilenets.model.provenance import Imported, Provenance
from mobilenets.tasks.classification import Classification, class_count, with_labels
from mobilenets.tasks.detection import Detection

MOST_OUTPUTS = 4
"""Outputs that are listed; of more, the first and the last are named."""
STRIDE = 32
"""Of the last map of every MobileNet."""
_COMMIT = re.compile("[0-9a-f]{40}")
"""Name of a folder of the hub's own cache."""
_HUB = re.compile(r"hub:(?P<repository>[\w.-]+/[\w.-]+?)(?:@(?P<revision>[\w./-]+))?")


@typed(FormatError)
def import_model(
    source: str | Path,
    *,
    resolution: Resolution | None = None,
    labels: Sequence[str] | None = None,
    input_scaling: Scaling | None = None,
    crop: float | None = None,
    resize: str | None = None,
    interpolation: str | None = None,
    dequantized: bool = False,
    progress: Progress = SILENT,
) -> Model:
    """Read published or foreign weights into a Model.

    The format is recognized by content, not by name. The file's SHA-256 and where it came from are kept in the Model's
    provenance, under ``imported``, and so is, for every part of the preprocessing, whether the file says it or it is
    assumed. Few files do; a network that was trained on otherwise scaled pixels answers wrongly until it is said.

    Args:
        source: A file or folder; ``https://…``; ``hub:owner/name`` or ``hub:owner/name@revision``; or a published
            network by its short name (see :func:`~mobilenets.formats.published.published_source`).
        resolution: Input side in pixels, or (height, width), where the source leaves it open.
        labels: Class names. By default those in the source; else ImageNet's for 1,000 or 1,001 classes; else numbers.
        input_scaling: How pixels are scaled for the network: ``"-1..1"``, ``"0..1"``, ``"imagenet"``, ``"0..255"``,
            ``"MEAN/STD"`` or (mean, std), on the scale where white is 1. By default what the source says, else what is
            usual for its format; likewise the next three.
        crop: Share of the largest centred box that is kept, by side.
        resize: ``"crop"``, or ``"squash"`` for the whole image, stretched.
        interpolation: Filter of the resize: ``"bilinear"``, ``"bicubic"``, ``"lanczos"`` or ``"box"``.
        dequantized: Whether to make an int8 network float32 (see
            :func:`~mobilenets.model.integer_weights.dequantize`).
        progress: Receives progress updates of downloads, and a note where the input scaling is assumed.

    Returns:
        A float32 Model, or an int8 one where the source is quantized. Its session reads uint8 images
        (N, height, width, 3) and gives float32 (N, classes).

    Raises:
        FormatError: If the source cannot be reached, recognized or read, or fixes another resolution.
        ModelFileError: If it is a Model file of this package, and a damaged one.
        MissingDependencyError: If a ``hub:`` source is named and huggingface-hub is not installed.

    >>> import_model("keras:0.25-100")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    mobilenets.errors.FormatError: 'keras:0.25-100' is not published; did you mean keras:0.25-160? `mobilenets ...
    """
    for side in resolution if isinstance(resolution, tuple | list) else (resolution,):
        if side is not None:
            check_integer("resolution", side, FormatError, least=1)
    preprocessing = PreprocessingOptions(input_scaling, crop, resize, interpolation)
    preprocessing.check()
    path, origin = _find(str(source), progress)
    found = Source(path)
    labels = None if labels is None else tuple(labels)
    model = _of_grey_images(_read(found, resolution, labels))
    names = labels if labels is not None else _labels_beside(found, model, progress)
    if (imported := Provenance.of(model).imported) is not None and imported.format != "mobilenets":
        model = of_two_classes(model, names)
    if labels is None and _lacks_labels(model):
        names = names or imagenet_labels(class_count(model.network))
        model = replace(model, task=with_labels(model.task, names)) if names else model
    model = _as_published(model, origin)
    model = _with_evidence(model)
    # Where the first layer holds the scaling of pixels, only its integers know it.
    scaled_inside = inner_scaling(model) is not None
    model = preprocessing.apply(dequantize(model) if dequantized and not scaled_inside else model)
    model = dequantize(model) if dequantized else model
    provenance = Provenance.of(model)
    imported = replace(provenance.imported or Imported(), source=origin)
    if path.is_file():
        imported = replace(imported, sha256=hashlib.sha256(found.data).hexdigest())
    model = replace(model, provenance=replace(provenance, imported=imported).encode())
    _check_that_it_loads(model)
    if doubt := assumption(model):
        progress.note(doubt)
    return model


def _lacks_labels(model: Model) -> bool:
    """Whether a Model is a classifier whose classes have numbers only."""
    task = model.task
    return isinstance(task, Classification) and task.is_numbered and not model.network.gives_features


def _labels_beside(source: Source, model: Model, progress: Progress) -> tuple[str, ...] | None:
    """Class names that a checkpoint holds beside its weights; names of another number of classes are noted."""
    if not _lacks_labels(model):
        return None
    saved, classes = saved_labels(source.beside), max(class_count(model.network), 2)  # one logit is of two classes
    labels = fitting_labels(saved, classes)
    if saved and labels is None:
        progress.note(
            f"{saved[0].key} in the file names {plural(len(saved[0].labels), 'class', 'classes')}, and the network "
            f"gives {classes:,}: its classes are not named by them; name them with labels=FILE"
        )
    return labels


def _check_that_it_loads(model: Model) -> None:
    """Write and load a Model: what a foreign file asks for must be what a Model file can hold."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.safetensors"
        try:
            save(model, path)
            load(path)
        except (ModelError, ArchitectureError, ModelFileError) as error:
            raise FormatError(f"the network was read, but a Model file cannot hold it: {error}") from None


def _as_published(model: Model, origin: str) -> Model:
    """A Model with what its publisher says of its preprocessing."""
    if origin.startswith(KERAS_ADDRESS):
        return with_known(model, {"input_scaling": "Keras, which published it"})
    if origin in TORCHVISION_CROPS:
        preprocessing = replace(model.preprocessing, crop_fraction=TORCHVISION_CROPS[origin])
        said = dict.fromkeys(PARTS, "torchvision, which published it")
        return with_known(replace(model, preprocessing=preprocessing), said)
    return model


def _with_evidence(model: Model) -> Model:
    """A Model as its reader gives it, with the input scaling that its statistics fit where the file says none."""
    if "input_scaling" in known_parts(model):
        return model
    fitting = scaling_by_statistics(model)
    if fitting is None:
        return model
    mean, std = scaling_of(fitting)
    scaled = replace(model, preprocessing=replace(model.preprocessing, mean=mean, std=std))
    return with_known(scaled, {"input_scaling": "fits the first batch norm"})


def _find(source: str, progress: Progress) -> tuple[Path, str]:
    """A local path, and what to remember of where it came from."""
    address = source if Path(source).exists() else published_source(source)
    if address != source:
        path = fetch_weights(source, progress=progress)
        revision = f"@{path.name}" if _COMMIT.fullmatch(path.name) else ""
        return path, address + (revision if address.startswith("hub:") else "")
    if hub := _HUB.fullmatch(address):
        folder = fetch_from_hub(hub["repository"], revision=hub["revision"])
        return folder, f"hub:{hub['repository']}@{folder.name}"
    if address.startswith("hub:"):
        raise FormatError(f"{address!r} is not of the form hub:owner/name or hub:owner/name@revision")
    if "://" in address:
        return fetch(address, progress=progress), address
    return Path(address), Path(address).name


def _read(source: Source, resolution: Resolution | None, labels: tuple[str, ...] | None) -> Model:
    """Read a source as the first format that its content fits."""
    for _, reader in readable().values():
        if reader.sniff(source):
            break
    else:
        raise _unknown(source)
    if reader.open_resolution:
        return reader.read(source, resolution=resolution, labels=labels)
    model = reader.read(source, labels=labels)
    size = model.network.height, model.network.width
    if resolution is not None and resolution not in (size, size[0] if size[0] == size[1] else None):
        raise FormatError(f"the file is of a network for {size[0]}×{size[1]} pixels; {resolution} was asked for")
    return model


SAVED_MODEL = "saved_model.pb"
"""The file by which a folder is a SavedModel of TensorFlow."""


def _of_grey_images(model: Model) -> Model:
    """A network of one channel with preprocessing that makes grey images for it."""
    if model.network.channels != GREY_CHANNELS or model.preprocessing.channels == GREY_CHANNELS:
        return model
    mean, std = (float(np.mean(values)) for values in (model.preprocessing.mean, model.preprocessing.std))
    grey = replace(model.preprocessing, mean=(mean,) * 3, std=(std,) * 3, channels=GREY_CHANNELS)
    return replace(model, preprocessing=grey)


FILES_LOOKED_AT = 100
"""Files of a folder by which it is told whether it holds images."""


def _unknown(source: Source) -> FormatError:
    if (source.path / SAVED_MODEL).is_file():
        return FormatError(
            f"{source.path} is a SavedModel, a program for TensorFlow. Convert it there and import the .tflite: "
            f"tf.lite.TFLiteConverter.from_saved_model({str(source.path)!r}).convert(); or save the Keras model as "
            ".keras"
        )
    if source.path.suffix == ".pb" and source.data[:1] == b"\n":
        return FormatError(
            f"{source.path} is a frozen graph of TensorFlow 1. Convert it there and import the .tflite: "
            f"tf.compat.v1.lite.TFLiteConverter.from_frozen_graph({str(source.path)!r}, [INPUT], [OUTPUT]).convert(), "
            "with the names of its image and of its logits"
        )
    if source.file is not None and (known_as := other_file(source.path, source.data)) is not None:
        return FormatError(f"{source.path} is {known_as}")
    if source.path == Path():
        return FormatError("no model is named: an empty path stands for the current folder")
    if source.file is None and any(map(looks_like_image, islice(source.path.rglob("*.*"), FILES_LOOKED_AT))):
        return FormatError(f"{source.path} is a folder of images, and no model; the model is named before the images")
    if source.file is None:
        return FormatError(
            f"{source.path} holds no weights: neither {', '.join(WEIGHTS_FILES)} nor a checkpoint's .index"
        )
    known = ", ".join(f"{row.title} ({', '.join(row.suffixes)})" for row, _ in readable().values())
    return FormatError(f"{source.path} is of no format that is read: {known}")


def recognition(model: Model) -> dict[str, Any]:
    """Facts about an imported Model for people: each a short text or a number."""
    network, imported = model.network, Provenance.of(model).imported
    epsilons = sorted({norm.epsilon for layer in network.layers if (norm := layer.batch_norm)})
    activations = sorted({layer.activation for layer in network.layers} - {Activation.NONE})
    return {
        "family": (imported and imported.format) or "mobilenets",
        "network": network.name,
        "width_multiplier": network.width_multiplier,
        "resolution": f"{network.height}×{network.width}",
        **_meaning(model),
        "output": ", ".join(network.outputs) if len(network.outputs) <= MOST_OUTPUTS else _ends(network.outputs),
        "padding": str(network.padding_policy),
        "batch_norm": ", ".join(f"ε {epsilon:g}" for epsilon in epsilons) or "folded",
        "activation": ", ".join(activations) or "none",
        **_preprocessing_facts(model),
        **({"assumed": str(imported.others["assumed"])} if imported and "assumed" in imported.others else {}),
        "precision": model.precision,
    }


def _ends(outputs: tuple[str, ...]) -> str:
    return f"{len(outputs)} maps, {outputs[0]} to {outputs[-1]}"


def _preprocessing_facts(model: Model) -> dict[str, str]:
    """Each part of the preprocessing, and in brackets where it comes from."""
    preprocessing, known = model.preprocessing, sources(model)
    scaling = inner_scaling(model) or preprocessing
    name, computed = scaling_name(scaling), formula(scaling)
    values = {
        "input_scaling": computed if name == computed else f"{name}: {computed}",
        "crop": f"{preprocessing.crop_fraction:.4g}",
        "resize": str(preprocessing.fit),
        "interpolation": str(preprocessing.interpolation),
    }
    return {part: f"{value} [{known[part]}]" if part in known else value for part, value in values.items()}


def _cut(model: Model) -> str:
    """A warning where the map that is averaged is larger than any MobileNet's last one."""
    network = model.network
    (last,) = network.input_shapes(network[network.outputs[0]])
    if last.height <= math.ceil(network.height / STRIDE):
        return ""
    return (
        f". It ends in a map of {last.height}×{last.width}, where MobileNets of {network.height} pixels end in "
        f"{math.ceil(network.height / STRIDE)}: it may be the first part of a network that was cut in two"
    )


def _meaning(model: Model) -> dict[str, Any]:
    """Number and names of a classifier's classes, or of features where it has none; the kind of another task."""
    task = model.task
    if model.network.gives_features:
        return {
            "features": f"{class_count(model.network)}: the network has no top, so it gives no classes{_cut(model)}"
        }
    if isinstance(task, Detection):
        labels = f"{task.labels[0]!r} to {task.labels[-1]!r}" if len(task.labels) > 1 else repr(task.labels[0])
        return {"task": task.description, "labels": labels, "candidates": f"{task.head.count} {task.head.kind}"}
    if not isinstance(task, Classification):
        return {"task": task.kind}
    labels = "numbered" if task.is_numbered else f"{task.labels[0]!r} to {task.labels[-1]!r}"
    return {"classes": len(task.labels), "labels": labels}
