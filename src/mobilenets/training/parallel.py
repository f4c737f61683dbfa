"""A module that several processes train as one: averaged gradients, and batch norms of whole batches.

Gradients are averaged by DistributedDataParallel, or in one sum where the processes share memory. Batch norms see the
statistics of all processes' images, so that a step is that of one process with the whole batch.
"""

from __future__ import annotations

import itertools
import warnings
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from mobilenets.training.distributed import process_count
from mobilenets.training.sums import Running, add_up, by_shared_memory, whole_moments


class Parallel:
    """A module whose gradients are averaged over the processes, whichever of its parameters are trained just now.

    Args:
        module: On its device; its batch norms see whole batches from now on.
    """

    def __init__(self, module: nn.Module) -> None:
        self._module = module
        self._wrapped: DistributedDataParallel | None = None
        self._trained: list[bool] = []
        self._adds_up = False
        if process_count() > 1:
            share_batch_norms(module)
            self._adds_up = by_shared_memory() and _shares_buffers(module)
            if self._adds_up:
                _make_alike(module)

    def wrapped(self) -> nn.Module:
        """The module to run a step with; itself where there is one process, or gradients are added up afterwards."""
        if process_count() == 1 or self._adds_up:
            return self._module
        trained = [parameter.requires_grad for parameter in self._module.parameters()]
        if self._wrapped is None or trained != self._trained:
            self._trained = trained
            self._wrapped = _data_parallel(self._module)
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
        if self._adds_up:
            _average_gradients(self._module)


def _data_parallel(module: nn.Module) -> DistributedDataParallel:
    """A module whose gradients are averaged while they are computed."""
    with warnings.catch_warnings():
        # a new name of an argument, which PyTorch before 2.13 does not know
        warnings.filterwarnings("ignore", "`broadcast_buffers` is deprecated", FutureWarning)
        return DistributedDataParallel(
            module, gradient_as_bucket_view=True, broadcast_buffers=not _shares_buffers(module)
        )


def _make_alike(module: nn.Module) -> None:
    """Give a module the parameters and buffers that it has in the first process."""
    for tensor in itertools.chain(module.parameters(), module.buffers()):
        distributed.broadcast(tensor.detach(), src=0)


def _average_gradients(module: nn.Module) -> None:
    """Replace a module's gradients by their means over processes of one machine."""
    gradients = [parameter.grad for parameter in module.parameters() if parameter.grad is not None]
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    add_up(flat.div_(process_count()))
    parts = flat.split([gradient.numel() for gradient in gradients])  # type: ignore[no-untyped-call]
    torch._foreach_copy_(
        gradients, [part.view(gradient.shape) for part, gradient in zip(parts, gradients, strict=True)]
    )


class _WholeBatchNorm(torch.autograd.Function):
    """Batch norm by the statistics of all processes' images."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, gamma: Tensor, beta: Tensor, eps: float, running: Running) -> Tensor:
        real = values if values.dtype == torch.float64 else values.float()
        channels = real.shape[1]
        still = running[:2] if running else (real.new_zeros(channels), real.new_ones(channels))
        # What ordinary batch norm computes them by; torch.var_mean takes a hundred times as long on channels-last maps.
        own = torch.batch_norm_update_stats(real, *still, 0.0)
        mean, variance, total = whole_moments(*own, real.numel() // channels, running)
        ctx.save_for_backward(values, gamma, mean, variance)
        ctx.eps, ctx.total = eps, total
        return torch.native_batch_norm(values, gamma, beta, mean, variance, False, 0.0, eps)[0]

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None]:
        values, gamma, mean, variance = ctx.saved_tensors
        inverse = torch.rsqrt(variance + ctx.eps)
        outer = gradients[0].contiguous(memory_format=torch.channels_last)
        wanted = [False, True, True]
        _, of_gamma, of_beta = torch.ops.aten.native_batch_norm_backward(
            outer, values, gamma, mean, variance, mean, inverse, False, ctx.eps, wanted
        )
        sums = torch.stack([of_gamma, of_beta])
        add_up(sums)
        scale = gamma * inverse
        # scale · (outer − mean of outer − normal values · mean of (outer · normal values)), where the last two terms
        # are a batch norm of the values with another gamma and beta
        slopes, offsets = (sums * (scale / -ctx.total)).unbind()
        of_values = torch.native_batch_norm(values, slopes, offsets, mean, variance, False, 0.0, ctx.eps)[0]
        of_values.addcmul_(outer, scale.view(1, -1, 1, 1).to(outer.dtype))
        return of_values, of_gamma, of_beta, None, None


def _whole_batch_norm(values: Tensor, gamma: Tensor, beta: Tensor, eps: float, running: Running = None) -> Tensor:
    apply: Any = _WholeBatchNorm.apply  # which has no types
    result: Tensor = apply(values, gamma, beta, eps, running)
    return result


class SharedBatchNorm(nn.BatchNorm2d):
    """A batch norm that sees the images of all processes while it is trained."""

    def forward(self, values: Tensor) -> Tensor:
        """Normalized (N, C, H, W)."""
        if not self.training or process_count() == 1 or self.running_mean is None or self.running_var is None:
            return super().forward(values)
        running = (self.running_mean, self.running_var, self.momentum or 0.0)
        return _whole_batch_norm(values, self.weight, self.bias, self.eps, running)


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
    return _whole_batch_norm(values, gamma, beta, eps)
