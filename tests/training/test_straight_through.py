"""A convolution in bytes has the gradient of what it is made of."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from mobilenets.architecture.layers import (
    INPUT,
    Convolution,
    DepthwiseConvolution,
    Layer,
    Padding,
    PointwiseConvolution,
)
from mobilenets.training.straight_through import Form, convolved, exactly, rounded

UNEVEN = Padding(0, 1, 2, 1)
LAYERS: dict[str, tuple[Layer, tuple[int, ...]]] = {
    "pointwise": (PointwiseConvolution("a", (INPUT,), out_channels=5), (5, 6, 1, 1)),
    "depthwise": (DepthwiseConvolution("a", (INPUT,), padding=Padding(1, 1, 1, 1)), (6, 1, 3, 3)),
    "depthwise, uneven": (DepthwiseConvolution("a", (INPUT,), stride=2, padding=UNEVEN), (6, 1, 3, 3)),
    "grouped": (Convolution("a", (INPUT,), out_channels=4, groups=2, padding=UNEVEN), (4, 3, 3, 3)),
    "strided": (Convolution("a", (INPUT,), out_channels=7, stride=2), (7, 6, 3, 3)),
}


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize(("zero_point", "low", "high"), [(0, 0, 255), (100, 0, 255), (90, 90, 160)])
def test_the_gradient_is_that_of_convolution_rounding_and_clamp(
    name: str, zero_point: int, low: int, high: int
) -> None:
    layer, shape = LAYERS[name]
    generator = torch.Generator().manual_seed(0)
    centred = torch.randint(-40, 200, (3, 6, 9, 8), generator=generator).float().requires_grad_()
    weight = torch.randint(-127, 128, shape, generator=generator).float().requires_grad_()
    bias = torch.randint(-3000, 3000, shape[:1], generator=generator).double().requires_grad_()
    logarithm = torch.tensor(-0.3, dtype=torch.float64, requires_grad=True)
    scale = 100 / torch.sqrt(weight.detach().square().flatten(1).sum(dim=1)) / 60
    parts = [centred, weight, bias, logarithm]
    form = Form.of(layer, 6, zero_point=zero_point, low=low, high=high)

    def plain() -> Tensor:
        top, bottom, left, right = form.padding
        padded = functional.pad(centred, (left, right, top, bottom))
        sums = functional.conv2d(padded, weight, bias.float(), form.strides, groups=form.groups)
        change = torch.exp(logarithm - logarithm.detach()).float()  # 1, with a gradient
        steps = sums * scale.reshape(1, -1, 1, 1) * change
        return (exactly(steps, torch.round(steps.detach())) + zero_point).clamp(low, high)

    expected, made = plain(), convolved(centred, weight, bias, torch.exp(logarithm), scale, form)
    assert torch.equal(made, expected)
    inside = (expected > low) & (expected < high)
    assert 0.05 < inside.float().mean() < 0.95  # both sides of both ends are met
    direction = torch.randn(made.shape, generator=generator)
    for ours, theirs in zip(
        torch.autograd.grad(made, parts, direction), torch.autograd.grad(expected, parts, direction), strict=True
    ):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4 * float(theirs.abs().max()))


def test_weights_beyond_the_grid_have_no_gradient() -> None:
    weight = torch.tensor([[-3.0, -0.8, 0.26, 0.74, 0.76, 9.0]], requires_grad=True)
    whole = rounded(weight, torch.tensor([0.5]), torch.ones(1), 1)
    assert whole.tolist() == [[-1, -1, 1, 1, 1, 1]]
    (gradient,) = torch.autograd.grad(whole.sum(), [weight])
    assert gradient.tolist() == [[0, 0, 2, 2, 0, 0]]


def test_the_size_of_a_channel_has_the_gradient_of_a_factor_on_its_whole_numbers() -> None:
    weight, size = torch.tensor([[-3.0, 0.74], [0.2, 0.3]]), torch.ones(2, requires_grad=True)
    whole = rounded(weight, torch.tensor([0.5, 0.1]), size, 7)
    assert whole.tolist() == [[-6, 1], [2, 3]]
    (gradient,) = torch.autograd.grad((whole * torch.tensor([[1.0, 10.0], [2.0, 3.0]])).sum(), [size])
    assert gradient.tolist() == [-6 + 10, 4 + 9]
