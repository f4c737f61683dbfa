"""A narrower Model out of a wide one, by keeping the first channels of every layer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from mobilenets.architecture.multipliers import check_resolution
from mobilenets.architecture.network import Network
from mobilenets.architecture.rescale import with_resolution, with_width
from mobilenets.errors import ModelError
from mobilenets.model.preprocessing import Pixels

if TYPE_CHECKING:
    from mobilenets.model.model import Model

Tensor = npt.NDArray[Any]

MOST_SLICES = 4096
"""Statistics of more slices than that are refused: somebody wants memory, not a Model."""
_STATISTICS = ("running_mean", "running_var")


def sliced(model: Model, *, width_multiplier: float | None = None, resolution: int | None = None) -> Model:
    """The Model of a smaller width, a different resolution or both, with the first weights of the wide one.

    Its batch-norm statistics are the first ones of the wide Model, which are not its own:
    :meth:`~mobilenets.model.model.Model.slice` gives a Model that can be used.

    Args:
        model: A float32 Model.
        width_multiplier: α, at most the Model's own; its own if None.
        resolution: Side of the square input in pixels; the Model's own size if None.

    Raises:
        ModelError: If the Model is int8.
        ArchitectureError: If the network cannot have that width or resolution.
    """
    if model.quantization is not None:
        raise ModelError(
            "an int8 Model cannot be sliced: its scales hold for its own width only; slice the float32 one"
        )
    network = model.network
    if resolution is not None:
        network = with_resolution(network, resolution, resolution)
    if width_multiplier is not None:
        network = with_width(network, width_multiplier)
    parameters = {
        name: np.ascontiguousarray(model.parameters[name][tuple(slice(size) for size in shape)])
        for name, shape in network.parameter_shapes().items()
    }
    return replace(model, network=network, parameters=parameters, slices={})


def slice_of(model: Model, width_multiplier: float, resolution: int, pixels: Pixels | None) -> Model:
    """What :meth:`mobilenets.model.model.Model.slice` says."""
    narrowest = min((width for width, _ in model.slices), default=None)
    if narrowest is not None and width_multiplier < narrowest:
        raise ModelError(
            f"the smallest width that this Model was trained for is {narrowest:g}; {width_multiplier:g} is below it"
        )
    narrow = sliced(model, width_multiplier=width_multiplier, resolution=resolution)
    provenance = {**model.provenance, "sliced_from": f"{model.network.width_multiplier:g}-{model.network.height}"}
    narrow = replace(narrow, provenance=provenance)
    if pixels is not None:
        from mobilenets.model.recalibration import reestimated  # runs Models, and so stands above them

        return reestimated(narrow, pixels)
    statistics = model.slices.get((width_multiplier, resolution))
    if statistics is not None:
        return with_statistics(narrow, statistics)
    ready = ", ".join(f"{width:g}-{side}" for width, side in sorted(model.slices)) or "for none: it was not trained so"
    raise ModelError(
        f"there are no batch-norm statistics for width {width_multiplier:g} at {resolution} pixels; pass some hundred "
        f"training images as pixels, or take one that this Model has them for ({ready})"
    )


def statistics_of(model: Model) -> Tensor:
    """A Model's batch-norm statistics as :attr:`~mobilenets.model.model.Model.slices` holds them: (2, channels)."""
    names = list(_batch_norms(model.network))
    return np.stack([np.concatenate([model.parameters[f"{name}.{kind}"] for name in names]) for kind in _STATISTICS])


def with_statistics(model: Model, statistics: Tensor) -> Model:
    """A Model with other batch-norm statistics, as :func:`statistics_of` gives them."""
    parameters = dict(model.parameters)
    begin = 0
    for name in _batch_norms(model.network):
        end = begin + len(parameters[f"{name}.running_mean"])
        for kind, values in zip(_STATISTICS, statistics, strict=True):
            parameters[f"{name}.{kind}"] = np.ascontiguousarray(values[begin:end])
        begin = end
    return model.with_parameters(parameters)


def check_slices(model: Model) -> None:
    """Raise if the statistics of a Model's slices do not belong to its network.

    Raises:
        ModelError: If one has the wrong shape or type, or holds what no batch norm can.
        ArchitectureError: If the network cannot have the width or resolution of one.
    """
    if model.quantization is not None:
        raise ModelError("an int8 Model has no slices: its scales hold for its own width only")
    if len(model.slices) > MOST_SLICES:
        raise ModelError(f"statistics of {len(model.slices)} slices; at most {MOST_SLICES} are read")

    @cache
    def channels(width: float) -> int:
        network = with_width(model.network, width)
        return sum(network.shapes[name.removesuffix(".batch_norm")].channels for name in _batch_norms(network))

    for (width, resolution), statistics in model.slices.items():
        check_resolution(resolution)
        shape = (2, channels(width))
        if statistics.shape != shape or statistics.dtype != np.float32:
            raise ModelError(
                f"statistics of slice {width:g}-{resolution} are {statistics.dtype} {statistics.shape}; "
                f"the network needs float32 {shape}"
            )
        if not (np.isfinite(statistics).all() and (statistics[1] >= 0).all()):
            raise ModelError(f"statistics of slice {width:g}-{resolution} hold a negative variance or no number")


def _batch_norms(network: Network) -> Iterator[str]:
    for layer in network.layers:
        if layer.batch_norm is not None:
            yield f"{layer.name}.batch_norm"
