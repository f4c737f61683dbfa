"""A Model, ready to run."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from mobilenets.data.decoding import cores
from mobilenets.errors import EngineError
from mobilenets.model import reference
from mobilenets.model.model import Model
from mobilenets.model.preprocessing import Pixels

Logits = npt.NDArray[np.float32]

MOST_THREADS = 256
BATCH = 8
"""Pictures that go through the layers together, so that memory does not grow with the number of pictures."""


class Session:
    """Runs one Model on pixels.

    Args:
        model: float32 or int8.
        threads: Threads to use; by default the cores that this process may use.

    Raises:
        EngineError: If the number of threads makes no sense.
    """

    def __init__(self, model: Model, threads: int | None = None) -> None:
        if threads is not None and not 1 <= threads <= MOST_THREADS:
            raise EngineError(f"threads must be from 1 to {MOST_THREADS}, not {threads}")
        self.model = model
        self.threads = threads or cores()

    def run(self, pixels: npt.NDArray[Any]) -> Logits:
        """The network's (first) output.

        Args:
            pixels: uint8 RGB, (N, height, width, 3).

        Returns:
            float32, (N, classes).

        Raises:
            EngineError: If the pixels are not of that type and shape.
        """
        return self.outputs(pixels)[self.model.network.outputs[0]]

    def outputs(self, pixels: npt.NDArray[Any]) -> dict[str, Logits]:
        """All of the network's outputs by name: (N, C) where one is 1×1, else (N, C, H, W).

        Raises:
            EngineError: If the pixels are not uint8 (N, height, width, 3).
        """
        checked = self._check(pixels)
        parts = [
            reference.run(self.model, checked[begin : begin + BATCH], dtype=np.float32)
            for begin in range(0, max(len(checked), 1), BATCH)
        ]
        return {name: np.concatenate([part[name] for part in parts]) for name in self.model.network.outputs}

    def _check(self, pixels: npt.NDArray[Any]) -> Pixels:
        network = self.model.network
        expected = (network.height, network.width, network.channels)
        if not isinstance(pixels, np.ndarray):
            raise EngineError(f"pixels must be a NumPy array, not {type(pixels).__name__}")
        if pixels.dtype != np.uint8:
            raise EngineError(f"pixels must be uint8 from 0 to 255, not {pixels.dtype}; normalisation is done inside")
        if pixels.ndim != 4 or pixels.shape[1:] != expected:
            needed = ", ".join(map(str, expected))
            raise EngineError(f"pixels have shape {pixels.shape}; the model needs (N, {needed})")
        return np.ascontiguousarray(pixels)
