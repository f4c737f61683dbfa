"""Published weights that come from another machine as files: which they are, and into the cache with them."""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Iterable
from pathlib import Path

from mobilenets.base.arguments import typed
from mobilenets.errors import FormatError, MobileNetsError
from mobilenets.formats.download import HUB_FILES, put_download
from mobilenets.formats.known_weights import (
    HUB_WEIGHTS,
    KnownWeights,
    cached_source,
    hub_folder,
    known_weights,
    sha256_of,
)
from mobilenets.formats.published import CLASSES, published_source, short_name_in_full
from mobilenets.model.model import Model
from mobilenets.model.provenance import Provenance

WITHOUT_TOP = "-notop"
"""Ends the names of Keras's networks without a classifier."""
_READERS = {"keras": "keras", "timm": "timm", "torchvision": "pytorch", "coral": "tflite"}
"""Publisher → the format that its files are read as."""


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
        FormatError: If the name is not published, or the path holds other weights, as far as that can be told: another
            network, another publisher's file, or one that is in the cache, or called, by another name.
    """
    full = short_name_in_full(name)
    source = published_source(full)
    found = _place(source, Path(path))
    if found is None:
        raise FormatError(f"{path} holds no {_file_name(source)}, which {name} is; give its file itself")
    _check_weights(name, source, found)
    if not source.startswith("hub:"):
        return put_download(source, found, sha256=sha256_of(source))
    folder = hub_folder(source.removeprefix("hub:"))
    folder.mkdir(parents=True, exist_ok=True)
    files = [found / one for one in HUB_FILES if (found / one).is_file()] if found.is_dir() else [found]
    for file in files:
        kept = file.name if file.name in HUB_FILES else HUB_WEIGHTS[file.suffix != ".safetensors"]
        shutil.copyfile(file, folder / f".{kept}")
        (folder / f".{kept}").replace(folder / kept)
    return folder


def _check_weights(name: str, source: str, found: Path) -> None:
    """Raise if a file or folder holds other weights than those of a name, as far as that can be told."""
    from mobilenets.formats.importing import import_model

    try:
        model = import_model(found)
    except MobileNetsError as error:
        raise FormatError(f"{found} cannot be {name}: {error}") from None
    full = short_name_in_full(name)
    if found.is_file():
        _check_bytes(name, full, found)
    _check_publisher(name, source, found, model)
    without_top = full.endswith(WITHOUT_TOP)
    if without_top != model.network.gives_features:
        has = "no classifier" if model.network.gives_features else "a classifier"
        raise FormatError(f"{found} is a network with {has}; {name} is one with{'out' if without_top else ''}")
    listed = [one for one in known_weights() if one.name == full.removesuffix(WITHOUT_TOP)]
    if listed:  # else nobody printed how well they answer, and the table has no network of them
        _check_network(name, listed[0], found, model)
    if found.is_file() and (other := _by_file_name(found, model)) not in (None, full.removesuffix(WITHOUT_TOP)):
        raise FormatError(f"{found} is {other} by its file's name, and not {name}; rename it if its name is wrong")


def _check_bytes(name: str, full: str, file: Path) -> None:
    """Raise if a file holds other weights of the publishers, and say which."""
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    for other in _unique(known_weights()):
        if other.name == full:
            continue
        published = other.sha256 is not None and digest.startswith(other.sha256)
        if published or (other.cached and digest == _cached_digest(other)):
            known = "its SHA-256 is" if published else f"the cache has it, as {cached_source(other.source)}, of SHA-256"
            raise FormatError(f"{file} is {other.name}, not {full}: {known} {digest[:16]}…")


def _cached_digest(one: KnownWeights) -> str | None:
    """SHA-256 of the file that the cache has; None for a folder of the hub."""
    path = cached_source(one.source)
    return hashlib.sha256(path.read_bytes()).hexdigest() if path is not None and path.is_file() else None


def _check_publisher(name: str, source: str, found: Path, model: Model) -> None:
    """Raise if a file is not of the format in which the publisher of a name has it."""
    imported = Provenance.of(model).imported
    read_as = None if imported is None else imported.format
    if read_as != _READERS[name.partition(":")[0]]:
        what = "was written by this package" if read_as is None else f"is read as {read_as}"
        raise FormatError(f"{found} {what}; {name} is published as {_file_name(source)}")


def _check_network(name: str, known: KnownWeights, found: Path, model: Model) -> None:
    """Raise if a file holds another network than that of a name."""
    network = model.network
    if (network.name, network.width_multiplier) != (known.family, known.width_multiplier):
        raise FormatError(
            f"{found} is a {network.name} of width {network.width_multiplier:g}; {name} is a {known.family} of width "
            f"{known.width_multiplier:g}"
        )
    if not network.gives_features and len(model.labels) not in (CLASSES, CLASSES + 1):
        raise FormatError(f"{found} tells {len(model.labels)} classes apart; {name} has the {CLASSES} of ImageNet")
    if _READERS["coral"] == _READERS[name.partition(":")[0]] and network.height != known.resolution:
        raise FormatError(f"{found} is for {network.height} pixels; {name} is for {known.resolution}")


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
        places = ((one.name, _place(one.source, root)) for one in _unique(known_weights()))
        found = {name: path for name, path in places if path is not None and path != root}
    for file in sorted(root.iterdir()) if root.is_dir() else [root]:
        known = _recognized(file) if file.suffix in _SUFFIXES and file not in found.values() else None
        if known is not None:
            found.setdefault(known, file)
    return found


_SUFFIXES = {".h5", ".pth", ".tflite"}
"""Of publishers' files that are known by what they hold."""


def _recognized(file: Path) -> str | None:
    """The published weights that a file under another name holds, if it tells which."""
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    for one in _unique(known_weights()):
        if one.sha256 is not None and digest.startswith(one.sha256):
            return one.name
    from mobilenets.formats.importing import import_model

    try:
        model = import_model(file)
    except MobileNetsError:
        return None
    return _by_file_name(file, model) if len(model.labels) in (CLASSES, CLASSES + 1) else None


def _by_file_name(file: Path, model: Model) -> str | None:
    """The published weights of a network whose file is called so, or whose resolution its name says."""
    network, numbers = model.network, re.findall(r"\d+", file.stem)
    fitting = [
        one.name
        for one in _unique(known_weights())
        if one.sha256 is None
        and Path(_file_name(one.source)).suffix == file.suffix
        and (one.family, one.width_multiplier) == (network.name, network.width_multiplier)
        and str(one.resolution) in numbers
    ]
    return fitting[0] if len(fitting) == 1 else None


def _place(source: str, path: Path) -> Path | None:
    """The file or folder of weights that a path is, or holds under the publisher's name."""
    if not path.is_dir():
        return path
    name = _file_name(source)
    for one in (*(path / near for near in (name, f"{name}.safetensors", name.removesuffix("_in1k"))), path):
        if one.is_file() or any((one / weights).is_file() for weights in HUB_WEIGHTS):
            return one
    return None


def _file_name(source: str) -> str:
    """What the publisher calls the file, or the repository."""
    return source.rpartition("/")[2]


def _unique(known: Iterable[KnownWeights]) -> list[KnownWeights]:
    """One entry for each name."""
    return list({one.name: one for one in known}.values())
