"""Published weights that are known by a short name: what they are, where they lie, and which are in the cache."""

from __future__ import annotations

import hashlib
import math
import re
import shutil
from collections.abc import Iterable
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
from mobilenets.errors import FormatError, MobileNetsError
from mobilenets.formats.download import HUB_FILES, download_path, fetch, fetch_from_hub, put_download
from mobilenets.formats.published import CLASSES, published_source, short_name_in_full
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


@cache
def _all_weights() -> tuple[KnownWeights, ...]:
    return tuple(_known(one) for one in WEIGHTS)


def _known(one: PublishedWeights) -> KnownWeights:
    named = Specification.parse(one.network)
    network = named.network()
    source = published_source(one.short_name)
    digits = _HASH.search(source)
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
        sha256=digits[1] if digits else None,
        printed=one.source,
    )


# The cache ------------------------------------------------------------------------------------------------------------


def cached_source(source: str) -> Path | None:
    """The local copy of an address or of a repository of the hub, if there is one; nothing is asked of the network."""
    if not source.startswith("hub:"):
        path = download_path(source)
        return path if path.is_file() else None
    repository = source.removeprefix("hub:")
    folder = _hub_folder(repository)
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


def _hub_folder(repository: str) -> Path:
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
    digits = _HASH.search(source)
    try:
        if source.startswith("hub:"):
            return fetch_from_hub(source.removeprefix("hub:"))
        return fetch(source, sha256=digits[1] if digits else None, progress=progress)
    except FormatError as error:
        if present is not None:
            raise
        raise FormatError(
            f"{name} is not in the cache, and {error}. From another machine: mobilenets models fetch {name} --from FILE"
        ) from None


@typed(FormatError)
def put_weights(name: str, path: str | Path) -> Path:
    """Put published weights into the cache that were fetched on another machine.

    Args:
        name: Their short name.
        path: The publisher's file under any name; or, for weights of the hub, a folder with ``model.safetensors`` and
            ``config.json``; or a folder that holds that file or folder under the publisher's name.

    Returns:
        Their place in the cache.

    Raises:
        FormatError: If the name is not published, or the path holds no weights of that network.
    """
    from mobilenets.formats.importing import import_model

    (known, *_) = known_weights(name)
    found = _place(known, Path(path))
    if found is None:
        raise FormatError(f"{path} holds no {_file_name(known)}, which {name} is; give its file itself")
    try:
        network = import_model(found).network
    except MobileNetsError as error:
        raise FormatError(f"{found} cannot be {name}: {error}") from None
    if (network.name, network.width_multiplier) != (known.family, known.width_multiplier):
        raise FormatError(
            f"{found} is a {network.name} of width {network.width_multiplier:g}; {name} is a {known.family} of width "
            f"{known.width_multiplier:g}"
        )
    if not known.source.startswith("hub:"):
        _check_version(known, found)
        return put_download(known.source, found, sha256=known.sha256)
    folder = _hub_folder(known.source.removeprefix("hub:"))
    folder.mkdir(parents=True, exist_ok=True)
    files = [found / one for one in HUB_FILES if (found / one).is_file()] if found.is_dir() else [found]
    for file in files:
        kept = file.name if file.name in HUB_FILES else HUB_WEIGHTS[file.suffix != ".safetensors"]
        shutil.copyfile(file, folder / f".{kept}")
        (folder / f".{kept}").replace(folder / kept)
    return folder


def _check_version(known: KnownWeights, file: Path) -> None:
    """Raise if a file holds other weights of the publisher for the same network, and say which."""
    if known.sha256 is None or not file.is_file():
        return
    found = hashlib.sha256(file.read_bytes()).hexdigest()
    for other in known_weights():
        if other.sha256 and other.name != known.name and found.startswith(other.sha256):
            raise FormatError(f"{file} is {other.name}, not {known.name}: its SHA-256 is {found[:16]}…")


def weights_in(place: str | Path) -> dict[str, Path]:
    """Which published weights a folder holds, or a file is.

    Files and repositories are known by their publishers' names. Under another name they are known by their SHA-256,
    where it is published; else by the network that they hold, and the resolution that their name says.

    Args:
        place: A folder, or one file.

    Returns:
        Short name → file, or folder of a repository.

    Raises:
        FormatError: If there is no such file or folder.
    """
    root = Path(place)
    if not root.exists():
        raise FormatError(f"{root} does not exist")
    found: dict[str, Path] = {}
    if root.is_dir():
        places = ((one.name, _place(one, root)) for one in _unique(known_weights()))
        found = {name: path for name, path in places if path is not None and path != root}
    for file in sorted(root.iterdir()) if root.is_dir() else [root]:
        known = _recognized(file) if file.suffix in _SUFFIXES and file not in found.values() else None
        if known is not None:
            found.setdefault(known.name, file)
    return found


_SUFFIXES = {".h5", ".pth", ".tflite"}
"""Of publishers' files that are known by what they hold."""


def _recognized(file: Path) -> KnownWeights | None:
    """The published weights that a file under another name holds, if it tells which."""
    known = _unique(known_weights())
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    for one in known:
        if one.sha256 is not None and digest.startswith(one.sha256):
            return one
    from mobilenets.formats.importing import import_model

    try:
        model = import_model(file)
    except MobileNetsError:
        return None
    network, numbers = model.network, re.findall(r"\d+", file.stem)
    fitting = [
        one
        for one in known
        if one.sha256 is None
        and Path(_file_name(one)).suffix == file.suffix
        and (one.family, one.width_multiplier) == (network.name, network.width_multiplier)
        and len(model.labels) in (CLASSES, CLASSES + 1)
        and str(one.resolution) in numbers
    ]
    return fitting[0] if len(fitting) == 1 else None


def _place(known: KnownWeights, path: Path) -> Path | None:
    """The file or folder of weights that a path is, or holds under the publisher's name."""
    if not path.is_dir():
        return path
    names = (_file_name(known), f"{_file_name(known)}.safetensors", _file_name(known).removesuffix("_in1k"))
    for one in (*(path / name for name in names), path):
        if one.is_file() or any((one / name).is_file() for name in HUB_WEIGHTS):
            return one
    return None


def _file_name(known: KnownWeights) -> str:
    """What the publisher calls the file, or the repository."""
    return known.source.rpartition("/")[2]


def _unique(known: Iterable[KnownWeights]) -> list[KnownWeights]:
    """One entry for each name."""
    return list({one.name: one for one in known}.values())
