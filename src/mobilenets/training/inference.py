"""A float32 Model run by PyTorch as fast as PyTorch runs it on a processor: what the engine is measured against."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from mobilenets.model.model import Model
from mobilenets.training.network import module_of


class TorchRunner:
    """A Model as a frozen TorchScript graph, channels last, batch norms folded.

    Args:
        model: float32.
        threads: Threads of PyTorch, which are the whole process's: the last runner made decides.
    """

    def __init__(self, model: Model, threads: int) -> None:
        torch.set_num_threads(threads)
        module = module_of(model).eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        example = torch.zeros(1, model.network.channels, model.network.height, model.network.width)
        with torch.inference_mode(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # tracing warns of sizes that it takes for constants, which they are
            trace: Any = torch.jit.trace
            traced = trace(module, example.contiguous(memory_format=torch.channels_last), strict=False)
            self._graph = torch.jit.optimize_for_inference(torch.jit.freeze(traced))

    def run(self, values: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        """The first output for normalized images.

        Args:
            values: float32 (N, C, H, W).

        Returns:
            float32 (N, classes).
        """
        with torch.inference_mode():
            result = self._graph(torch.from_numpy(values).contiguous(memory_format=torch.channels_last))
        logits: npt.NDArray[np.float32] = result.flatten(1).numpy()
        return logits
