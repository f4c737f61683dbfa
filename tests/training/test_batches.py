"""Batches follow from seed and step alone, and show the images that they should."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from mobilenets.data.augmentation import UNDISTORTED, Augmentation, Flip
from mobilenets.model.preprocessing import Preprocessing
from mobilenets.training.batches import Batch, Batches, draw_mixing, epoch_order, normalized, resample
from mobilenets.training.image_cache import StoredImages
from mobilenets.training.recipe import DEFAULT, Recipe

CPU = torch.device("cpu")
PLAIN = Preprocessing(mean=(0, 0, 0), std=(1, 1, 1))


def stored(count: int = 10, side: int = 40) -> StoredImages:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (count, side, side, 3), dtype=np.uint8)
    return StoredImages(pixels, np.ones(count, np.float32), np.arange(count, dtype=np.int64) % 3)


def batches_of(recipe: Recipe, *, seed: int = 0, side: int = 40) -> Batches:
    return Batches(stored(side=side), 3, PLAIN, recipe, seed=seed, device=CPU)


def test_an_epoch_shows_every_image_once_but_for_an_unfilled_batch() -> None:
    order = epoch_order(10, 4, seed=1, epoch=0)
    assert [len(indices) for indices in order] == [4, 4]
    assert len(set(np.concatenate(order).tolist())) == 8
    assert [len(indices) for indices in epoch_order(3, 64, seed=1, epoch=0)] == [3]


def test_epochs_and_seeds_have_orders_of_their_own() -> None:
    first = np.concatenate(epoch_order(100, 10, seed=0, epoch=0))
    assert (np.concatenate(epoch_order(100, 10, seed=0, epoch=0)) == first).all()
    assert (np.concatenate(epoch_order(100, 10, seed=0, epoch=1)) != first).any()
    assert (np.concatenate(epoch_order(100, 10, seed=1, epoch=0)) != first).any()


def test_reserved_images_are_not_shown_and_others_fill_the_epoch() -> None:
    order = np.concatenate(epoch_order(10, 3, seed=0, epoch=1, reserved=4))
    assert len(order) == len(np.concatenate(epoch_order(10, 3, seed=0, epoch=1))) == 9
    assert set(order.tolist()) == set(range(6))
    assert sorted(order[:6].tolist()) == list(range(6)), "each once before any is shown again"


def test_an_epoch_that_asks_for_everything_shows_reserved_images() -> None:
    batches = Batches(stored(), 3, PLAIN, replace(DEFAULT, batch=3), seed=0, device=CPU, reserved=9)
    assert {int(target) for batch in batches.epoch(0, (32, 32)) for target in batch.targets.argmax(1)} == {0}
    shown = {int(target) for batch in batches.epoch(0, (32, 32), everything=True) for target in batch.targets.argmax(1)}
    assert shown == {0, 1, 2}


def test_a_later_start_in_an_epoch_gives_the_same_batches() -> None:
    recipe = replace(DEFAULT, batch=3, mixup=0.2, cutmix=1.0, mixed=1.0)
    whole = list(batches_of(recipe).epoch(5, (32, 32)))
    rest = list(batches_of(recipe).epoch(5, (32, 32), first=1))
    assert len(whole) == 3
    for expected, batch in zip(whole[1:], rest, strict=True):
        assert torch.equal(expected.images, batch.images)
        assert torch.equal(expected.targets, batch.targets)


def test_undistorted_batches_are_the_images() -> None:
    batches = batches_of(replace(DEFAULT, batch=10, augmentation=UNDISTORTED), side=32)
    [batch] = batches.epoch(0, (32, 32))
    [order] = epoch_order(10, 10, 0, 0)
    pixels = stored(side=32).pixels[order]
    torch.testing.assert_close(batch.images, normalized(pixels, PLAIN, CPU), atol=1e-4, rtol=0)
    assert batch.targets.argmax(1).tolist() == (order % 3).tolist()
    assert batch.images.is_contiguous(memory_format=torch.channels_last)


def test_a_flip_mirrors_the_image() -> None:
    images = torch.arange(16.0).reshape(1, 1, 4, 4).expand(1, 3, 4, 4).contiguous()
    augmentation = replace(UNDISTORTED, flip=Flip.HORIZONTAL)
    seen = set()
    for seed in range(8):
        drawn = augmentation.draw(np.ones(1, np.float32), 1.0, np.random.default_rng(seed))
        row = resample(images, drawn, (4, 4))[0, 0, 0].round().tolist()
        seen.add(tuple(row))
    assert seen == {(0, 1, 2, 3), (3, 2, 1, 0)}


def test_smaller_images_come_from_smaller_stored() -> None:
    batches = batches_of(DEFAULT, side=80)
    [batch] = batches.epoch(0, (32, 32))
    assert batch.images.shape == (10, 3, 32, 32)
    assert batches._shown.side == 40
    [batch] = batches.epoch(1, (64, 64))
    assert batches._shown.side == 80


def test_normalisation_is_that_of_the_preprocessing() -> None:
    preprocessing = Preprocessing(mean=(0.1, 0.2, 0.3), std=(0.4, 0.5, 0.6))
    pixels = stored(2).pixels
    expected = preprocessing.normalize(pixels).transpose(0, 3, 1, 2)
    np.testing.assert_allclose(normalized(pixels, preprocessing, CPU).numpy(), expected, atol=1e-5)


def mixed(mixup: float, cutmix: float) -> tuple[Batch, Batch]:
    images = torch.zeros(6, 3, 8, 8) + torch.arange(6.0).view(-1, 1, 1, 1)
    targets = torch.eye(6)
    drawn = draw_mixing(6, (8, 8), mixup, cutmix, np.random.default_rng(3))
    result = drawn.applied(images.clone(), targets, np.arange(6), 6)
    return Batch(images, targets), Batch(*result)


def test_mixed_targets_are_shares_of_what_is_seen() -> None:
    for mixup, cutmix in ((1.0, 0.0), (0.0, 1.0)):
        before, after = mixed(mixup, cutmix)
        torch.testing.assert_close(after.targets.sum(1), torch.ones(6))
        # every pixel of image i is i, so the mean of a mixed image is the targets' mean class number
        mean_class = after.targets @ torch.arange(6.0)
        torch.testing.assert_close(after.images.mean((1, 2, 3)), mean_class)
        assert not torch.equal(before.images, after.images)


def test_colours_change_the_mean_by_no_more_than_the_brightness() -> None:
    augmentation = Augmentation(smallest_area=1, stretch=1, flip=Flip.NONE, brightness=0.1, contrast=0.5, saturation=1)
    recipe = replace(DEFAULT, batch=10, augmentation=augmentation)
    [batch] = batches_of(recipe, side=32).epoch(0, (32, 32))
    [order] = epoch_order(10, 10, 0, 0)
    means = torch.from_numpy(stored(side=32).pixels[order].mean((1, 2, 3)) / 255).float()
    difference = (batch.images.mean((1, 2, 3)) - means).abs()
    assert difference.max() <= 0.1 + 1e-4
    assert difference.max() > 0.02
