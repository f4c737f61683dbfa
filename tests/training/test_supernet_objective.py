"""A supernet: what its subnets compute while training is what the Models cut from it are."""

from __future__ import annotations

from typing import cast

import numpy as np
import pytest
import torch
from tests.support.random_models import random_model, random_pixels

from mobilenets.architecture.catalog import CATALOG
from mobilenets.architecture.network import Network
from mobilenets.architecture.networks.mobilenet_v1 import mobilenet_v1
from mobilenets.architecture.rescale import with_resolution, with_width
from mobilenets.errors import TrainingError
from mobilenets.model import recalibration as statistics
from mobilenets.model.subnet import cut_subnet
from mobilenets.training.batches import Batch, normalized
from mobilenets.training.network import module_of
from mobilenets.training.objectives import Sandwich
from mobilenets.training.recalibration import recalibrated_with_torch

NETWORK = mobilenet_v1(resolution=64, classes=3)


@pytest.mark.parametrize(("width", "side"), [(0.25, 64), (0.6, 48), (1.0, 33)])
@pytest.mark.parametrize(
    "name", ["mobilenet_v1", "mobilenet_v2", "mobilenet_v3_small", "mobilenet_v3_large", "mobilenet_v4_conv_small"]
)
def test_a_subnet_in_training_is_the_cut_model_on_batch_statistics(name: str, width: float, side: int) -> None:
    rng = np.random.default_rng(0)
    whole = CATALOG[name](resolution=64, classes=3)
    model = random_model(rng, whole)
    narrow = cut_subnet(model, width_multiplier=width, resolution=side)
    images = normalized(random_pixels(rng, narrow.network, 6), model.preprocessing, torch.device("cpu"))
    network = with_width(with_resolution(whole, side, side), width)
    assert network == narrow.network
    with torch.no_grad():
        shared = module_of(model).train()(images, subnet=network)
        alone = module_of(narrow).train()(images)
    torch.testing.assert_close(shared, alone, rtol=1e-4, atol=1e-5)


def _batch(step: int = 0) -> Batch:
    images = torch.randn(4, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    return Batch(images, torch.eye(3)[[0, 1, 2, 0]], step, 100)


def test_the_widest_and_the_narrowest_have_their_turns() -> None:
    module = module_of(random_model(np.random.default_rng(0), NETWORK)).train()
    sandwich = Sandwich(NETWORK, narrowest=0.25, resolutions=(32, 48, 64), seed=1)
    trained = []
    for step in range(60, 64):
        module.zero_grad()
        loss, logits = sandwich(module, _batch(step))
        assert logits.shape == (4, 3)
        loss.backward()  # type: ignore[no-untyped-call]
        gradient = module.layer_module("block13.pointwise").weight.grad
        assert gradient is not None
        trained.append(int(gradient.flatten(1).abs().sum(dim=1).nonzero().max()) + 1)
    assert trained[0] > 0.95 * 1024
    assert trained[2] <= 256


def test_widths_come_in_from_the_widest_down() -> None:
    sandwich = Sandwich(NETWORK, narrowest=0.25, resolutions=(32, 40, 48, 64), seed=1)
    steps = 4000
    drawn = [sandwich.drawn(step, steps) for step in range(steps)]
    assert {width for width, _ in drawn[:800]} == {1.0}
    narrowest = [width for width, _ in drawn[2::4]]
    assert narrowest == sorted(narrowest, reverse=True)
    assert set(narrowest) == set(sandwich.widths), "every width has been the narrowest"
    assert all(
        wide == 1 >= width >= low
        for (wide, _), (width, _), (low, _) in zip(drawn[::4], drawn[1::4], drawn[2::4], strict=True)
    )
    last = drawn[2400:]
    assert {width for width, _ in last[2::4]} == {0.25}
    for turn in (1, 3):
        assert {width for width, _ in last[turn::4]} == set(sandwich.widths)
    for width in sandwich.widths:
        assert {side for one, side in last if one == width} == {32, 40, 48, 64}


def test_a_step_runs_the_subnet_that_it_drew_and_the_widest_through_forward() -> None:
    computed: list[tuple[float, int, bool]] = []

    def seen(_: torch.nn.Module, inputs: tuple[torch.Tensor], options: dict[str, Network]) -> None:
        network = options.get("subnet", NETWORK)
        computed.append((network.width_multiplier, inputs[0].shape[2], torch.is_grad_enabled()))
        if options:
            assert inputs[0].shape[2:] == (network.height, network.width)

    module = module_of(random_model(np.random.default_rng(0), NETWORK)).train()
    module.register_forward_pre_hook(seen, with_kwargs=True)
    sandwich = Sandwich(NETWORK, narrowest=0.25, resolutions=(32, 40, 48, 64), seed=1)
    for step in range(60, 72):
        sandwich(module, _batch(step))
    drawn = [sandwich.drawn(step, 100) for step in range(60, 72)]
    assert [(width, side) for width, side, learns in computed if learns] == drawn
    assert [side for _, side, learns in computed if not learns] == [side for width, side in drawn if width < 1]
    assert {width for width, _, learns in computed if not learns} == {1.0}


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_the_others_learn_from_the_labels_and_from_the_widests_answers(share: float) -> None:
    module = module_of(random_model(np.random.default_rng(0), NETWORK)).train()
    with torch.no_grad():
        module.layer_module("classifier").weight.zero_()
        cast("torch.Tensor", module.layer_module("classifier").bias).copy_(torch.tensor([1.0, 0, 0]))
    sandwich = Sandwich(NETWORK, narrowest=0.25, resolutions=(32, 64), share=share, label_smoothing=0.3)
    # Half of the images are of the first class, whose logit is 1: it gets .45 from the smoothed labels.
    labels, answers = 0.45, np.e / (np.e + 2)
    widest, narrowest = (float(sandwich(module, _batch(step))[0].detach()) for step in (60, 62))
    assert widest == pytest.approx(np.log(np.e + 2) - labels, rel=1e-5)
    assert narrowest == pytest.approx(np.log(np.e + 2) - (labels + share * (answers - labels)), rel=1e-5)


def test_what_a_step_draws_follows_from_its_number() -> None:
    def losses(step: int) -> float:
        module = module_of(random_model(np.random.default_rng(0), NETWORK)).train()
        sandwich = Sandwich(NETWORK, narrowest=0.25, resolutions=(32, 48, 64), seed=1)
        return float(sandwich(module, _batch(step))[0].detach())

    assert losses(63) == losses(63)
    assert len({losses(step) for step in range(60, 64)}) > 1


def test_recalibrated_statistics_are_those_of_the_images() -> None:
    rng = np.random.default_rng(2)
    narrow = cut_subnet(random_model(rng, NETWORK), width_multiplier=0.5)
    pixels = random_pixels(rng, narrow.network, 8)
    model = recalibrated_with_torch(narrow, pixels, batch=8)
    module = module_of(narrow)
    with torch.no_grad():
        stem = module.layer_module("stem")
        values = stem.weighted_sum(normalized(pixels, narrow.preprocessing, torch.device("cpu")), stem.weight)
    expected = values.permute(1, 0, 2, 3).flatten(1).numpy()
    mean, variance = (model.parameters[f"stem.batch_norm.running_{name}"] for name in ("mean", "var"))
    np.testing.assert_allclose(mean, expected.mean(axis=1), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(variance, expected.var(axis=1, ddof=1), rtol=1e-4)
    assert np.array_equal(model.parameters["stem.weight"], narrow.parameters["stem.weight"])


def test_statistics_without_torch_are_the_same() -> None:
    rng = np.random.default_rng(3)
    narrow = cut_subnet(random_model(rng, NETWORK), width_multiplier=0.3, resolution=48)
    pixels = random_pixels(rng, narrow.network, 11)
    expected = recalibrated_with_torch(narrow, pixels, batch=4)
    found = statistics.recalibrated(narrow, pixels, batch=4)
    for name, values in expected.parameters.items():
        np.testing.assert_allclose(found.parameters[name], values, rtol=2e-3, atol=1e-5, err_msg=name)


def test_only_resolutions_may_be_shared() -> None:
    sandwich = Sandwich(NETWORK, narrowest=1.0, resolutions=(32, 64))
    assert {sandwich.drawn(step, 8)[0] for step in range(8)} == {1.0}
    module = module_of(random_model(np.random.default_rng(0), NETWORK)).train()
    assert all(torch.isfinite(sandwich(module, _batch(step))[0]) for step in range(4))


def test_what_makes_no_sense_is_refused() -> None:
    with pytest.raises(TrainingError, match=r"narrowest width must be above 0 and at most 1, not 1\.1"):
        Sandwich(NETWORK, narrowest=1.1, resolutions=(64,))
    with pytest.raises(TrainingError, match=r"share of the others' targets must be from 0 to 1, not 2"):
        Sandwich(NETWORK, narrowest=0.25, resolutions=(64,), share=2)
    with pytest.raises(TrainingError, match="at most the network's 64 pixels"):
        Sandwich(NETWORK, narrowest=0.25, resolutions=(64, 96))
    model = random_model(np.random.default_rng(0), NETWORK)
    with pytest.raises(TrainingError, match="two images at least, not 1"):
        recalibrated_with_torch(model, random_pixels(np.random.default_rng(0), NETWORK, 1))
