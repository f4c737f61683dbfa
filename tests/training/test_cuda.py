"""On an NVIDIA GPU: the same network, the same steps, and a run that repeats itself. Skipped where there is none."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.support.random_models import random_model, random_pixels

from mobilenets.architecture.catalog import Specification
from mobilenets.data.splitting import spread
from mobilenets.engine.session import Session
from mobilenets.training.batches import normalized
from mobilenets.training.fit import fit
from mobilenets.training.network import module_of
from mobilenets.training.recalibration import recalibrated_with_torch
from mobilenets.training.recipe import DEFAULT
from mobilenets.training.settings import Settings

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no NVIDIA GPU is here")

CUDA, CPU = torch.device("cuda"), torch.device("cpu")
SMALL = Settings(width=0.25, resolution=48, epochs=3, threads=1, recipe=replace(DEFAULT, batch=16), device="cuda")


@pytest.mark.parametrize("name", ["mobilenet_v1@0.25-96", "mobilenet_v1_shallow@0.5-64", "squeezenet@1-96"])
def test_logits_and_gradients_are_the_processors(name: str) -> None:
    network = Specification.parse(name).network(classes=5)
    rng = np.random.default_rng(0)
    model = random_model(rng, network)
    pixels = random_pixels(rng, network, 4)
    found: dict[str, dict[str, torch.Tensor]] = {}
    for device in (CPU, CUDA):
        # In 64 bits: in 32 a value beside a ReLU's corner falls to one side here and to the other there.
        module = module_of(model).double().to(device).train()
        logits = module(normalized(pixels, model.preprocessing, CPU).double().to(device))
        logits.square().mean().backward()
        gradients = {key: one.grad.cpu() for key, one in module.named_parameters() if one.grad is not None}
        found[device.type] = {"logits": logits.detach().cpu(), **gradients}
    assert len(found["cpu"]) > 20
    for key, expected in found["cpu"].items():
        tolerance = 1e-7 * float(expected.abs().max())
        torch.testing.assert_close(found["cuda"][key], expected, rtol=1e-6, atol=tolerance)


def test_statistics_estimated_there_are_those_estimated_here() -> None:
    network = Specification.parse("mobilenet_v1@0.25-64").network(classes=3)
    rng = np.random.default_rng(1)
    model = random_model(rng, network)
    pixels = random_pixels(rng, network, 40)[spread(40, 32)]
    here, there = (
        Session(recalibrated_with_torch(model, pixels, device=device), 1).run(pixels) for device in (CPU, CUDA)
    )
    np.testing.assert_allclose(there, here, rtol=0.02, atol=0.02 * np.abs(here).max())  # TensorFloat-32 is allowed


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_run_repeats_itself_bit_for_bit(images: Path, tmp_path: Path, precision: str) -> None:
    settings = replace(SMALL, precision=precision)
    for name in ("first", "second"):
        fit(images, tmp_path / name, settings)
    first, second = ((tmp_path / name / "model.safetensors").read_bytes() for name in ("first", "second"))
    assert first == second
