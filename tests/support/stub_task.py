"""A Task that is no classification: which of the channels of a map answers most at each image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mobilenets.architecture.network import Network
from mobilenets.base.records import record
from mobilenets.errors import DataError
from mobilenets.tasks.metrics import Share, decibels
from mobilenets.tasks.task import Agreement, Geometry, Metric, Outputs


@record(frozen=True)
class FoundChannel:
    """The strongest channel of one image."""

    name: str
    channel: int

    @property
    def summary(self) -> str:
        """The channel."""
        return f"channel {self.channel}"

    def to_json(self) -> dict[str, Any]:
        """JSON-ready values."""
        return {"image": self.name, "channel": self.channel}


@record(frozen=True)
class ChannelMetrics:
    """Share of the images whose strongest channel is the expected one."""

    right: Share
    skipped: tuple[str, ...]

    @property
    def images(self) -> int:
        """Number of images."""
        return self.right.total

    @property
    def primary(self) -> Metric:
        """The share."""
        return Metric("strongest_channel", self.right.value, self.right.interval)

    @property
    def in_words(self) -> str:
        """The share."""
        return f"strongest channel: {self.right}"

    def to_json(self) -> dict[str, Any]:
        """JSON-ready values."""
        share = {"strongest_channel": self.right.value, "right": self.right.to_json()}
        return {"images": self.images, **share, "skipped": list(self.skipped)}


@record(frozen=True)
class StrongestChannel:
    """For networks with any outputs, of which the first is read."""

    kind: str = "strongest-channel"
    description: str = "finder of the strongest channel"
    compared_by: str = "strongest channel"
    labels: None = None

    def check(self, network: Network) -> None:
        """Any network will do."""

    def decode(self, outputs: Outputs, geometry: Sequence[Geometry], *, top: int = 5) -> tuple[FoundChannel, ...]:
        """The strongest channel of each image."""
        found = _strongest(outputs[0]).tolist()
        return tuple(FoundChannel(image.name, channel) for image, channel in zip(geometry, found, strict=True))

    def metrics(self, outputs: Outputs, targets: Any, *, skipped: Sequence[str] = ()) -> ChannelMetrics:
        """Compare the strongest channels with the expected ones, (N,)."""
        if not len(targets):
            raise DataError("there are no images to evaluate on")
        return ChannelMetrics(Share.of(_strongest(outputs[0]) == targets), tuple(skipped))

    def read_metrics(self, data: Mapping[str, Any]) -> ChannelMetrics:
        """What :meth:`ChannelMetrics.to_json` wrote."""
        return ChannelMetrics(Share.from_json(data["right"]), tuple(data["skipped"]))

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

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> StrongestChannel:
        """What :meth:`encode` wrote."""
        return StrongestChannel()


def _strongest(values: Any) -> Any:
    """The channel of the largest value, (N,)."""
    return values.reshape(*values.shape[:2], -1).max(axis=2).argmax(axis=1)
