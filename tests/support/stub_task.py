"""A Task that is no classification: which of the channels of a map answers most at each image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from mobilenets.architecture.network import Network
from mobilenets.base.records import record
from mobilenets.tasks.metrics import Share, decibels
from mobilenets.tasks.task import Agreement, Geometry, Outputs


@record(frozen=True)
class StrongestChannel:
    """For networks with any outputs; only what files of other formats need is there."""

    kind: str = "strongest-channel"
    description: str = "finder of the strongest channel"
    compared_by: str = "strongest channel"

    def check(self, network: Network) -> None:
        """Any network will do."""

    def decode(self, outputs: Outputs, geometry: Sequence[Geometry], *, top: int = 5) -> NoReturn:
        """Not needed by any file."""
        raise AssertionError("files are not decoded")

    def metrics(self, outputs: Outputs, targets: Any, *, skipped: Sequence[str] = ()) -> NoReturn:
        """Not needed by any file."""
        raise AssertionError("files are not measured")

    def compare(self, outputs: Outputs, expected: Outputs) -> Agreement:
        """Compare the channel of the largest value of each output."""
        pairs = [
            (one.astype(np.float64), other.astype(np.float64)) for one, other in zip(outputs, expected, strict=True)
        ]
        same = np.stack([_strongest(one) == _strongest(other) for one, other in pairs]).all(axis=0)
        return Agreement(
            same=Share.of(np.array(same)),
            same_where_confident=Share.of(np.array(same)),
            largest_difference=max(float(np.abs(one - other).max()) for one, other in pairs),
            largest_value=max(float(np.abs(other).max()) for _, other in pairs),
            sqnr_db=decibels(
                sum(float(np.square(other).sum()) for _, other in pairs),
                sum(float(np.square(one - other).sum()) for one, other in pairs),
            ),
        )

    def encode(self) -> dict[str, Any]:
        """The kind only."""
        return {"kind": self.kind}


def _real(outputs: Outputs) -> list[npt.NDArray[np.float64]]:
    return [values.astype(np.float64) for values in outputs]


def _strongest(values: Any) -> Any:
    """The channel of the largest value, (N,)."""
    return values.reshape(*values.shape[:2], -1).max(axis=2).argmax(axis=1)
