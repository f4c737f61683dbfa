"""A teacher whose answers are part of what a classifier is fine-tuned to."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mobilenets.architecture.network import Network
from mobilenets.model.model import Model
from mobilenets.model.preprocessing import Preprocessing
from mobilenets.training.batches import Normalization
from mobilenets.training.network import module_of, placed
from mobilenets.training.objectives import Distillation, Objective
from mobilenets.training.recipe import Recipe

TAUGHT = 0.5
"""Share of a teacher's answers in the targets, where there is one."""


class _Renormalized(nn.Module):
    """A teacher for images that are normalized for its student."""

    def __init__(self, teacher: Model, student: Preprocessing, device: torch.device) -> None:
        super().__init__()
        self.network = teacher.network
        self._module = placed(module_of(teacher), device).eval()
        own, other = Normalization(teacher.preprocessing, device), Normalization(student, device)
        self._scale = own.scale / other.scale
        self._offset = own.offset - other.offset * self._scale

    def forward(self, images: Tensor) -> Tensor:
        """Logits (N, classes)."""
        logits: Tensor = self._module(torch.addcmul(self._offset, images, self._scale))
        return logits


def taught(
    teacher: Model, preprocessing: Preprocessing, student: Network, device: torch.device, recipe: Recipe
) -> Objective:
    module = _Renormalized(teacher, preprocessing, device)
    return Distillation(module, student, share=TAUGHT, label_smoothing=recipe.label_smoothing)
