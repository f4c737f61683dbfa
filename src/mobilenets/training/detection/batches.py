"""Batches of images with boxes: windows are drawn, and anchors matched with what is seen in them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from mobilenets.data.augmentation import DrawnAugmentation
from mobilenets.model.preprocessing import Pixels, Preprocessing
from mobilenets.training.batches import STEP, Batch, Normalization, change_colors, epoch_order, generator
from mobilenets.training.detection.augmentation import BoxAugmentation, Floats, objects_seen
from mobilenets.training.detection.matching import Objects
from mobilenets.training.distributed import share_of
from mobilenets.training.image_cache import CachedImages

Matcher = Callable[[Objects], Floats]
WIDE = 1000
"""A width in pixels at which shares of an image are computed."""


class DetectionBatches:
    """Makes the batches of a detector's run.

    Args:
        images: Training images, whose targets are ground truth.
        matcher: Gives what every anchor of the network is asked for.
        preprocessing: Mean and deviation to normalize by, and whether images are stretched or letterboxed.
        augmentation: How images are distorted.
        batch: Images in a step.
        seed: Random seed.
        device: Where the batches are wanted.
        reserved: The last so many images are left out of an epoch unless it asks for all.
    """

    def __init__(
        self,
        images: CachedImages,
        matcher: Matcher,
        preprocessing: Preprocessing,
        augmentation: BoxAugmentation,
        *,
        batch: int,
        seed: int,
        device: torch.device,
        reserved: int = 0,
    ) -> None:
        self.count = len(images.targets)
        self._images, self._matcher, self._augmentation = images, matcher, augmentation
        self._preprocessing, self._normal = preprocessing, Normalization(preprocessing, device)
        self._batch, self._seed, self._device, self._reserved = batch, seed, device, reserved

    @property
    def steps_per_epoch(self) -> int:
        """Steps in each epoch."""
        return self.count // min(self._batch, self.count)

    def epoch(
        self, epoch: int, size: tuple[int, int], *, first: int = 0, mixed: bool = True, everything: bool = False
    ) -> Iterator[Batch]:
        """This process's share of the batches of an epoch. Targets are float32 (n, A, 5), as a matcher gives them.

        Args:
            epoch: From 0.
            size: (height, width) of the images, which is the network's.
            first: Step of the epoch to begin with.
            mixed: Images are never mixed.
            everything: Whether those are shown too that are left out otherwise.
        """
        order = epoch_order(self.count, self._batch, self._seed, epoch, 0 if everything else self._reserved)
        whole = min(self._batch, self.count)
        own = np.arange(whole)[share_of(whole)]
        groups = [indices[own] for indices in order[first:]]
        for number, (pixels, aspects) in enumerate(self._images.batches(groups), start=first):
            step = epoch * len(order) + number
            windows = np.ones((whole, 2))  # what is drawn for an image does not depend on the others
            windows[own] = self._windows(aspects, size)
            drawn = self._augmentation.draw(windows, generator(self._seed, step, STEP)).at(own)
            truths = self._images.targets[groups[number - first]]
            seen = [objects_seen(truth, window) for truth, window in zip(truths, drawn.maps, strict=True)]
            targets = torch.from_numpy(np.stack([self._matcher(one) for one in seen])).to(self._device)
            yield Batch(self._shown(pixels, drawn, size), targets, step, whole=whole)

    def _windows(self, aspects: Floats, size: tuple[int, int]) -> npt.NDArray[np.float64]:
        """The window that a network sees of a whole image in use, in sides of the image."""
        windows = np.empty((len(aspects), 2))
        for number, aspect in enumerate(aspects):
            image = (WIDE, max(1, round(WIDE / float(aspect))))
            left, top, right, bottom = self._preprocessing.box(image, *size)
            windows[number] = (right - left) / image[0], (bottom - top) / image[1]
        return windows

    def _shown(self, pixels: Pixels, drawn: DrawnAugmentation, size: tuple[int, int]) -> Tensor:
        values = torch.from_numpy(pixels).to(self._device).permute(0, 3, 1, 2).float()
        if self._augmentation.colors.changes_color:
            values = change_colors(values, drawn, self._augmentation.colors)
        ground = torch.tensor([255 * mean for mean in self._preprocessing.mean], device=self._device).view(1, 3, 1, 1)
        grid = functional.affine_grid(
            torch.from_numpy(drawn.maps).to(self._device), [len(values), 3, *size], align_corners=False
        )
        shown = functional.grid_sample(
            values - ground, grid, mode="bilinear", padding_mode="zeros", align_corners=False
        )
        return self._normal(shown + ground)
