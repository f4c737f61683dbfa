"""Published weights that are known by a short name: what they are, where they lie, and which are in the cache."""

from __future__ import annotations

import math
import re
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

from mobilenets.architecture.catalog import Specification
from mobilenets.architecture.cost import cost
from mobilenets.architecture.imagenet_results import WEIGHTS, PublishedWeights
from mobilenets.base.arguments import typed
from mobilenets.base.cache import cache_folder
from mobilenets.base.progress import SILENT, Progress
from mobilenets.errors import FormatError
from mobilenets.formats.download import HUB_FILES, download_path, fetch, fetch_from_hub
from mobilenets.formats.published import published_source, short_name_in_full
from mobilenets.model.model import parameter_types

LICENCES = {"keras": "Apache-2.0", "timm": "Apache-2.0", "torchvision": "BSD-3-Clause", "coral": "Apache-2.0"}
"""Of the weights of each publisher, as the publisher states it."""
HUB_WEIGHTS = HUB_FILES[1:]
_HASH = re.compile(r"-([0-9a-f]{8,64})\.pth")
"""torchvision's file names end in the first digits of the SHA-256."""


@dataclass(frozen=True)
class KnownWeights:
    """Weights that have a short name.

    Attributes:
        name: The short name, with the tag or version of the weights.
        family: The architecture's name in the catalog.
        width_multiplier: α.
        resolution: Side of the square input at which they were tested, in pixels.
        parameters: Trained parameters, with the 1,000 classes of ImageNet.
        bytes: About the size of the file: four for each parameter and each statistic of batch norms.
        top1: On ImageNet's validation images, as printed, in percent.
        int8_top1: Of the publisher's own 8-bit network, where one is printed.
        licence: As the publisher states it.
        source: An ``https:`` address, or ``hub:owner/name``.
        sha256: The SHA-256 or its first digits, where the publisher gives them.
        printed: Where the accuracy was printed.
    """

    name: str
    family: str
    width_multiplier: float
    resolution: int
    parameters: int
    bytes: int
    top1: float
    int8_top1: float | None
    licence: str
    source: str
    sha256: str | None
    printed: str

    @property
    def specification(self) -> Specification:
        """The network."""
        return Specification(self.family, self.width_multiplier, self.resolution)

    @property
    def short_name(self) -> str:
        """The name without what every tag ends in; it is taken like the whole.

        >>> known_weights("timm:mobilenetv4_conv_small")[0].short_name
        'timm:mobilenetv4_conv_small.e2400_r224'
        """
        return self.name.removesuffix("_in1k").removesuffix("_ft")

    @property
    def cached(self) -> bool:
        """Whether they are in the cache."""
        return cached_source(self.source) is not None

    def to_json(self) -> dict[str, Any]:
        """JSON-ready values."""
        return {**asdict(self), "cached": self.cached}


def known_weights(*names: str) -> list[KnownWeights]:
    """Published weights, one entry for each resolution at which their accuracy is printed.

    Args:
        names: Short names; all weights if there are none.

    Raises:
        FormatError: If a name is not published; the message has the nearest.
    """
    full = [short_name_in_full(name) for name in names]
    known = _all_weights()
    found = [one for name in full for one in known if one.name == name] if names else list(known)
    for name, asked in zip(full, names, strict=True):
        if all(one.name != name for one in known):
            raise FormatError(f"{asked} is published, and nobody printed how well it answers on ImageNet")
    return found


def sha256_of(source: str) -> str | None:
    """The first digits of the SHA-256 of what lies at an address, where the publisher gives them.

    >>> sha256_of("https://download.pytorch.org/models/mobilenet_v2-b0353104.pth")
    'b0353104'
    """
    digits = _HASH.search(source)
    return digits[1] if digits else None


@cache
def _all_weights() -> tuple[KnownWeights, ...]:
    return tuple(_known(one) for one in WEIGHTS)


def _known(one: PublishedWeights) -> KnownWeights:
    named = Specification.parse(one.network)
    network = named.network()
    source = published_source(one.short_name)
    return KnownWeights(
        name=one.short_name,
        family=named.name,
        width_multiplier=network.width_multiplier,
        resolution=network.height,
        parameters=cost(network).parameters,
        bytes=sum(4 * math.prod(shape) for _, shape in parameter_types(network).values()),
        top1=one.top1,
        int8_top1=one.int8_top1,
        licence=LICENCES[one.short_name.partition(":")[0]],
        source=source,
        sha256=sha256_of(source),
        printed=one.source,
    )


# The cache ------------------------------------------------------------------------------------------------------------


def cached_source(source: str) -> Path | None:
    """The local copy of an address or of a repository of the hub, if there is one; nothing is asked of the network."""
    if not source.startswith("hub:"):
        path = download_path(source)
        return path if path.is_file() else None
    repository = source.removeprefix("hub:")
    folder = hub_folder(repository)
    if any((folder / name).is_file() for name in HUB_WEIGHTS):
        return folder
    try:
        from huggingface_hub import try_to_load_from_cache
    except ImportError:
        return None
    for name in HUB_WEIGHTS:
        found = try_to_load_from_cache(repository, name)
        if isinstance(found, str):
            return Path(found).parent
    return None


def hub_folder(repository: str) -> Path:
    """Where files of the hub are kept that came from another machine."""
    return cache_folder("hub", *repository.split("/"))


@typed(FormatError)
def fetch_weights(name: str, *, progress: Progress = SILENT) -> Path:
    """The local file or folder of published weights, fetched unless the cache has it.

    Args:
        name: A short name.
        progress: Receives progress updates.

    Raises:
        FormatError: If the name is not published, or the weights are neither in the cache nor to be fetched; the
            message says how they can come from another machine.
        MissingDependencyError: If they lie on the hub and huggingface-hub is not installed.
    """
    source = published_source(short_name_in_full(name))
    present = cached_source(source)
    if present is not None and source.startswith("hub:"):
        return present
    try:
        if source.startswith("hub:"):
            return fetch_from_hub(source.removeprefix("hub:"))
        return fetch(source, sha256=sha256_of(source), progress=progress)
    except FormatError as error:
        if present is not None:
            raise
        raise FormatError(
            f"{name} is not in the cache, and {error}. From another machine: mobilenets models fetch {name} --from FILE"
        ) from None
