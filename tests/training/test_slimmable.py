"""One network for all widths: what its slices compute while training is what the sliced Models are."""

from __future__ import annotations

from typing import cast

import numpy as np
import pytest
import torch
from tests.random_models import random_model, random_pixels

from mobilenets.architecture.layers import Network
from mobilenets.architecture.mobilenet_v1 import mobilenet_v1
from mobilenets.architecture.resizing import with_resolution, with_width
from mobilenets.errors import TrainingError
from mobilenets.model import statistics
from mobilenets.model.slicing import sliced
from mobilenets.training import slimmable
from mobilenets.training.batches import Batch, normalized
from mobilenets.training.network import NetworkModule, module_of
from mobilenets.training.slimmable import Sandwich, forward_as, reestimated

NETWORK = mobilenet_v1(resolution=64, classes=3)


@pytest.mark.parametrize(("width", "side"), [(0.25, 64), (0.6, 48), (1.0, 33)])
def test_a_width_in_training_is_the_sliced_model_on_batch_statistics(width: float, side: int) -> None:
    rng = np.random.default_rng(0)
    model = random_model(rng, NETWORK)
    narrow = sliced(model, width_multiplier=width, resolution=side)
    pictures = normalized(random_pixels(rng, narrow.network, 6), model.preprocessing, torch.device("cpu"))
    network = with_width(with_resolution(NETWORK, side, side), width)
    assert network == narrow.network
    with torch.no_grad():
        shared = forward_as(module_of(model).train(), network, pictures)
        alone = module_of(narrow).train()(pictures)
    torch.testing.assert_close(shared, alone, rtol=1e-4, atol=1e-5)


def test_every_step_trains_the_narrowest_and_the_widest() -> None:
    model = random_model(np.random.default_rng(0), NETWORK)
    module = module_of(model).train()
    sandwich = Sandwich(NETWORK, narrowest=0.25, resolutions=(32, 48, 64), draws=1, seed=1)
    pictures = torch.randn(4, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    targets = torch.nn.functional.one_hot(torch.tensor([0, 1, 2, 0]), 3).float()
    loss, logits = sandwich(module, Batch(pictures, targets, 5))
    assert logits.shape == (4, 3)
    loss.backward()  # type: ignore[no-untyped-call]
    gradient = module.layer_module("block13.pointwise").weight.grad
    assert gradient is not None
    assert gradient[-1].abs().sum() > 0
    assert gradient[0].abs().sum() > 0


def test_every_step_sees_all_resolutions_and_a_width_from_every_part(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[tuple[float, int]] = []

    def spy(module: NetworkModule, network: Network, pictures: torch.Tensor) -> torch.Tensor:
        drawn.append((network.width_multiplier, network.height))
        assert pictures.shape[2:] == (network.height, network.width)
        return forward_as(module, network, pictures)

    monkeypatch.setattr(slimmable, "forward_as", spy)
    module = module_of(random_model(np.random.default_rng(0), NETWORK)).train()
    widest: list[int] = []
    module.register_forward_pre_hook(lambda _, inputs: widest.append(inputs[0].shape[2]))
    sandwich = Sandwich(NETWORK, narrowest=0.25, resolutions=(32, 40, 48, 64), draws=3, seed=1)
    pictures = torch.randn(4, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    targets = torch.eye(3)[[0, 1, 2, 0]]
    for step in range(8):
        sandwich(module, Batch(pictures, targets, step))
    steps = [drawn[begin : begin + 4] for begin in range(0, len(drawn), 4)]
    assert all(sorted(side for _, side in step) == [32, 40, 48, 64] for step in steps)
    assert all(step[0][0] == 0.25 and 0.25 < step[1][0] < 0.55 <= step[2][0] < 0.8 <= step[3][0] < 1 for step in steps)
    assert len({tuple(step) for step in steps}) == 8
    assert widest[::2] == [64] * 4
    assert min(widest[1::2]) < 64


def test_the_loss_is_of_the_size_of_one_network_s() -> None:
    module = module_of(random_model(np.random.default_rng(0), NETWORK)).train()
    with torch.no_grad():
        module.layer_module("classifier").weight.zero_()
        cast("torch.Tensor", module.layer_module("classifier").bias).zero_()
    sandwich = Sandwich(NETWORK, narrowest=0.25, resolutions=(32, 64), draws=3)
    targets = torch.eye(3)[[0, 1, 2, 0]]
    loss, _ = sandwich(module, Batch(torch.randn(4, 3, 64, 64), targets))
    assert float(loss.detach()) == pytest.approx(np.log(3), rel=1e-5)


def test_what_a_step_draws_follows_from_its_number() -> None:
    def losses(step: int) -> float:
        module = module_of(random_model(np.random.default_rng(0), NETWORK)).train()
        sandwich = Sandwich(NETWORK, narrowest=0.25, resolutions=(32, 48, 64), seed=1)
        pictures = torch.randn(4, 3, 64, 64, generator=torch.Generator().manual_seed(0))
        targets = torch.nn.functional.one_hot(torch.tensor([0, 1, 2, 0]), 3).float()
        return float(sandwich(module, Batch(pictures, targets, step))[0].detach())

    assert losses(3) == losses(3)
    assert len({losses(step) for step in range(4)}) > 1


def test_reestimated_statistics_are_those_of_the_pictures() -> None:
    rng = np.random.default_rng(2)
    narrow = sliced(random_model(rng, NETWORK), width_multiplier=0.5)
    pixels = random_pixels(rng, narrow.network, 8)
    model = reestimated(narrow, pixels, batch=8)
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
    narrow = sliced(random_model(rng, NETWORK), width_multiplier=0.3, resolution=48)
    pixels = random_pixels(rng, narrow.network, 11)
    expected = reestimated(narrow, pixels, batch=4)
    found = statistics.reestimated(narrow, pixels, batch=4)
    for name, values in expected.parameters.items():
        np.testing.assert_allclose(found.parameters[name], values, rtol=2e-3, atol=1e-5, err_msg=name)


def test_only_resolutions_may_be_shared() -> None:
    sandwich = Sandwich(NETWORK, narrowest=1.0, resolutions=(32, 64), draws=1)
    assert set(sandwich.widths) == {1.0}
    pictures = torch.randn(4, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    targets = torch.eye(3)[[0, 1, 2, 0]]
    loss, _ = sandwich(module_of(random_model(np.random.default_rng(0), NETWORK)).train(), Batch(pictures, targets))
    assert torch.isfinite(loss)


def test_what_makes_no_sense_is_refused() -> None:
    with pytest.raises(TrainingError, match=r"narrowest width must be above 0 and at most 1, not 1\.1"):
        Sandwich(NETWORK, narrowest=1.1, resolutions=(64,))
    with pytest.raises(TrainingError, match="at most the network's 64 pixels"):
        Sandwich(NETWORK, narrowest=0.25, resolutions=(64, 96))
    model = random_model(np.random.default_rng(0), NETWORK)
    with pytest.raises(TrainingError, match="two pictures at least, not 1"):
        reestimated(model, random_pixels(np.random.default_rng(0), NETWORK, 1))
