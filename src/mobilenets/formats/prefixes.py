"""What wrappers of modules put before the names of a network's tensors."""

from __future__ import annotations

import re
from collections.abc import Mapping

from mobilenets.errors import FormatError
from mobilenets.model.model import Tensor

_FIRST = re.compile(
    r"(?P<prefix>(?:[A-Za-z_]\w*\.)*?)"
    r"(?:conv_stem|(?:model|features)\.0\.0)\.weight"
)
"""The first layer of a network, and what stands before it."""
_WRAPPERS = ("module.", "_orig_mod.")
"""What PyTorch's own wrappers put before names: DataParallel and torch.compile."""


def without_prefix(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors of a state_dict without what stands before the network's own names.

    PyTorch's wrappers add ``module.`` and ``_orig_mod.``, Lightning the name of an attribute (``model.``, ``net.``),
    and they come within each other. The network's first layer shows how much of it there is. Numbers beside the
    network (the weights of a loss, a metric's state) are left out.

    Raises:
        FormatError: If there are two networks, or layers beside the network.

    >>> import numpy as np
    >>> list(without_prefix({"net._orig_mod.conv_stem.weight": np.ones(1), "loss.weight": np.ones(1)}))
    ['conv_stem.weight']
    """
    prefixes = {found["prefix"] for name in tensors if (found := _FIRST.fullmatch(name))}
    averaged = {prefix for prefix in prefixes if "ema" in prefix.lower()}
    prefixes = averaged if averaged and len(prefixes) > 1 else prefixes
    if len(prefixes) > 1:
        raise FormatError(
            f"the file holds {len(prefixes)} networks, under {', '.join(map(repr, sorted(prefixes)))}; save the "
            "state_dict of one of them"
        )
    if not prefixes:
        return {_unwrapped(name): value for name, value in tensors.items()}
    prefix = prefixes.pop()
    for name, value in tensors.items():
        if not name.startswith(prefix) and value.ndim in (2, 4) and name.endswith(".weight") and "ema" not in prefix:
            raise FormatError(f"{name} belongs to a layer beside the network, whose own names begin with {prefix!r}")
    return {_unwrapped(name.removeprefix(prefix)): value for name, value in tensors.items() if name.startswith(prefix)}


def _unwrapped(name: str) -> str:
    """A name without the prefixes of PyTorch's wrappers."""
    while name.startswith(_WRAPPERS):
        name = name.partition(".")[2]
    return name
