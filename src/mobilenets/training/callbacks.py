"""Callbacks: what a caller wants done in the course of :func:`mobilenets.fit`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import nn

from mobilenets.model.model import Model
from mobilenets.training.selection import Epoch

if TYPE_CHECKING:
    from mobilenets.training.result import Fit


@dataclass(frozen=True, eq=False)
class Begun:
    """A run that is about to train.

    Attributes:
        model: What it begins from; random weights where it is from scratch.
        epochs: Epochs that it is planned to have.
        done: Of these, how many an earlier part of the run has done.
        metric: Name of the primary figure, such as ``top1``.
    """

    model: Model
    epochs: int
    done: int
    metric: str


class Callback:
    """What is called in the course of a run. Every method does nothing unless it is overridden.

    What a method raises ends the run and reaches the caller of ``fit`` as it is. The checkpoint of the epoch was
    written before, so that ``resume=True`` goes on with the next one.

    Raises:
        Exception: Whatever a method raises; nothing by itself.

    >>> class Losses(Callback):
    ...     def __init__(self):
    ...         self.values = []
    ...
    ...     def on_epoch_end(self, epoch, module):
    ...         self.values.append(epoch.loss)
    """

    def on_start(self, begun: Begun) -> None:
        """Called before the first step, and before the next one of a run that is resumed.

        Args:
            begun: The run.
        """

    def on_epoch_end(self, epoch: Epoch, module: nn.Module) -> bool | None:
        """Called after every epoch and its validation.

        Args:
            epoch: Its figures; the validation's are None where it was not validated.
            module: The moving average of the weights, in evaluation mode: what is validated. It is not to be changed.

        Returns:
            True to end training here, with the best epoch so far.
        """

    def on_end(self, result: Fit) -> None:
        """Called with the result, when the folder of the run is written.

        Args:
            result: What ``fit`` returns.
        """


def wants_end(callbacks: Sequence[Callback], epoch: Epoch, module: nn.Module) -> bool:
    """Tell all callbacks that an epoch is over; whether one of them ends training."""
    answers = [one.on_epoch_end(epoch, module) for one in callbacks]  # all are told, whatever the first says
    return any(answers)
