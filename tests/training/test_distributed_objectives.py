"""Every objective goes through the module's ``forward``, so that DistributedDataParallel sees its gradients."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.support.integer_training import NETWORK, planes
from tests.support.random_models import random_model, random_pixels
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from mobilenets.compression.config import QuantizationConfig
from mobilenets.compression.quantize import calibrate_ranges, quantize_layers
from mobilenets.training.batches import Batch
from mobilenets.training.integer_network import IntegerNetwork, unfold
from mobilenets.training.network import module_of
from mobilenets.training.objectives import Distillation, Objective, QuantizationAware, Sandwich, cross_entropy
from mobilenets.training.quantization_aware import Teacher

pytestmark = pytest.mark.skipif(not torch.distributed.is_available(), reason="this PyTorch has no torch.distributed")


@pytest.fixture
def process_group(tmp_path: Path) -> Iterator[None]:
    """A group of this process alone."""
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/group", rank=0, world_size=1)
    yield
    torch.distributed.destroy_process_group()


def objective_of(name: str) -> tuple[Objective, nn.Module, Batch]:
    """An objective, a module in training mode, and images in a batch of a late step."""
    rng = np.random.default_rng(0)
    model, pixels = random_model(rng, NETWORK), random_pixels(rng, NETWORK, 4)
    targets = torch.eye(6)[:4]
    images = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    if name == "quantization-aware":
        calibrated = calibrate_ranges(model, pixels, QuantizationConfig())
        int8 = quantize_layers(model, calibrated, pixels, QuantizationConfig()).model
        network = IntegerNetwork(unfold(int8, calibrated.unfolded), int8).train()
        return QuantizationAware(Teacher(model)), network, Batch(planes(pixels), targets, 62, 100)
    objectives: dict[str, Objective] = {
        "cross-entropy": cross_entropy(0.1),
        "distillation": Distillation(module_of(model), NETWORK),
        "sandwich": Sandwich(NETWORK, narrowest=0.125, resolutions=(32,)),
    }
    return objectives[name], module_of(model).train(), Batch(images, targets, 62, 100)


def counted(seen: list[int], bucket: Any) -> torch.futures.Future[torch.Tensor]:
    """What a bucket of gradients is reduced to in a group of one; the number of its parameters is recorded."""
    seen.append(len(bucket.parameters()))
    done: torch.futures.Future[torch.Tensor] = torch.futures.Future()
    done.set_result(bucket.buffer())
    return done


@pytest.mark.usefixtures("process_group")
@pytest.mark.filterwarnings("ignore:Grad strides do not match")  # about speed only
@pytest.mark.parametrize("name", ["cross-entropy", "distillation", "sandwich", "quantization-aware"])
def test_data_parallel_training_has_the_same_gradients(name: str) -> None:
    found = []
    for wrapped in (False, True):
        objective, module, batch = objective_of(name)
        reduced: list[int] = []
        trained = module
        if wrapped:
            trained = DistributedDataParallel(module)
            trained.register_comm_hook(reduced, lambda seen, bucket: counted(seen, bucket))  # no annotations allowed
        loss, _ = objective(trained, batch)
        loss.backward()  # type: ignore[no-untyped-call]
        gradients = {key: one.grad for key, one in module.named_parameters()}
        found.append(gradients)
        assert sum(reduced) == (len(gradients) if wrapped else 0), "the wrapper reduces every gradient once"
    alone, parallel = found
    for key, gradient in alone.items():
        assert gradient is not None
        torch.testing.assert_close(parallel[key], gradient, msg=key)
