"""What a foreign graph cannot say about a Model, as JSON for its metadata.

Weights and scales are never here: they are read from a file's own tensors. A file without a description is still a
whole network; with one, the Model's labels, preprocessing and names come back too.
"""

from __future__ import annotations

import json

from mobilenets.architecture.encoding import encode
from mobilenets.model.model import Model


def describe(model: Model) -> dict[str, str]:
    """Labels, preprocessing, network, activation scales and provenance, each as a JSON text."""
    fields = {
        "labels": list(model.labels),
        "preprocessing": model.preprocessing.encode(),
        "network": encode(model.network),
        "quantization": model.quantization.encode() if model.quantization else None,
        "provenance": dict(model.provenance),
    }
    return {
        name: json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
        for name, value in fields.items()
    }
