"""Operators of integer arithmetic that gradients pass through.

Written out operator by operator, autograd would read and write every map a dozen times, and a network of thin layers
waits for that, not for its products: a convolution and its requantization are one function here, with its gradient.

Source: Bengio et al. 2013, arXiv:1308.3432 (the straight-through estimator).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor
from torch.nn import functional

from mobilenets.architecture.layers import (
    Convolution,
    DepthwiseConvolution,
    Layer,
    Padding,
)


def exactly(values: Tensor, exact: Tensor) -> Tensor:
    """``exact``, with the gradient of ``values``.

    The sum ``values + (exact − values)`` would be off by a rounding error where the two are far apart.
    """
    return cast("Tensor", _Exactly.apply(values, exact))  # type: ignore[no-untyped-call]


class _Exactly(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, exact: Tensor) -> Tensor:
        return exact.to(values.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return gradients[0], None


def rounded(weight: Tensor, step: Tensor, size: Tensor, top: int) -> Tensor:
    """The integers from −top to top nearest to ``weight / step``; the weight's gradient ends where they do.

    Args:
        weight: Real, (C, …).
        step: (C,).
        size: Ones, (C,), that take the gradient of the size of the channels: of a factor on all integers of each.
        top: The largest integer.
    """
    column = step.reshape(-1, *[1] * (weight.dim() - 1))
    return cast("Tensor", _Rounded.apply(weight, column, size, top))  # type: ignore[no-untyped-call]


class _Rounded(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, weight: Tensor, step: Tensor, size: Tensor, top: int) -> Tensor:
        steps = weight / step
        integers = torch.round(steps).clamp_(-top, top)
        ctx.top = top
        ctx.save_for_backward(steps, step, integers)
        return integers

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, Tensor, None]:
        steps, step, integers = ctx.saved_tensors
        of_size = (gradients[0] * integers).flatten(1).sum(dim=1)
        return _within(gradients[0], steps, -ctx.top, ctx.top) / step, None, of_size, None


def convolved(centered: Tensor, weight: Tensor, bias: Tensor, ratio: Tensor, scale: Tensor, form: Form) -> Tensor:
    """Bytes of a convolution: exact sums, requantized.

    Args:
        centered: Integers minus their zero point, float32 (N, C, H, W).
        weight: Integers, float32 (C', C / groups, K, K).
        bias: Integers, float64 (C',).
        ratio: Scale of the input over scale of the output, a float64 scalar, for its gradient.
        scale: The multiplier of each channel's sums, float32 (C',); it has no gradient but the ratio's.
        form: The rest.

    Returns:
        Integers from 0 to 255, float32 (N, C', H', W').
    """
    change = torch.log(ratio).float()
    multiplier = scale.reshape(1, -1, 1, 1)
    return cast("Tensor", _Convolved.apply(centered, weight, bias, change, multiplier, form))  # type: ignore[no-untyped-call]


class _Convolved(torch.autograd.Function):
    # The gradient of ``change`` is that of the logarithm of all multipliers; its value is in them already.
    @staticmethod
    def forward(
        ctx: Any, centered: Tensor, weight: Tensor, bias: Tensor, change: Tensor, multiplier: Tensor, form: Form
    ) -> Tensor:
        padded = form.pad(centered)
        sums = form.convolve(padded.to(form.dtype), weight.to(form.dtype), bias.to(form.dtype))
        steps = sums.float().mul_(multiplier)
        ctx.form = form
        ctx.save_for_backward(padded, weight, steps, multiplier)
        integers = torch.round(steps)
        return (integers.add_(form.zero_point) if form.zero_point else integers).clamp_(form.low, form.high)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        padded, weight, steps, multiplier = ctx.saved_tensors
        form: Form = ctx.form
        passed = _within(gradients[0], steps, form.low - form.zero_point, form.high - form.zero_point)
        factor = multiplier.reshape(-1, 1, 1, 1)
        wanted = [ctx.needs_input_grad[0], True, True]
        of_padded, of_weight, of_bias = torch.ops.aten.convolution_backward(
            passed,
            padded,
            weight * factor,
            [len(weight)],
            list(form.strides),
            form.even_padding,
            [1, 1],
            False,
            [0, 0],
            form.groups,
            wanted,
        )
        of_change = torch.dot(_flat(passed), _flat(steps))
        return form.crop(of_padded), of_weight * factor, of_bias * factor.flatten(), of_change, None, None


def _within(gradient: Tensor, steps: Tensor, low: int, high: int) -> Tensor:
    """The gradient where ``steps`` round to a integer from ``low`` to ``high``, and zero elsewhere."""
    return cast("Tensor", torch.ops.aten.hardtanh_backward(gradient, steps, low - 0.5, high + 0.5))


def _flat(maps: Tensor) -> Tensor:
    return maps.permute(0, 2, 3, 1).reshape(-1)  # a view, as maps lie channels last


@dataclass(frozen=True)
class Form:
    """A convolution without its tensors: geometry, range of its bytes, and the type that its sums are exact in."""

    strides: tuple[int, int]
    padding: Padding
    groups: int
    zero_point: int = 0
    low: int = 0
    high: int = 255
    dtype: torch.dtype = torch.float32

    @staticmethod
    def of(layer: Layer, channels: int, **rest: Any) -> Form:
        """The form of a layer that reads so many channels."""
        if isinstance(layer, DepthwiseConvolution):
            return Form(layer.strides, layer.padding, channels, **rest)
        if isinstance(layer, Convolution):
            return Form(layer.strides, layer.padding, layer.groups, **rest)
        return Form((1, 1), Padding(), 1, **rest)

    @property
    def is_even(self) -> bool:
        """Whether the convolution can pad by itself."""
        top, bottom, left, right = self.padding
        return (top, left) == (bottom, right)

    @property
    def even_padding(self) -> list[int]:
        """What it pads by itself: rows and columns."""
        return [self.padding.top, self.padding.left] if self.is_even else [0, 0]

    def pad(self, maps: Tensor) -> Tensor:
        """Maps with the padding that the convolution cannot add."""
        top, bottom, left, right = self.padding
        return maps if self.is_even else functional.pad(maps, (left, right, top, bottom))

    def crop(self, maps: Tensor | None) -> Tensor | None:
        """Maps without what :meth:`pad` added."""
        if maps is None or self.is_even:
            return maps
        top, bottom, left, right = self.padding
        return maps[:, :, top : maps.shape[2] - bottom, left : maps.shape[3] - right]

    def convolve(self, padded: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """Sums of products."""
        return functional.conv2d(padded, weight, bias, self.strides, self.even_padding, 1, self.groups)
