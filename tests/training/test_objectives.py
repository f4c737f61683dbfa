"""Distillation: a student learns from its teacher for as long, and as much, as asked."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.support.random_models import random_model
from torch.nn import functional

from mobilenets.architecture.networks.mobilenet_v1 import mobilenet_v1
from mobilenets.errors import TrainingError
from mobilenets.training.batches import Batch
from mobilenets.training.network import NetworkModule, module_of
from mobilenets.training.objectives import Distillation, resized_batch
from mobilenets.training.recipe import DEFAULT
from mobilenets.training.run import TrainingRun
from mobilenets.training.supernet import MOST_FINE_TUNING, FineTuning


def _module(width: float, side: int, seed: int) -> NetworkModule:
    network = mobilenet_v1(width_multiplier=width, resolution=side, classes=4)
    return module_of(random_model(np.random.default_rng(seed), network))


def _batch(side: int, step: int) -> Batch:
    images = torch.randn(5, 3, side, side, generator=torch.Generator().manual_seed(0))
    return Batch(images, torch.eye(4)[[0, 1, 2, 3, 0]], step, 10)


def test_labels_and_teacher_share_the_loss_and_later_labels_are_alone() -> None:
    teacher, student = _module(0.5, 64, 0), _module(0.25, 48, 1)
    objective = Distillation(teacher, student.network, share=0.25, until=0.4, label_smoothing=0.1)
    with torch.no_grad():
        images = _batch(64, 0).images
        logits = student(resized_batch(images, 48))
        labels = functional.cross_entropy(logits, _batch(64, 0).targets, label_smoothing=0.1)
        taught = functional.cross_entropy(logits, teacher(images).softmax(dim=1))
        losses = [float(objective(student, _batch(64, step))[0]) for step in (0, 3)]
    both = float(0.75 * labels + 0.25 * taught)
    assert both != pytest.approx(float(labels), rel=1e-3)
    assert losses == pytest.approx([both, both], rel=1e-5)


def test_when_the_teacher_is_done_the_student_sees_images_as_they_come() -> None:
    student = _module(0.25, 48, 1)
    objective = Distillation(_module(0.5, 64, 0), student.network, until=0.4, label_smoothing=0.1)
    with torch.no_grad():
        for step, side in ((4, 48), (9, 48), (9, 36)):
            batch = _batch(side, step)
            loss, logits = objective(student, batch)
            torch.testing.assert_close(logits, student(batch.images))
            assert loss == functional.cross_entropy(logits, batch.targets, label_smoothing=0.1)


def test_a_small_subnet_is_fine_tuned_for_long_and_has_a_teacher_for_a_tenth_of_it() -> None:
    teacher = _module(1.0, 64, 0)
    small = FineTuning.of(_module(0.25, 32, 1), teacher, DEFAULT, 5)
    assert small.epochs == 5 * MOST_FINE_TUNING
    assert (small.size, small.sized_epochs) == ((64, 64), 6)
    student = _module(0.25, 32, 1)
    with torch.no_grad():
        batches = [_batch(32, step)._replace(steps=600) for step in (0, 59, 60, 599)]
        losses = [float(small.objective(student, batch)[0]) for batch in batches]
    assert losses[0] == losses[1] != losses[2] == losses[3]
    assert FineTuning.of(_module(1.0, 64, 2), teacher, DEFAULT, 4).epochs == 5


def test_images_have_the_teachers_size_while_it_teaches_and_then_the_students() -> None:
    student = _module(0.25, 48, 1)
    how = FineTuning.of(student, _module(1.0, 64, 0), DEFAULT, 5)
    run = TrainingRun(how.epochs, size=how.size, sized_epochs=how.sized_epochs)
    sizes = [run.image_size(epoch, student.network, DEFAULT) for epoch in range(how.epochs)]
    assert 0 < how.sized_epochs < how.epochs
    assert set(sizes[: how.sized_epochs]) == {(64, 64)}
    assert set(sizes[how.sized_epochs :]) == {(48, 48)}


@pytest.mark.parametrize(
    ("what", "told"), [({"share": 1.5}, "share of the loss must be"), ({"until": -0.1}, "is used until a")]
)
def test_shares_are_shares(what: dict[str, float], told: str) -> None:
    with pytest.raises(TrainingError, match=told):
        Distillation(_module(0.25, 32, 0), _module(0.25, 32, 0).network, **what)
