"""A detector as a module, and its candidates for many images."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from mobilenets.architecture.network import Network
from mobilenets.model.model import Model
from mobilenets.model.preprocessing import Pixels, Preprocessing
from mobilenets.training.batches import normalized
from mobilenets.training.integer_network import IntegerNetwork
from mobilenets.training.network import NetworkModule, load_parameters
from mobilenets.training.run import TrainingRun

VALIDATION_BATCH = 32


class DetectorModule(NetworkModule):
    """A Network whose module gives all outputs, not the first only."""

    def forward(self, images: Tensor, subnet: Network | None = None) -> Sequence[Tensor]:  # type: ignore[override]
        """All outputs in order, each (N, channels, height, width), or (N, channels) where it is 1×1."""
        return list(self.outputs(images, subnet).values())


class IntegerDetector(IntegerNetwork):
    """A Network in integer arithmetic whose module gives all outputs, not the first only."""

    def forward(self, pixels: Tensor, *, follow: bool = False) -> Sequence[Tensor]:  # type: ignore[override]
        """All outputs in order, float32 (N, channels, height, width) each, of bytes as float32."""
        values = self.activations(pixels, follow=follow)
        return [values[name] for name in self.network.outputs]


def detector_module(model: Model) -> DetectorModule:
    """A float32 detector as a module, in evaluation mode."""
    module = DetectorModule(model.network)
    load_parameters(module, model.parameters)
    return module.eval()


def module_outputs(
    module: DetectorModule, pixels: Pixels, preprocessing: Preprocessing, run: TrainingRun
) -> list[npt.NDArray[np.float32]]:
    """Every output of a module in evaluation mode for pixels, uint8 (N, height, width, 3)."""
    parts: list[list[npt.NDArray[np.float32]]] = []
    with torch.inference_mode(), run.autocast():
        for begin in range(0, len(pixels), VALIDATION_BATCH):
            images = normalized(pixels[begin : begin + VALIDATION_BATCH], preprocessing, run.device)
            parts.append([output.float().cpu().numpy() for output in module(images)])
    return [np.concatenate(one) for one in zip(*parts, strict=True)]
