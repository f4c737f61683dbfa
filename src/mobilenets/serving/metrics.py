"""What a server has done, counted for Prometheus."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from mobilenets.serving.models import ModelSource, ServedModel
from mobilenets.serving.refusals import Reason

CONTENT_TYPE = CONTENT_TYPE_LATEST
SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
BATCHES = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 64)


class ServerMetrics:
    """Counts of one server, in a registry of its own.

    Args:
        waiting: Gives the number of images in the queue.
        connections: Gives the number of open connections.
    """

    def __init__(self, waiting: Callable[[], float], connections: Callable[[], float]) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "mobilenets_requests",
            "Answers, by endpoint and HTTP status.",
            ("endpoint", "status"),
            registry=self.registry,
        )
        self._seconds = Histogram(
            "mobilenets_request_seconds",
            "Time from a request's headers to its answer.",
            ("endpoint",),
            buckets=SECONDS,
            registry=self.registry,
        )
        self._batches = Histogram(
            "mobilenets_batch_images",
            "Images that were run together.",
            ("model",),
            buckets=BATCHES,
            registry=self.registry,
        )
        self._run_seconds = Histogram(
            "mobilenets_batch_seconds",
            "Time that a batch took to run.",
            ("model",),
            buckets=SECONDS,
            registry=self.registry,
        )
        self._refusals = Counter(
            "mobilenets_rejections", "Requests and images without a prediction.", ("reason",), registry=self.registry
        )
        self._loads = Counter(
            "mobilenets_model_loads", "Models loaded anew.", ("model", "outcome"), registry=self.registry
        )
        for reason in Reason:
            self._refusals.labels(reason.value)
        queue = Gauge("mobilenets_queue_images", "Images that wait.", registry=self.registry)
        queue.set_function(waiting)
        opened = Gauge("mobilenets_connections", "Open connections.", registry=self.registry)
        opened.set_function(connections)

    def answered(self, endpoint: str, status: int, seconds: float) -> None:
        """A request has been answered."""
        self._requests.labels(endpoint, status).inc()
        self._seconds.labels(endpoint).observe(seconds)

    def refused(self, reason: Reason) -> None:
        """A request, or one of its images, got no prediction."""
        self._refusals.labels(reason.value).inc()

    def batch(self, model: ServedModel, images: int, seconds: float) -> None:
        """A batch has been run. Called from any thread."""
        self._batches.labels(model.name).observe(images)
        self._run_seconds.labels(model.name).observe(seconds)

    def loaded(self, source: ModelSource, succeeded: bool) -> None:
        """A changed file has been loaded, or could not be."""
        self._loads.labels(source.name, "loaded" if succeeded else "failed").inc()

    def text(self) -> bytes:
        """All of it as Prometheus reads it."""
        return generate_latest(self.registry)
