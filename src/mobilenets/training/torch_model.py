"""A Model as an ordinary PyTorch module, and back."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor, nn

from mobilenets.base.arguments import typed
from mobilenets.errors import TrainingError
from mobilenets.model.model import Model
from mobilenets.training.batches import Normalization
from mobilenets.training.network import module_of, parameters_of


class TorchModel(nn.Module):
    """A Model in PyTorch: images from 0 to 1 in, the first output out.

    Attributes:
        network: The layers; its parameters have the Model's names and layouts.

    Args:
        model: float32.
    """

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.network = module_of(model)
        self._preprocessing = model.preprocessing

    def forward(self, images: Tensor) -> Tensor:
        """The first output.

        Args:
            images: float32 (N, C, height, width), RGB from 0 to 1, of the network's size. They are normalized here.

        Returns:
            float32 (N, classes).
        """
        normalized = Normalization(self._preprocessing, images.device)(images * 255)
        result: Tensor = self.network(normalized)
        return result.flatten(1)


@typed(TrainingError)
def to_torch(model: Model) -> TorchModel:
    """Make a PyTorch module of a Model, with its weights, to be trained, changed or traced like any other.

    Args:
        model: A float32 Model.

    Returns:
        The module in evaluation mode. It takes float32 (N, 3, height, width), RGB from 0 to 1, and normalizes it.

    Raises:
        TrainingError: If the Model is int8.

    >>> import numpy as np
    >>> import torch
    >>> from mobilenets import Classification, Session, mobilenet_v1
    >>> network = mobilenet_v1(width_multiplier=0.25, resolution=32, classes=2)
    >>> rng = np.random.default_rng(0)
    >>> parameters = {
    ...     name: rng.uniform(0, 0.1, shape).astype(np.float32) for name, shape in network.parameter_shapes().items()
    ... }
    >>> model = Model(network, parameters, Classification(("cat", "dog")))
    >>> pixels = rng.integers(0, 256, (1, 32, 32, 3), np.uint8)
    >>> with torch.no_grad():
    ...     logits = to_torch(model)(torch.from_numpy(pixels).permute(0, 3, 1, 2) / 255)
    >>> bool(np.allclose(logits.numpy(), Session(model).run(pixels), rtol=1e-4))
    True
    """
    return TorchModel(model)


@typed(TrainingError)
def from_torch(module: nn.Module, model: Model) -> Model:
    """Take the weights of a module that :func:`to_torch` made back into a Model.

    Args:
        module: The module, trained on or changed in its numbers, on any device.
        model: The Model that it was made of: its network, task and preprocessing stay.

    Returns:
        The Model with the module's weights and running statistics.

    Raises:
        TrainingError: If the module was not made by :func:`to_torch`, or of another network.

    >>> import numpy as np
    >>> import torch
    >>> from mobilenets import Classification, mobilenet_v1
    >>> network = mobilenet_v1(width_multiplier=0.25, resolution=32, classes=2)
    >>> zeros = {name: np.zeros(shape, np.float32) for name, shape in network.parameter_shapes().items()}
    >>> model = Model(network, zeros, Classification(("cat", "dog")))
    >>> module = to_torch(model)
    >>> _ = torch.nn.init.ones_(module.network.tensors()["classifier.bias"])
    >>> from_torch(module, model).parameters["classifier.bias"]
    array([1., 1.], dtype=float32)
    """
    if not isinstance(module, TorchModel):
        raise TrainingError(f"module must be what to_torch made, not a {type(module).__name__}")
    parameters = parameters_of(module.network)
    needed = model.network.parameter_shapes()
    for name in sorted(needed.keys() ^ parameters.keys()):
        raise TrainingError(f"{name} belongs to one of the networks only: give the Model that the module was made of")
    for name, shape in needed.items():
        if parameters[name].shape != shape:
            raise TrainingError(f"{name} has shape {parameters[name].shape}; the Model needs {shape}")
    return replace(model.with_parameters(parameters), quantization=None)
