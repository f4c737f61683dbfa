"""PyTorch: state_dicts of torchvision's MobileNets, and of MobileNet V1 as it is commonly re-implemented.

torchvision has V2 and V3, small and large; a file of theirs is known by the names of its tensors. The common form of V1
is ``nn.Sequential`` of ``nn.Sequential``: ``model.0`` is the stem (convolution, batch norm, ReLU), and ``model.1`` to
``model.13`` hold depthwise convolution, batch norm, ReLU, pointwise convolution, batch norm, ReLU. ``features`` is as
good a name as ``model``; the classifier is ``fc``, ``classifier`` or ``linear``.

A state_dict says nothing of padding, ε, activation and normalization: 1 pixel on every side (2 around 5×5 filters),
1e-5 (1e-3 in torchvision's V3), V1's ReLU, and ImageNet's mean and standard deviation are taken.

Source: torchvision/models/mobilenetv2.py and mobilenetv3.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from mobilenets.architecture.layers import BATCH_NORM_TENSORS, Activation
from mobilenets.architecture.multipliers import PaddingPolicy
from mobilenets.errors import FormatError
from mobilenets.formats.checkpoint import model_of_checkpoint, nearest_in_words, recognize, share_of_known_names
from mobilenets.formats.names import MOBILENET_V1, timm_names, torchvision_names
from mobilenets.formats.source import Source, source_of
from mobilenets.formats.weights import ImportOptions, NamedTensor, mobilenet_v1_from_tensors, unique
from mobilenets.model.model import Model, Tensor
from mobilenets.model.preprocessing import Preprocessing
from mobilenets.model.provenance import Imported

IMAGENET = Preprocessing(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
NAMES = MOBILENET_V1["pytorch"]
LEAST_SHARE = 0.5
"""Share of a file's layers whose names must be known for the first other one to be named."""


def is_pytorch(source: Source) -> bool:
    """Whether a source holds tensors as PyTorch names them, whatever the names."""
    return source.state_dict is not None


def from_pytorch(
    source: str | Path | Source,
    *,
    resolution: int | tuple[int, int] | None = None,
    labels: tuple[str, ...] | None = None,
) -> Model:
    """Read a state_dict into a float32 Model.

    Args:
        source: ``.pt``, ``.pth``, ``.bin``, ``.tar`` or safetensors.
        resolution: Input side in pixels, or (height, width); 224 if not given.
        labels: Class names; numbers if not given.

    Raises:
        FormatError: If the file is damaged, or holds a tensor that the common form does not
            have; it is named.
    """
    source = source_of(source)
    if source.state_dict is None:
        raise FormatError(f"{source.path} is neither a PyTorch checkpoint nor a safetensors file")
    return from_pytorch_tensors(
        source.state_dict[0],
        source.path.name,
        resolution=resolution,
        labels=labels,
        averaged=source.holds_averages,
    )


def from_pytorch_tensors(
    tensors: Mapping[str, Tensor],
    file_name: str,
    *,
    resolution: int | tuple[int, int] | None = None,
    labels: tuple[str, ...] | None = None,
    averaged: bool = False,
) -> Model:
    """A Model from tensors under torchvision's or the common form's names. See :func:`from_pytorch`."""
    options = ImportOptions(
        resolution=resolution or 224,
        epsilon=1e-5,
        activation=Activation.RELU,
        padding_policy=PaddingPolicy.SYMMETRIC,
        preprocessing=IMAGENET,
        labels=labels,
        imported=Imported("pytorch", file_name, moving_averages=averaged or None),
    )
    common, timm = _share_of_common_names(tensors), share_of_known_names(tensors, timm_names())
    torchvision = share_of_known_names(tensors, torchvision_names())
    if timm >= LEAST_SHARE and timm > max(common, torchvision):
        # Without the first layer, by which a file of timm is told: the last of several parts.
        return model_of_checkpoint(recognize(tensors, timm_names(), "timm"), options)
    if torchvision > common:
        found = recognize(tensors, torchvision_names(), "torchvision")
        v3 = found.checkpoint.network.startswith("mobilenet_v3")
        return model_of_checkpoint(found, replace(options, epsilon=1e-3 if v3 else 1e-5))
    if common < LEAST_SHARE:
        first = next(iter(tensors))
        nearest = nearest_in_words(tensors, {"torchvision": torchvision_names(), "timm": timm_names()})
        raise FormatError(
            f"the weights ({first}, ...) are of no MobileNet whose names are known: torchvision's, timm's, and V1 as "
            f"nn.Sequential{nearest}. If it is a MobileNet, export it to ONNX (torch.onnx.export), whose layers are "
            "told by what they do"
        )
    return mobilenet_v1_from_tensors(
        unique(_translate(name, value) for name, value in tensors.items() if not name.endswith(".num_batches_tracked")),
        options,
    )


def _share_of_common_names(tensors: Mapping[str, Tensor]) -> float:
    known = [NAMES.layer(name.rpartition(".")[0]) is not None for name in tensors]
    return sum(known) / max(len(known), 1)


def _translate(name: str, value: Tensor) -> tuple[str, NamedTensor]:
    layer, _, kind = name.rpartition(".")
    ours = NAMES.layer(layer)
    if ours is None or kind not in BATCH_NORM_TENSORS:
        raise FormatError(f"{name} belongs to no layer of MobileNet V1 as nn.Sequential")
    return f"{ours}.{kind}", NamedTensor(name, value)
