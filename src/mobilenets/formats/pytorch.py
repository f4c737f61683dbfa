"""PyTorch: a plain state_dict of MobileNet V1 as it is commonly re-implemented, read without PyTorch.

The common form is ``nn.Sequential`` of ``nn.Sequential``: ``model.0`` is the stem (convolution, batch norm, ReLU), and
``model.1`` to ``model.13`` hold depthwise convolution, batch norm, ReLU, pointwise convolution, batch norm, ReLU.
``features`` is as good a name as ``model``; the classifier is ``fc``, ``classifier`` or ``linear``. A state_dict says
nothing of padding, ε, activation and normalization: those of the common form are taken (1 pixel on every side, 1e-5,
ReLU, ImageNet's mean and standard deviation).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from mobilenets.architecture.layers import BATCH_NORM_TENSORS, Activation
from mobilenets.architecture.multipliers import PaddingPolicy
from mobilenets.errors import FormatError
from mobilenets.formats.names import MOBILENET_V1
from mobilenets.formats.source import Source, source_of
from mobilenets.formats.weights import ImportOptions, NamedTensor, mobilenet_v1_from_tensors, unique
from mobilenets.model.model import Model, Tensor
from mobilenets.model.preprocessing import Preprocessing
from mobilenets.model.provenance import Imported

IMAGENET = Preprocessing(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
NAMES = MOBILENET_V1["pytorch"]


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
        FormatError: If the file is damaged, refers to more than tensors, or holds a tensor that the common form does
            not have; it is named.
    """
    source = source_of(source)
    if source.state_dict is None:
        raise FormatError(f"{source.path} is neither a PyTorch checkpoint nor a safetensors file")
    return from_pytorch_tensors(source.state_dict[0], source.path.name, resolution=resolution, labels=labels)


def from_pytorch_tensors(
    tensors: Mapping[str, Tensor],
    file_name: str,
    *,
    resolution: int | tuple[int, int] | None = None,
    labels: tuple[str, ...] | None = None,
) -> Model:
    """A Model from tensors under the common form's names. See :func:`from_pytorch`."""
    return mobilenet_v1_from_tensors(
        unique(_translate(name, value) for name, value in tensors.items() if not name.endswith(".num_batches_tracked")),
        ImportOptions(
            resolution=resolution or 224,
            epsilon=1e-5,
            activation=Activation.RELU,
            padding_policy=PaddingPolicy.SYMMETRIC,
            preprocessing=IMAGENET,
            labels=labels,
            imported=Imported("pytorch", file_name),
        ),
    )


def _translate(name: str, value: Tensor) -> tuple[str, NamedTensor]:
    layer, _, kind = name.rpartition(".")
    ours = NAMES.layer(layer)
    if ours is None or kind not in BATCH_NORM_TENSORS:
        raise FormatError(f"{name} belongs to no layer of MobileNet V1 as nn.Sequential")
    return f"{ours}.{kind}", NamedTensor(name, value)
