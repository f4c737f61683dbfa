"""Batches for one training step: drawn, distorted, normalized and mixed, on the device that trains.

All randomness of a step follows from (seed, step) alone. So nothing about randomness has to be saved, and a run that is
taken up again in the middle goes on exactly as it would have.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from mobilenets.data.augmentation import Augmentation, DrawnAugmentation, Floats
from mobilenets.data.subset import UNKNOWN, Targets
from mobilenets.model.preprocessing import Pixels, Preprocessing, normalization
from mobilenets.training.distributed import process_count, process_rank, share_of
from mobilenets.training.image_cache import CachedImages, Indices
from mobilenets.training.own_augmentation import OwnAugmentation, augmented
from mobilenets.training.recipe import Recipe

ORDER, STEP, SUBNET = 0, 1, 2
"""What a random generator is for; the last part of its seed."""


class Batch(NamedTuple):
    """The images of one step and their targets."""

    images: Tensor
    """float32 (n, 3, height, width), normalized, channels-last in memory."""
    targets: Tensor
    """float32 (n, classes): of a classifier rows that add to 1, or zeros where the class is not known."""
    step: int = 0
    """Number of the step in the whole run: the seed of whatever an objective draws."""
    steps: int = 1
    """Of the whole run, for an objective that changes in its course; set by the loop."""
    whole: int = 0
    """Images of the step in all processes; 0 where these are all."""

    @property
    def total(self) -> int:
        """Images of the step in all processes."""
        return self.whole or len(self.images)


class BatchSource(Protocol):
    """Where the images of a run come from."""

    @property
    def count(self) -> int:
        """Number of training images."""

    @property
    def steps_per_epoch(self) -> int:
        """Number of batches in each epoch."""

    def epoch(
        self, epoch: int, size: tuple[int, int], *, first: int = 0, mixed: bool = True, everything: bool = False
    ) -> Iterator[Batch]:
        """The batches of an epoch, as :meth:`Batches.epoch` gives them."""


def generator(seed: int, number: int, purpose: int) -> np.random.Generator:
    """A random generator that depends on these numbers only."""
    return np.random.default_rng((seed & (2**63 - 1), number, purpose))


def epoch_order(count: int, batch: int, seed: int, epoch: int, reserved: int = 0) -> list[Indices]:
    """The images of each step of an epoch. Those left over when the batches are full are left out.

    Args:
        count: Images.
        batch: Of these, in a step.
        seed: Random seed.
        epoch: From 0.
        reserved: The last so many are not shown. The epoch is as long as with them: it begins to show the others again.
    """
    rng, size = generator(seed, epoch, ORDER), min(batch, count)
    shown, present = count - count % size, count - reserved
    order = np.concatenate([rng.permutation(present) for _ in range(math.ceil(shown / present))])
    return [order[begin : begin + size] for begin in range(0, shown, size)]


class Batches:
    """Makes the batches of a run.

    Args:
        images: Training images.
        classes: Number of classes, or of labels where an image may have several.
        preprocessing: Mean and deviation to normalize by.
        recipe: How images are distorted and mixed.
        seed: Random seed.
        device: Where the batches are wanted.
        reserved: The last so many images are left out of an epoch unless it asks for all.
        augment: Distorts images in place of the recipe's augmentation; None for that.
    """

    def __init__(
        self,
        images: CachedImages,
        classes: int,
        preprocessing: Preprocessing,
        recipe: Recipe,
        *,
        seed: int,
        device: torch.device,
        reserved: int = 0,
        augment: OwnAugmentation | None = None,
    ) -> None:
        self._augment = augment
        self.images, self.recipe, self.seed, self.device = images, recipe, seed, device
        self.count = len(images.targets)
        self._classes, self._reserved = classes, reserved
        self._normal = Normalization(preprocessing, device)
        self._shown = images
        self._targets = torch.from_numpy(images.targets)

    @property
    def steps_per_epoch(self) -> int:
        """Steps in each epoch."""
        return self.count // min(self.recipe.batch, self.count)

    def epoch(
        self, epoch: int, size: tuple[int, int], *, first: int = 0, mixed: bool = True, everything: bool = False
    ) -> Iterator[Batch]:
        """The batches of an epoch.

        Args:
            epoch: From 0.
            size: (height, width) of the images.
            first: Step of the epoch to begin with.
            mixed: Whether images may be mixed.
            everything: Whether those are shown too that are left out otherwise.
        """
        self._shown = self._images_of_size(max(size))
        order = epoch_order(self.count, self.recipe.batch, self.seed, epoch, 0 if everything else self._reserved)
        steps = range(epoch * len(order) + first, (epoch + 1) * len(order))
        held = [self._held(step, size, mixed=mixed) for step in steps]
        groups = [indices[rows] for indices, rows in zip(order[first:], held, strict=True)]
        shown = self._shown.batches(groups)
        for step, rows, indices, (pixels, aspects) in zip(steps, held, groups, shown, strict=True):
            yield self._batch(step, size, rows, indices, pixels, aspects, mixed=mixed)

    def _held(self, step: int, size: tuple[int, int], *, mixed: bool) -> Indices:
        """Rows of a step's batch that this process needs: its share, and behind it what that is mixed with."""
        count = min(self.recipe.batch, self.count)
        rows = np.arange(count)
        own = rows[share_of(count)]
        if len(own) < count:
            _, mixing = self._draw(step, np.ones(count, np.float32), size, mixed=mixed)
            if mixing is not None:
                return np.concatenate([own, np.setdiff1d(mixing.partners[own], own)])
        return own

    def _draw(
        self, step: int, aspects: Floats, size: tuple[int, int], *, mixed: bool
    ) -> tuple[DrawnAugmentation | None, DrawnMixing | None]:
        """What happens to each image of the whole batch of a step; the caller's own augmentation draws for itself."""
        rng = generator(self.seed, step, STEP)
        own = self._augment is not None
        drawn = None if own else self.recipe.augmentation.draw(aspects, size[1] / size[0], rng)
        mixup, cutmix = self.recipe.mixup, self.recipe.cutmix
        if mixed and max(mixup, cutmix) > 0 and rng.random() < self.recipe.mixed:
            return drawn, draw_mixing(len(aspects), size, mixup, cutmix, rng)
        return drawn, None

    def _batch(
        self,
        step: int,
        size: tuple[int, int],
        rows: Indices,
        indices: Indices,
        pixels: Pixels,
        aspects: Floats,
        *,
        mixed: bool,
    ) -> Batch:
        """A step's batch, as far as this process holds it."""
        count = min(self.recipe.batch, self.count)
        whole = np.ones(count, np.float32)
        whole[rows] = aspects
        drawn, mixing = self._draw(step, whole, size, mixed=mixed)
        images = self._own(pixels, size, step) if drawn is None else self._images(pixels, drawn.at(rows), size)
        targets = target_rows(self._targets[indices], self._classes).to(self.device)
        if mixing is not None:
            images, targets = mixing.applied(images, targets, rows, len(np.arange(count)[share_of(count)]))
        return Batch(images, targets, step, whole=count)

    def _images_of_size(self, resolution: int) -> CachedImages:
        """CachedImages of the right size for a resolution: shrunk once, well, and not at every crop, badly."""
        side = round(resolution * 1.25)
        if side >= self.images.side:
            return self.images
        return self._shown if self._shown.side == side else self.images.at(side)

    def _own(self, pixels: Pixels, size: tuple[int, int], step: int) -> Tensor:
        """Whole images, distorted by the caller."""
        drawn_by = step * process_count() + process_rank()  # each process draws for images of its own
        values = torch.from_numpy(pixels).to(self.device).permute(0, 3, 1, 2).float()
        resized = functional.interpolate(values, size, mode="bilinear", antialias=True, align_corners=False)
        return self._normal(augmented(self._augment, resized, self.seed, drawn_by) if self._augment else resized)

    def _images(self, pixels: Pixels, drawn: DrawnAugmentation, size: tuple[int, int]) -> Tensor:
        augmentation = self.recipe.augmentation
        values = torch.from_numpy(pixels).to(self.device).permute(0, 3, 1, 2).float()
        images = resample(values, drawn, size)
        images = change_colors(images, drawn, augmentation) if augmentation.changes_color else images
        return self._normal(images)


def target_rows(targets: Tensor, classes: int) -> Tensor:
    """Targets as a batch holds them, float32 (n, classes).

    Args:
        targets: int64, the class of each image, (n,); or 0 and 1 for each label of each image, (n, classes).
        classes: Number of classes or labels.

    >>> target_rows(torch.tensor([1, 0]), 2).tolist(), target_rows(torch.tensor([[1, 1]]), 2).tolist()
    ([[0.0, 1.0], [1.0, 0.0]], [[1.0, 1.0]])
    """
    return targets.float() if targets.ndim == 2 else functional.one_hot(targets, classes).float()


class PixelBatches:
    """Makes the batches of a run that trains on bytes: images as a network takes them, not normalized.

    Where classes are known, images are distorted as in ordinary training; a teacher knows what a label teaches of an
    image as it is. Without, they are only moved a little.

    Args:
        pixels: uint8 (N, height, width, channels).
        targets: int64 (N,), or (N, labels) of several labels an image; :data:`UNKNOWN` where nobody knows. None if all
            are unknown.
        classes: Number of classes.
        recipe: The size of a batch, and how images are distorted.
        seed: Random seed.
        shift: Largest share of their sides that images without labels are moved by.
    """

    def __init__(
        self, pixels: Pixels, targets: Targets | None, classes: int, recipe: Recipe, *, seed: int, shift: float
    ) -> None:
        self.count = len(pixels)
        self._pixels, self._recipe, self._seed, self._shift = pixels, recipe, seed, shift
        self._labeled = targets is not None
        self._targets = torch.zeros(self.count, classes)
        if targets is not None:
            self._targets = _known_rows(targets, classes)

    @property
    def steps_per_epoch(self) -> int:
        """Steps in each epoch."""
        return self.count // min(self._recipe.batch, self.count)

    def epoch(
        self, epoch: int, size: tuple[int, int], *, first: int = 0, mixed: bool = True, everything: bool = False
    ) -> Iterator[Batch]:
        """The batches of an epoch; images have their own size, and targets that are unknown are zeros.

        Args:
            epoch: From 0.
            size: (height, width), which is theirs.
            first: Step of the epoch to begin with.
            mixed: Images are never mixed.
            everything: All images are shown anyway.
        """
        order = epoch_order(self.count, self._recipe.batch, self._seed, epoch)
        for number in range(first, len(order)):
            step = epoch * len(order) + number
            rng = generator(self._seed, step, STEP)
            maps = torch.from_numpy(self._pixels[order[number]]).permute(0, 3, 1, 2).float()
            maps = distorted(maps, self._recipe.augmentation, rng) if self._labeled else shifted(maps, self._shift, rng)
            own = share_of(len(maps))
            yield Batch(maps[own], self._targets[torch.from_numpy(order[number][own])], step, whole=len(maps))


def _known_rows(targets: Targets, classes: int) -> Tensor:
    """Rows of targets of which some are unknown: zeros of classes, and −1 of several labels an image."""
    if targets.ndim == 2:
        return torch.from_numpy(targets).float()
    rows, known = torch.zeros(len(targets), classes), np.flatnonzero(targets != UNKNOWN)
    rows[known, targets[known]] = 1.0
    return rows


_LUMA = (0.299, 0.587, 0.114)
"""Shares of red, green and blue in a grey image. Source: ITU-R BT.601, as Pillow has them."""


class Normalization:
    """(byte / 255 − mean) / deviation, as one multiplication and addition; of grey images, after their colors went."""

    def __init__(self, preprocessing: Preprocessing, device: torch.device) -> None:
        mean, std = normalization(preprocessing, preprocessing.channels)
        self.scale = torch.tensor(1 / (255 * std), dtype=torch.float32, device=device).view(1, -1, 1, 1)
        self.offset = torch.tensor(-mean / std, dtype=torch.float32, device=device).view(1, -1, 1, 1)
        self._luma = torch.tensor(_LUMA, device=device).view(1, 3, 1, 1)

    def __call__(self, values: Tensor) -> Tensor:
        if values.shape[1] != self.scale.shape[1]:
            values = (values * self._luma).sum(dim=1, keepdim=True)
        normal = torch.addcmul(self.offset, values, self.scale)
        return normal.contiguous(memory_format=torch.channels_last)


def normalized(pixels: Pixels, preprocessing: Preprocessing, device: torch.device) -> Tensor:
    """Bytes (N, height, width, C) as a network sees them: float32 (N, C, height, width), channels-last in memory."""
    values = torch.from_numpy(pixels).to(device).permute(0, 3, 1, 2).float()
    return Normalization(preprocessing, device)(values)


def resample(images: Tensor, drawn: DrawnAugmentation, size: tuple[int, int]) -> Tensor:
    """Crop, turn, mirror and resize in one bilinear resampling.

    Args:
        images: float32 (N, 3, side, side).
        drawn: What to do to each.
        size: (height, width) of the result.

    Returns:
        float32 (N, 3, height, width). What lies outside an image is its mirror image.
    """
    maps = torch.from_numpy(drawn.maps).to(images.device)
    grid = functional.affine_grid(maps, [len(images), 3, *size], align_corners=False)
    return functional.grid_sample(images, grid, mode="bilinear", padding_mode="reflection", align_corners=False)


def change_colors(images: Tensor, drawn: DrawnAugmentation, augmentation: Augmentation) -> Tensor:
    """Saturation, contrast and brightness of each image, values on the scale of bytes; nothing is clipped."""
    saturation, contrast, brightness = (
        torch.from_numpy(values).to(images.device).view(-1, 1, 1, 1)
        for values in (drawn.saturation, drawn.contrast, drawn.brightness)
    )
    if augmentation.saturation:
        gray = images.mean(dim=1, keepdim=True)
        images = torch.lerp(gray, images, saturation)
    # contrast · (value − mean) + mean + brightness, with the constant part of it computed for each image first
    constant = images.mean(dim=(1, 2, 3), keepdim=True) * (1 - contrast) + 255 * brightness
    return torch.addcmul(constant, images, contrast)


def distorted(maps: Tensor, augmentation: Augmentation, random: np.random.Generator) -> Tensor:
    """Images distorted as in ordinary training, and bytes again.

    Args:
        maps: Bytes as float32 (N, channels, height, width).
        augmentation: How.
        random: Draws what is done to each.

    Returns:
        The same shape, channels-last in memory.
    """
    height, width = maps.shape[2:]
    aspect = width / height
    drawn = augmentation.draw(np.full(len(maps), aspect, np.float32), aspect, random)
    changed = change_colors(resample(maps, drawn, (height, width)), drawn, augmentation)
    return changed.round_().clamp_(0, 255).contiguous(memory_format=torch.channels_last)


def shifted(maps: Tensor, share: float, random: np.random.Generator) -> Tensor:
    """Images (N, channels, height, width) moved by whole pixels, up to a share of their sides; borders are repeated."""
    down, across = (int(side * share) for side in maps.shape[2:])
    if not down and not across:
        return maps
    padded = functional.pad(maps, (across, across, down, down), mode="replicate")
    top, left = random.integers(0, 2 * down + 1), random.integers(0, 2 * across + 1)
    moved = padded[:, :, top : top + maps.shape[2], left : left + maps.shape[3]]
    return moved.contiguous(memory_format=torch.channels_last)


@dataclass(frozen=True, eq=False)
class DrawnMixing:
    """How the images of one batch are mixed with others of it.

    Attributes:
        partners: int64 (N,), which other image each is mixed with.
        share: Of its own in the targets, and where there is no box in the pixels.
        box: Rows and columns that come from the other image; None where the whole images are blended.
    """

    partners: Indices
    share: float
    box: tuple[slice, slice] | None

    def applied(self, images: Tensor, targets: Tensor, rows: Indices, own: int) -> tuple[Tensor, Tensor]:
        """The first images of a batch, mixed, and their targets.

        Args:
            images: (n, C, H, W); they may be overwritten.
            targets: (n, classes).
            rows: int64 (n,), which images of the batch they are: those that are mixed, then what they are mixed with.
            own: How many are mixed.
        """
        place = np.zeros(len(self.partners), np.int64)
        place[rows] = np.arange(len(rows))
        partners = torch.from_numpy(place[self.partners[rows[:own]]]).to(images.device)
        others, other_targets = images[partners], targets[partners]
        images, targets = images[:own], targets[:own]
        if self.box is None:
            images = torch.lerp(others, images, self.share)
        else:
            images[:, :, self.box[0], self.box[1]] = others[:, :, self.box[0], self.box[1]]
        return images, torch.lerp(other_targets, targets, self.share)


def draw_mixing(
    count: int, size: tuple[int, int], mixup: float, cutmix: float, rng: np.random.Generator
) -> DrawnMixing:
    """Draw how to blend each image with another of the batch, or to put a box of the other into it.

    Sources: mixup, arXiv:1710.09412; CutMix, arXiv:1905.04899. Where both are wanted each batch gets one of them.

    Args:
        count: Images of the batch.
        size: (height, width).
        mixup: Parameter of the beta distribution that shares of blended images come from; 0 for none.
        cutmix: The same of the areas of boxes.
        rng: Where the chances come from.
    """
    boxed = cutmix > 0 and (mixup == 0 or rng.random() < 0.5)
    alpha = cutmix if boxed else mixup
    share = float(rng.beta(alpha, alpha))
    partners = rng.permutation(count)
    if not boxed:
        return DrawnMixing(partners, share, None)
    height, width = size
    box_height, box_width = (int(side * (1 - share) ** 0.5) for side in (height, width))
    top, left = (int(rng.integers(0, free + 1)) for free in (height - box_height, width - box_width))
    share = 1 - box_height * box_width / (height * width)
    return DrawnMixing(partners, share, (slice(top, top + box_height), slice(left, left + box_width)))
