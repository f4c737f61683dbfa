"""What callers bring to a run: callbacks, a loss and an augmentation of their own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor

from mobilenets.errors import TrainingError
from mobilenets.training.callbacks import Callback
from mobilenets.training.own_augmentation import OwnAugmentation

OwnLoss = Callable[[Tensor, Tensor], Tensor]
"""(outputs float32 (n, channels), targets float32 (n, channels)) → the loss, one number."""


@dataclass(frozen=True, eq=False)
class Extensions:
    """What a caller brings.

    Attributes:
        callbacks: Called in the course of the run.
        loss: What a step minimizes; None for the task's own.
        augment: Distorts images in place of the recipe's augmentation; None for that.
    """

    callbacks: Sequence[Callback] = ()
    loss: OwnLoss | None = None
    augment: OwnAugmentation | None = None

    def settled(self) -> dict[str, object]:
        """What must be the same for a run to go on: the names of the functions."""
        return {"loss": _name_of(self.loss), "augment": _name_of(self.augment)}


def checked_loss(loss: OwnLoss) -> OwnLoss:
    """A caller's loss, refused where it does not give one number that depends on the outputs.

    Args:
        loss: The caller's.
    """

    def checked(outputs: Tensor, targets: Tensor) -> Tensor:
        value = loss(outputs, targets)
        if not isinstance(value, Tensor) or value.numel() != 1:
            got = f"a tensor of shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
            raise TrainingError(f"the loss must be one number, as a tensor such as losses.mean(), not {got}")
        if not value.requires_grad:
            raise TrainingError("the loss does not depend on the outputs: nothing can be learned from it")
        return value.reshape(())

    return checked


def _name_of(function: object) -> str | None:
    return None if function is None else getattr(function, "__qualname__", type(function).__name__)
