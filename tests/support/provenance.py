"""What the typed view of a Model's provenance does not know."""

from __future__ import annotations

from mobilenets.model.model import Model
from mobilenets.model.provenance import Provenance


def untyped(model: Model) -> list[str]:
    """Names in a Model's provenance that no type is known for, as ``part.name``."""
    found = Provenance.of(model)
    parts = {
        "": found,
        "data.": found.data,
        "metrics.": found.metrics,
        "quantization.": found.quantization,
        "imported.": found.imported,
    }
    return [f"{prefix}{name}" for prefix, part in parts.items() if part is not None for name in part.others]
