"""What one training run does, beyond its recipe: how long, from which seed, on which device, at which sizes."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import torch

from mobilenets.architecture.network import Network
from mobilenets.architecture.rescale import takes
from mobilenets.data.dataset import Dataset
from mobilenets.training.distributed import process_count
from mobilenets.training.recipe import Recipe


@dataclass(frozen=True)
class TrainingRun:
    """What one training run does, beyond its recipe.

    Attributes:
        epochs: Passes over the training images.
        head_epochs: Of these, the first ones that train the output layer only.
        frozen: Names of layers that are not trained at all, nor their batch norms.
        seed: Random seed.
        precision: ``"float32"`` or ``"bfloat16"``, which convolutions and products are then computed in.
        device: Device that trains.
        keep_last: Whether the last epoch is kept whatever its validation accuracy, which for a supernet is that of its
            widest subnet only.
        joined: First epoch that is trained on the validation images too, if any is. From then on they are no measure of
            the network, so no epoch is validated, and the last is kept. Where the epoch before it was worse than an
            earlier one, they stay apart, so that validation goes on to the end.
        held_out_epochs: Number of first epochs that are a short run of their own, which the validation images are held
            out of: its learning rate falls to zero, and its last epoch says how well such a network does. Then the
            network is refitted: the run begins again from the start.
        size: (height, width) of the training images at full resolution; the network's own if None.
        sized_epochs: Number of epochs that have that size, before the others have the network's own; None for all.
        frozen_statistics: Whether batch norms keep the statistics that they start with, as in use: batches of few
            images of few things are a poor estimate, and a classifier was fitted to features that these gave.
        patience: Validated epochs without a better one after which the run cools down (see
            :class:`~mobilenets.training.state.TrainingState`) and ends; None where it always has all its epochs.
        seconds: What training may take, if there is a limit. Where it would take longer, it cools down in time.
    """

    epochs: int
    head_epochs: int = 0
    frozen: tuple[str, ...] = ()
    seed: int = 0
    precision: str = "float32"
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    keep_last: bool = False
    joined: int | None = None
    held_out_epochs: int = 0
    size: tuple[int, int] | None = None
    sized_epochs: int | None = None
    frozen_statistics: bool = False
    patience: int | None = None
    seconds: float | None = None

    def image_size(self, epoch: int, network: Network, recipe: Recipe) -> tuple[int, int]:
        """(height, width) of the training images in an epoch, as the recipe lets them grow."""
        sized = self.sized_epochs is None or epoch < self.sized_epochs
        own = (network.height, network.width)
        height, width = full = self.size if self.size is not None and sized else own
        if height != width:
            return full
        side = recipe.resolution_at(epoch, self.epochs, height)
        return (side, side) if takes(network, side) else full

    def autocast(self) -> torch.autocast:
        """The context in which forward passes are computed."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bfloat16")


def fixed(dataset: Dataset, network: Network, recipe: Recipe, run: TrainingRun) -> dict[str, Any]:
    """What must be the same for a run to go on, as a checkpoint keeps it."""
    return {
        "data": dataset.fingerprint,
        "labels": list(dataset.labels),
        "architecture": network.name,
        "width": network.width_multiplier,
        "resolution": [network.height, network.width],
        "recipe": asdict(recipe),
        "epochs": run.epochs,
        "head epochs": run.head_epochs,
        "kept": list(run.frozen),
        "joined": run.joined,
        "held_out_epochs": run.held_out_epochs,
        "seed": run.seed,
        "precision": run.precision,
        "device": run.device.type,
        "threads": torch.get_num_threads(),
        "processes": process_count(),
    }
