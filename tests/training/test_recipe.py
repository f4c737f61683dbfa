"""Recipes and defaults are what the documentation says."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from tests.conftest import shared

from mobilenets.architecture.catalog import Specification
from mobilenets.architecture.networks.mobilenet_v1 import mobilenet_v1
from mobilenets.data.augmentation import Flip
from mobilenets.data.dataset import load_dataset
from mobilenets.data.image import ArrayImage
from mobilenets.data.sources import digits
from mobilenets.data.subset import Subset
from mobilenets.errors import TrainingError
from mobilenets.training.batches import Batch
from mobilenets.training.network import NetworkModule
from mobilenets.training.objectives import cross_entropy
from mobilenets.training.optimization import Average, initialize, make_optimizer
from mobilenets.training.recipe import (
    DEFAULT,
    PAPER,
    RECIPES,
    Optimizer,
    Recipe,
    default_epochs,
    recipe_named,
    suited_to,
    warm_cosine,
)
from mobilenets.training.run import TrainingRun
from mobilenets.training.settings import choose_device, choose_precision, default_resolution
from mobilenets.training.state import TrainingState


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=str)
def test_the_learning_rate_rises_then_falls(recipe: Recipe) -> None:
    rates = [recipe.learning_rate_at(step, 1000, 50) for step in range(1000)]
    highest = int(np.argmax(rates))
    assert rates[highest] == pytest.approx(recipe.learning_rate)
    assert highest <= 1000 * recipe.warmup
    assert (np.diff(rates[: highest + 1]) > 0).all()
    assert (np.diff(rates[highest:]) <= 0).all()
    assert min(rates) > 0


def test_the_papers_rate_falls_by_six_percent_every_two_and_a_half_epochs() -> None:
    assert PAPER.learning_rate_at(0, 10_000, 100) == 0.045
    assert PAPER.learning_rate_at(250, 10_000, 100) == pytest.approx(0.045 * 0.94)


def test_the_paper_smooths_no_labels_and_decays_no_depthwise_filter() -> None:
    assert PAPER.label_smoothing == 0
    module = NetworkModule(mobilenet_v1(width_multiplier=0.25, resolution=32, classes=2))
    decayed, free = make_optimizer(module, PAPER).param_groups
    names = {id(parameter): name for name, parameter in module.tensors().items()}
    assert (decayed["weight_decay"], free["weight_decay"]) == (4e-5, 0)
    assert {names[id(parameter)] for parameter in decayed["params"]} == {
        "stem.weight",
        *(f"block{number}.pointwise.weight" for number in range(1, 14)),
        "classifier.weight",
    }


def test_images_grow_to_the_networks_resolution() -> None:
    recipe = replace(DEFAULT, growth=((0.5, 0.5), (0.25, 0.8), (0.25, 1.0)))
    sides = [recipe.resolution_at(epoch, 8, 128) for epoch in range(8)]
    assert sides == [64, 64, 64, 64, 104, 104, 128, 128]
    assert [recipe.resolution_at(epoch, 8, 96) for epoch in (0, 4, 6)] == [64, 80, 96]
    assert {recipe.resolution_at(epoch, 8, 32) for epoch in range(8)} == {32}
    assert recipe.resolution_at(7, 8, 45) == 45


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"learning_rate": 0.0}, "learning_rate must be above 0, not 0"),
        ({"label_smoothing": 1.0}, "label_smoothing must be at least 0 and below 1, not 1"),
        ({"batch": 1}, "two images at least"),
        ({"growth": ((0.5, 1.0),)}, "must add to 1"),
    ],
)
def test_recipes_that_make_no_sense(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(TrainingError, match=message):
        replace(DEFAULT, **wrong)


def test_an_unknown_recipe_names_the_nearest() -> None:
    with pytest.raises(TrainingError, match="known are default, paper; did you mean default"):
        recipe_named("defualt")


def test_digits_and_letters_are_not_mirrored_and_kept_nearly_whole() -> None:
    digits_recipe, others = suited_to(DEFAULT, ("0", "1")), suited_to(DEFAULT, ("a", "ab"))
    assert (digits_recipe.augmentation.flip, digits_recipe.augmentation.smallest_area) == (Flip.NONE, 0.6)
    assert others == DEFAULT
    assert suited_to(PAPER, ("0", "1")).augmentation.smallest_area == PAPER.augmentation.smallest_area
    assert suited_to(DEFAULT, ("0", "1"), Flip.ANY).augmentation.flip is Flip.ANY


def test_weights_begin_with_the_deviations_that_the_recipe_says() -> None:
    module = NetworkModule(mobilenet_v1(width_multiplier=1.0, resolution=32, classes=100))
    initialize(module, DEFAULT, 0)
    pointwise = module.layer_module("block12.pointwise").weight.detach()
    assert float(pointwise.std()) == pytest.approx((2 / 512) ** 0.5, rel=0.01)
    initialize(module, PAPER, 0)
    assert float(pointwise.std()) == pytest.approx(0.09 * 0.88, rel=0.01)  # cutting off at 2 deviations leaves 0.88
    assert float(pointwise.abs().max()) <= 0.18


def test_the_average_follows_and_then_lags() -> None:
    module = NetworkModule(mobilenet_v1(width_multiplier=0.25, resolution=32, classes=2))
    average = Average(module, steps=100)
    bias = module.tensors()["classifier.bias"]
    for step in range(1000):
        with torch.no_grad():
            bias.fill_(1.0)
        average.update(step)
    assert average.module.tensors()["classifier.bias"][0] == pytest.approx(1, abs=0.01)
    with torch.no_grad():
        bias.fill_(2.0)
    average.update(1000)
    assert average.module.tensors()["classifier.bias"][0] == pytest.approx(1.01, abs=0.005)


def squares(side: int) -> Subset:
    images = tuple(ArrayImage(str(number), np.zeros((side, side + 5, 3), np.uint8)) for number in range(3))
    return Subset(images, np.zeros(3, np.int64))


@pytest.mark.parametrize(("side", "expected"), [(8, 32), (40, 32), (75, 64), (100, 64), (150, 128), (4000, 128)])
def test_the_resolution_fits_the_images(side: int, expected: int) -> None:
    assert default_resolution(squares(min(side, 300))) == expected


def test_the_resolution_of_the_samples() -> None:
    images = tuple(image for group in digits().values() for image in group)
    assert default_resolution(Subset(images, np.zeros(len(images), np.int64))) == 32
    assert default_resolution(load_dataset(shared("trashnet")).train) == 128


def test_the_length_of_training_follows_from_count_and_resolution() -> None:
    assert default_epochs(DEFAULT.samples_seen // 50, 128, DEFAULT) == 50
    assert default_epochs(DEFAULT.samples_seen // 50, 64, DEFAULT) == 22  # 50 · 0.5 ** 1.25 = 21.02
    assert default_epochs(10, 128, DEFAULT) == 250
    assert default_epochs(10_000_000, 128, DEFAULT) == 10


def test_devices_and_precisions() -> None:
    assert choose_device("cpu") == torch.device("cpu")
    assert choose_precision("auto", torch.device("cpu")) == "float32"
    assert choose_precision("auto", torch.device("cuda")) == "bfloat16"
    if not torch.cuda.is_available():
        with pytest.raises(TrainingError, match="there is no cuda device here"):
            choose_device("cuda")


@pytest.mark.parametrize("resolution", [32, 33, 100, 128, 131])
def test_without_growth_training_sees_the_networks_own_resolution(resolution: int) -> None:
    recipe = replace(DEFAULT, growth=((1.0, 1.0),))
    assert {recipe.resolution_at(epoch, 10, resolution) for epoch in range(10)} == {resolution}


def test_gradients_are_bounded_where_gates_multiply_maps() -> None:
    gated = Specification.parse("mobilenet_v3_small@0.5-32").network(classes=3)
    assert DEFAULT.for_network(gated).largest_gradient == 1
    assert replace(DEFAULT, largest_gradient=0.1).for_network(gated).largest_gradient == 0.1
    assert DEFAULT.for_network(mobilenet_v1(width_multiplier=0.25, resolution=32, classes=3)) == DEFAULT


def test_a_step_is_no_larger_than_the_bound_of_the_gradient() -> None:
    sgd = replace(DEFAULT, optimizer=Optimizer.SGD, momentum=0.0, weight_decay=0.0, warmup=0.0, learning_rate=1.0)
    moved = []
    for bound in (None, 1e-3):
        module = NetworkModule(mobilenet_v1(width_multiplier=0.25, resolution=32, classes=3))
        initialize(module, sgd, seed=0)
        before = [parameter.detach().clone() for parameter in module.parameters()]
        state = TrainingState(module.train(), replace(sgd, largest_gradient=bound), TrainingRun(1), 1)
        images = torch.randn(8, 3, 32, 32, generator=torch.Generator().manual_seed(0))
        state.train_step(Batch(images, torch.eye(3)[torch.arange(8) % 3]), cross_entropy(0.1))
        steps = [after.detach() - old for after, old in zip(module.parameters(), before, strict=True)]
        moved.append(float(torch.cat([step.flatten() for step in steps]).norm()))
    assert moved[0] > 0.1
    assert moved[1] == pytest.approx(1e-3, rel=1e-3)


def test_rates_rise_from_zero_and_fall_to_zero() -> None:
    rates = [warm_cosine(1.0, step, 200, 0.1) for step in range(201)]
    assert rates[0] == pytest.approx(1 / 20)
    assert max(rates) == rates[19] == 1
    assert rates[-1] == pytest.approx(0)
    assert np.diff(rates[:20]).min() > 0 > np.diff(rates[20:]).max()
