"""timm's MobileNets (V1 to V4): safetensors or ``.bin``, alone or in a hub folder.

They pad symmetrically and have a batch norm ε of 1e-5, but for those whose weights TensorFlow trained (``tf_…``).

Source: timm/models/efficientnet.py, mobilenetv3.py and _efficientnet_builder.py.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from mobilenets.architecture.layers import Activation, Layer, PointwiseConvolution
from mobilenets.architecture.multipliers import PaddingPolicy
from mobilenets.architecture.network import Network
from mobilenets.errors import FormatError, ModelError
from mobilenets.formats.checkpoint import Recognized, model_of_checkpoint, recognize
from mobilenets.formats.containers.binary import read_file
from mobilenets.formats.names import timm_names
from mobilenets.formats.source import WEIGHTS_FILES, Source, source_of
from mobilenets.formats.weights import ImportOptions
from mobilenets.model.model import Model, Tensor
from mobilenets.model.preprocessing import GREY_CHANNELS, RGB_CHANNELS, Interpolation, Preprocessing, ResizeMode
from mobilenets.model.provenance import Imported

CONFIG_FILE = "config.json"
DEFAULTS = Preprocessing(interpolation=Interpolation.BICUBIC)
TENSORFLOW_EPSILON = ("tf_", "mobilenetv3_rw")
"""Begin the names of networks with TensorFlow's batch norm ε of 1e-3."""
IMAGENET: Mapping[str, Any] = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
"""Mean and standard deviation of most of the weights; those of V1 were trained on pixels from −1 to 1."""


def from_timm(
    source: str | Path | Source,
    *,
    resolution: int | tuple[int, int] | None = None,
    labels: tuple[str, ...] | None = None,
) -> Model:
    """Read timm weights into a float32 Model.

    Args:
        source: A folder as the hub lays it out (``config.json`` beside ``model.safetensors`` or ``pytorch_model.bin``),
            or one file of weights.
        resolution: Input side in pixels, or (height, width); by default what the configuration says, else 224.
        labels: Class names; by default those of the configuration, else numbers.

    Raises:
        FormatError: If a file is damaged, or a tensor is of none of timm's MobileNets; it is named.
    """
    source = source_of(source)
    if source.file is None:
        raise FormatError(f"{source.path} holds neither {' nor '.join(WEIGHTS_FILES)}")
    if source.state_dict is None:
        raise FormatError(f"{source.file} is neither a PyTorch checkpoint nor a safetensors file")
    config = _config(source.file.parent / CONFIG_FILE)
    return from_timm_tensors(
        source.state_dict[0],
        config,
        source.file.name,
        resolution=resolution,
        labels=labels,
        averaged=source.holds_averages,
    )


def from_timm_tensors(
    tensors: Mapping[str, Tensor],
    config: Mapping[str, Any],
    file_name: str,
    *,
    resolution: int | tuple[int, int] | None = None,
    labels: tuple[str, ...] | None = None,
    averaged: bool = False,
) -> Model:
    """A Model from tensors under timm's names. See :func:`from_timm`."""
    architecture = None if config.get("architecture") is None else str(config["architecture"])
    if architecture is not None and "mobilenetv" not in architecture:
        raise FormatError(f"the configuration says {architecture!r}; networks called mobilenetv1_… to _v4 are read")
    found = recognize(tensors, timm_names(), "timm")
    v1 = found.checkpoint.network.startswith("mobilenet_v1")
    size, preprocessing, names = _read_config(config, DEFAULTS if v1 else replace(DEFAULTS, **IMAGENET))
    return model_of_checkpoint(
        found,
        ImportOptions(
            resolution=resolution or size,
            epsilon=1e-3 if (architecture or "").startswith(TENSORFLOW_EPSILON) else 1e-5,
            activation=Activation.RELU6,
            padding_policy=PaddingPolicy.SAME if (architecture or "").startswith("tf_") else PaddingPolicy.SYMMETRIC,
            preprocessing=preprocessing,
            labels=labels or names,
            imported=Imported(
                "timm", file_name, architecture=architecture, moving_averages=averaged or None, known=_known(config)
            ),
        ),
        changed=_before_v3 if _is_before_v3(found) else None,
    )


def _is_before_v3(found: Recognized) -> bool:
    """Whether tensors are of ``mobilenetv3_rw``, which was trained before the paper's own code was published."""
    return found.checkpoint.network == "mobilenet_v3_large" and "hidden.bias" not in found.tensors


def _before_v3(network: Network) -> Network:
    """That network: no shortcut in the first block, and in a squeeze-and-excite the activation of its block."""

    def changed(layer: Layer) -> Layer:
        layer = replace(layer, inputs=tuple("block1.project" if one == "block1.add" else one for one in layer.inputs))
        if isinstance(layer, PointwiseConvolution) and layer.name.endswith(".se.reduce"):
            block = layer.name.removesuffix(".se.reduce")
            return replace(layer, activation=network[f"{block}.depthwise"].activation)
        return layer

    return replace(network, layers=tuple(changed(layer) for layer in network.layers if layer.name != "block1.add"))


def is_timm(source: Source) -> bool:
    """Whether a source holds tensors as timm names them, or has timm's configuration beside them."""
    if source.file is None or source.state_dict is None:
        return False
    return "conv_stem.weight" in source.state_dict[0] or (source.file.parent / CONFIG_FILE).is_file()


def _config(path: Path) -> Mapping[str, Any]:
    """A configuration, empty where there is none."""
    if not path.is_file():
        return {}
    try:
        content = json.loads(read_file(path))
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{path} is not readable JSON: {error}") from None
    if not isinstance(content, dict):
        raise FormatError(f"{path} holds no object")
    return content


def _read_config(
    config: Mapping[str, Any], defaults: Preprocessing
) -> tuple[tuple[int, int], Preprocessing, tuple[str, ...] | None]:
    """Resolution, preprocessing and class names of a configuration; the defaults are for what it does not say."""
    try:
        details = config.get("pretrained_cfg", {})
        channels, height, width = details.get("input_size", (RGB_CHANNELS, 224, 224))
        if channels not in (RGB_CHANNELS, GREY_CHANNELS):
            raise FormatError(
                f"the configuration says {channels} input channels; {RGB_CHANNELS} or {GREY_CHANNELS} are read"
            )
        mean, std = details.get("mean", defaults.mean), details.get("std", defaults.std)
        mean, std = (values * RGB_CHANNELS if len(values) == 1 else values for values in (tuple(mean), tuple(std)))
        preprocessing = Preprocessing(
            mean=(float(mean[0]), float(mean[1]), float(mean[2])),
            std=(float(std[0]), float(std[1]), float(std[2])),
            fit=ResizeMode.SQUASH if details.get("crop_mode") == "squash" else ResizeMode.CROP,
            crop_fraction=float(details.get("crop_pct", defaults.crop_fraction)),
            interpolation=Interpolation(details.get("interpolation", defaults.interpolation)),
        )
        names = config.get("label_names") or details.get("label_names")
        described = config.get("label_descriptions") or details.get("label_descriptions") or {}
        labels = None if names is None else tuple(str(described.get(name, name)) for name in names)
        return (int(height), int(width)), preprocessing, labels
    except (TypeError, ValueError, KeyError, IndexError, AttributeError, OverflowError, ModelError) as error:
        raise FormatError(f"the configuration is not readable: {error}") from None


def _known(config: Mapping[str, Any]) -> dict[str, str]:
    """The parts of the preprocessing that a configuration says."""
    details = config.get("pretrained_cfg", {})
    keys = {"input_scaling": ("mean", "std"), "crop": ("crop_pct",), "resize": ("crop_mode", "crop_pct")}
    keys["interpolation"] = ("interpolation",)
    return {part: CONFIG_FILE for part, needed in keys.items() if any(key in details for key in needed)}
