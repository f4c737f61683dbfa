"""Subnets: narrower and smaller Models out of a supernet, which share its first channels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from mobilenets.architecture.rescale import with_resolution, with_width
from mobilenets.base.arguments import check_number, typed
from mobilenets.errors import ModelError
from mobilenets.model.model import Model, normalized_layers
from mobilenets.model.preprocessing import Pixels
from mobilenets.model.provenance import Provenance
from mobilenets.model.recalibration import recalibrated

Tensor = npt.NDArray[Any]


@typed(ModelError)
def extract_subnet(supernet: Model, width_multiplier: float, resolution: int, *, pixels: Pixels | None = None) -> Model:
    """Extract an ordinary Model of a smaller width and resolution from a supernet.

    It has the first channels of every layer of the supernet, and is as good as the supernet was trained to be at that
    width (``mobilenets fit`` with a budget trains one so and writes it as ``supernet.safetensors``). Its batch-norm
    statistics are those that were measured when training ended, where (α, resolution) is among
    :attr:`Model.subnets <mobilenets.model.model.Model.subnets>`; for any other they are measured on the pixels.

    Args:
        supernet: A float32 Model.
        width_multiplier: α, from the smallest that was trained to the supernet's own.
        resolution: Side of the square input, in pixels.
        pixels: uint8 (N, resolution, resolution, 3), some hundred training images prepared as for evaluation.

    Returns:
        A float32 Model with the supernet's task and preprocessing.

    Raises:
        ModelError: If the Model is int8, the width is not above 0 or below the smallest that was trained, or neither
            statistics nor pixels are there.
        ArchitectureError: If the network cannot have that width or resolution.

    Source: Yu and Huang 2019, arXiv:1903.05134 (the statistics are measured after training, for each width).

    >>> from mobilenets import Classification, mobilenet_v1
    >>> network = mobilenet_v1(width_multiplier=0.5, resolution=64, classes=2)
    >>> parameters = {name: np.ones(shape, np.float32) for name, shape in network.parameter_shapes().items()}
    >>> supernet = Model(network, parameters, Classification(("cat", "dog")))
    >>> images = np.random.default_rng(0).integers(0, 256, (16, 32, 32, 3), np.uint8)
    >>> extract_subnet(supernet, 0.25, 32, pixels=images).network.summary
    'mobilenet_v1, width 0.25, 32×32'
    """
    check_number("width_multiplier", width_multiplier, ModelError, above=0)
    narrowest = min((width for width, _ in supernet.subnets), default=None)
    if narrowest is not None and width_multiplier < narrowest:
        raise ModelError(
            f"the smallest width that this Model was trained for is {narrowest:g}; {width_multiplier:g} is below it"
        )
    subnet = cut_subnet(supernet, width_multiplier=width_multiplier, resolution=resolution)
    whole = f"{supernet.network.width_multiplier:g}-{supernet.network.height}"
    before = Provenance.of(supernet)
    provenance = replace(before, conversion=replace(before.conversion, subnet_of=whole))
    subnet = replace(subnet, provenance=provenance.encode())
    if pixels is not None:
        return recalibrated(subnet, pixels)
    statistics = supernet.subnets.get((width_multiplier, resolution))
    if statistics is not None:
        return with_statistics(subnet, statistics)
    raise ModelError(
        f"there are no batch-norm statistics for width {width_multiplier:g} at {resolution} pixels; pass some hundred "
        f"training images as pixels, or take one that this Model has them for ({_listed(supernet.subnets)})"
    )


def _listed(subnets: Mapping[tuple[float, int], Tensor]) -> str:
    names = (f"{width:g}-{side}" for width, side in sorted(subnets))
    return ", ".join(names) or "for none: it was not trained as a supernet"


def cut_subnet(supernet: Model, *, width_multiplier: float | None = None, resolution: int | None = None) -> Model:
    """Cut a Model of a smaller width, a different resolution or both out of the first channels of a supernet.

    Its batch-norm statistics are the first ones of the supernet, which are not its own: :func:`extract_subnet` gives a
    Model that can be used.

    Args:
        supernet: A float32 Model.
        width_multiplier: α, at most the supernet's own; its own if None.
        resolution: Side of the square input in pixels; the supernet's own size if None.

    Raises:
        ModelError: If the Model is int8.
        ArchitectureError: If the network cannot have that width or resolution.
    """
    if supernet.quantization is not None:
        raise ModelError("an int8 Model has no subnets: its scales hold for its own width only; use the float32 one")
    network = supernet.network
    if resolution is not None:
        network = with_resolution(network, resolution, resolution)
    if width_multiplier is not None:
        network = with_width(network, width_multiplier)
    parameters = {
        name: np.ascontiguousarray(supernet.parameters[name][tuple(slice(size) for size in shape)])
        for name, shape in network.parameter_shapes().items()
    }
    return replace(supernet, network=network, parameters=parameters, subnets={})


def statistics_of(model: Model) -> Tensor:
    """A Model's batch-norm statistics as :attr:`Model.subnets <mobilenets.model.model.Model.subnets>` has them.

    Returns:
        float32 (2, channels): running means, then variances, of all layers with batch norm in order.
    """
    kinds = zip(*(layer.batch_norm_names[2:] for layer in normalized_layers(model.network)), strict=True)
    return np.stack([np.concatenate([model.parameters[name] for name in names]) for names in kinds])


def with_statistics(model: Model, statistics: Tensor) -> Model:
    """A Model with other batch-norm statistics, as :func:`statistics_of` gives them."""
    parameters = dict(model.parameters)
    begin = 0
    for layer in normalized_layers(model.network):
        names = layer.batch_norm_names[2:]
        end = begin + len(parameters[names[0]])
        for name, values in zip(names, statistics, strict=True):
            parameters[name] = np.ascontiguousarray(values[begin:end])
        begin = end
    return model.with_parameters(parameters)
