"""A module that several processes train as one: averaged gradients, and batch norms of whole batches.

Gradients are averaged by DistributedDataParallel. Batch norms see the statistics of all processes' images, so that a
step is that of one process with the whole batch.
"""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from mobilenets.training.distributed import process_count, process_rank


class Parallel:
    """A module whose gradients are averaged over the processes, whichever of its parameters are trained just now.

    Args:
        module: On its device; its batch norms see whole batches from now on.
    """

    def __init__(self, module: nn.Module) -> None:
        self._module = module
        self._wrapped: DistributedDataParallel | None = None
        self._trained: list[bool] = []
        if process_count() > 1:
            share_batch_norms(module)

    def wrapped(self) -> nn.Module:
        """The module to run a step with; itself where there is one process."""
        if process_count() == 1:
            return self._module
        trained = [parameter.requires_grad for parameter in self._module.parameters()]
        if self._wrapped is None or trained != self._trained:
            self._trained = trained
            self._wrapped = DistributedDataParallel(
                self._module, gradient_as_bucket_view=True, broadcast_buffers=not _shares_buffers(self._module)
            )
        return self._wrapped

    def backward(self, loss: Tensor, images: int, of: int) -> None:
        """Compute gradients of the mean loss over all images of a step.

        Args:
            loss: Mean over this process's images.
            images: How many they are.
            of: Images of the step.
        """
        if process_count() > 1:  # which averages over processes, whatever their shares
            loss = loss * (images * process_count() / of)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Grad strides do not match")  # about speed only
            loss.backward()  # type: ignore[no-untyped-call]


MOST_BY_MESSAGES = 8
"""Processes up to which the first one adds few numbers up; with more, all wait for it."""


def _add_up(values: Tensor) -> None:
    """Replace a few numbers by their sums over all processes.

    gloo's all_reduce takes ten times as long as a message there and back (1.6 ms and .14 ms on a machine of two cores),
    and a step of MobileNet has two for each of its 27 batch norms.
    """
    count = process_count()
    if distributed.get_backend() != "gloo" or count > MOST_BY_MESSAGES:
        distributed.all_reduce(values)
    elif process_rank() > 0:
        distributed.send(values, 0)
        distributed.recv(values, 0)
    else:
        own = torch.empty_like(values)
        for rank in range(1, count):
            distributed.recv(own, rank)
            values += own
        for rank in range(1, count):
            distributed.send(values, rank)


class _WholeBatchNorm(torch.autograd.Function):
    """Batch norm by the statistics of all processes' images."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, gamma: Tensor, beta: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor]:
        channels = values.shape[1]
        real = values if values.dtype == torch.float64 else values.float()
        # What ordinary batch norm computes them by; torch.var_mean takes a hundred times as long on channels-last maps.
        own = torch.batch_norm_update_stats(real, real.new_zeros(channels), real.new_ones(channels), 0.0)
        rows = real.new_zeros(process_count(), 2 * channels + 1)
        torch.cat([*own, real.new_tensor([values.numel() // channels])], out=rows[process_rank()])
        _add_up(rows)  # a sum of zeros and one row: each as it was
        means, variances, counts = rows[:, :channels], rows[:, channels:-1], rows[:, -1:]
        total = counts.sum()
        mean = (means * counts).sum(0) / total
        variance = ((variances + (means - mean).square()) * counts).sum(0) / total
        ctx.save_for_backward(values, gamma, mean, variance)
        ctx.eps, ctx.total = eps, total
        result = nn.functional.batch_norm(values, mean, variance, gamma, beta, training=False, eps=eps)
        ctx.mark_non_differentiable(mean, variance)
        return result, mean, variance * (total / (total - 1).clamp(min=1))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        values, gamma, mean, variance = ctx.saved_tensors
        inverse = torch.rsqrt(variance + ctx.eps)
        # As if the statistics were constants; what follows from their own gradients is taken off below.
        of_values, of_gamma, of_beta = torch.ops.aten.native_batch_norm_backward(
            gradients[0].contiguous(memory_format=torch.channels_last),
            values,
            gamma,
            mean,
            variance,
            mean,
            inverse,
            False,
            ctx.eps,
            [True, True, True],
        )
        sums = torch.stack([of_gamma, of_beta])
        _add_up(sums)
        scale = gamma * inverse / ctx.total
        slope = scale * inverse * sums[0]
        offset = scale * sums[1] - slope * mean
        shape = (1, -1, 1, 1)
        of_values = of_values - offset.view(shape).to(values.dtype)
        of_values = of_values.addcmul_(values, slope.view(shape).to(values.dtype), value=-1)
        return of_values, of_gamma, of_beta, None


def _whole_batch_norm(values: Tensor, gamma: Tensor, beta: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor]:
    apply: Any = _WholeBatchNorm.apply  # which has no types
    result: tuple[Tensor, Tensor, Tensor] = apply(values, gamma, beta, eps)
    return result


class SharedBatchNorm(nn.BatchNorm2d):
    """A batch norm that sees the images of all processes while it is trained."""

    def forward(self, values: Tensor) -> Tensor:
        """Normalized (N, C, H, W)."""
        if not self.training or process_count() == 1 or self.running_mean is None or self.running_var is None:
            return super().forward(values)
        result, mean, variance = _whole_batch_norm(values, self.weight, self.bias, self.eps)
        with torch.no_grad():
            self.running_mean.lerp_(mean, self.momentum or 0.0)
            self.running_var.lerp_(variance, self.momentum or 0.0)
        return result


def _shares_buffers(module: nn.Module) -> bool:
    """Whether every buffer of a module is made of all processes' images, so that it is the same in each."""
    return all(type(one) is SharedBatchNorm for one in module.modules() if any(True for _ in one.buffers(False)))


def share_batch_norms(module: nn.Module) -> None:
    """Have the batch norms of a module see the images of all processes."""
    for one in module.modules():
        if type(one) is nn.BatchNorm2d:
            one.__class__ = SharedBatchNorm


def batch_normalized(values: Tensor, gamma: Tensor, beta: Tensor, eps: float) -> Tensor:
    """Values normalized by the statistics of the batch that they are, or of all processes' batches.

    Args:
        values: (N, C, H, W).
        gamma: (C,), what the normal values are multiplied by.
        beta: (C,), what is added.
        eps: Added to the variance.
    """
    if process_count() == 1:
        return nn.functional.batch_norm(values, None, None, gamma, beta, training=True, eps=eps)
    return _whole_batch_norm(values, gamma, beta, eps)[0]
