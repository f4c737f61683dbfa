"""timm's MobileNet V1 (``mobilenetv1_100``, ``_125``, ``_100h``): safetensors or ``.bin``, alone or in a hub folder.

They pad symmetrically, use ReLU6 and a batch norm ε of 1e-5. ``100h`` has one more pointwise layer before the pool.

Source: timm/models/efficientnet.py and _efficientnet_builder.py.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mobilenets.architecture.layers import BATCH_NORM_TENSORS, Activation
from mobilenets.architecture.multipliers import PaddingPolicy
from mobilenets.errors import FormatError, ModelError
from mobilenets.formats.containers.binary import read_file
from mobilenets.formats.names import MOBILENET_V1
from mobilenets.formats.source import WEIGHTS_FILES, Source, source_of
from mobilenets.formats.weights import ImportOptions, NamedTensor, mobilenet_v1_from_tensors, unique
from mobilenets.model.model import Model, Tensor
from mobilenets.model.preprocessing import RGB_CHANNELS, Interpolation, Preprocessing, ResizeMode
from mobilenets.model.provenance import Imported

CONFIG_FILE = "config.json"
DEFAULTS = Preprocessing(interpolation=Interpolation.BICUBIC)
NAMES = MOBILENET_V1["timm"]


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
        FormatError: If a file is damaged, or a tensor is not one of timm's MobileNet V1; it is named.
    """
    source = source_of(source)
    if source.file is None:
        raise FormatError(f"{source.path} holds neither {' nor '.join(WEIGHTS_FILES)}")
    if source.state_dict is None:
        raise FormatError(f"{source.file} is neither a PyTorch checkpoint nor a safetensors file")
    config = _config(source.file.parent / CONFIG_FILE)
    return from_timm_tensors(source.state_dict[0], config, source.file.name, resolution=resolution, labels=labels)


def from_timm_tensors(
    tensors: Mapping[str, Tensor],
    config: Mapping[str, Any],
    file_name: str,
    *,
    resolution: int | tuple[int, int] | None = None,
    labels: tuple[str, ...] | None = None,
) -> Model:
    """A Model from tensors under timm's names. See :func:`from_timm`."""
    architecture = config.get("architecture")
    if architecture is not None and not str(architecture).startswith("mobilenetv1_"):
        raise FormatError(f"the configuration says {architecture!r}; MobileNet V1 is called mobilenetv1_…")
    size, preprocessing, names = _read_config(config)
    return mobilenet_v1_from_tensors(
        unique(translated for name, value in tensors.items() if (translated := _translate(name, value)) is not None),
        ImportOptions(
            resolution=resolution or size,
            epsilon=1e-5,
            activation=Activation.RELU6,
            padding_policy=PaddingPolicy.SYMMETRIC,
            preprocessing=preprocessing,
            labels=labels or names,
            imported=Imported(
                "timm",
                file_name,
                architecture=None if architecture is None else str(architecture),
                known=_known(config),
            ),
        ),
    )


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


def _read_config(config: Mapping[str, Any]) -> tuple[tuple[int, int], Preprocessing, tuple[str, ...] | None]:
    """Resolution, preprocessing and class names of a configuration."""
    try:
        details = config.get("pretrained_cfg", {})
        channels, height, width = details.get("input_size", (RGB_CHANNELS, 224, 224))
        if channels != RGB_CHANNELS:
            raise FormatError(f"the configuration says {channels} input channels; {RGB_CHANNELS} are read")
        mean, std = details.get("mean", DEFAULTS.mean), details.get("std", DEFAULTS.std)
        preprocessing = Preprocessing(
            mean=(float(mean[0]), float(mean[1]), float(mean[2])),
            std=(float(std[0]), float(std[1]), float(std[2])),
            fit=ResizeMode.SQUASH if details.get("crop_mode") == "squash" else ResizeMode.CROP,
            crop_fraction=float(details.get("crop_pct", DEFAULTS.crop_fraction)),
            interpolation=Interpolation(details.get("interpolation", DEFAULTS.interpolation)),
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


def _translate(name: str, value: Tensor) -> tuple[str, NamedTensor] | None:
    """This package's name for a tensor; None for counters that only training uses."""
    if name.endswith(".num_batches_tracked"):
        return None
    layer, _, kind = name.rpartition(".")
    ours = NAMES.layer(layer)
    if ours is None or kind not in BATCH_NORM_TENSORS:
        raise FormatError(f"{name} belongs to no layer of timm's MobileNet V1")
    return f"{ours}.{kind}", NamedTensor(name, value)
