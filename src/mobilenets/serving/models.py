"""The Models that a server has, by name and version, and how they follow their files."""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from os import PathLike, fspath
from pathlib import Path

from mobilenets.base.progress import SILENT, Progress
from mobilenets.base.text import plural
from mobilenets.engine.predictor import Predictor
from mobilenets.errors import MobileNetsError, ServingError
from mobilenets.formats.loading import is_remote, load_model
from mobilenets.model.file import SUFFIX, load_content
from mobilenets.serving.refusals import Reason, Refusal
from mobilenets.training.run_folder import MODEL_FILE, REPORT_FILE

log = logging.getLogger("mobilenets.serving")

FIRST_VERSION = "1"
"""Version of a Model whose folder gives none."""

_NOT_OF_NAMES = re.compile(r"[^\w.-]+")
_NAMED = re.compile(r"(?P<name>[\w.-]+)(?::(?P<version>\d{1,9}))?=(?P<path>.+)", re.DOTALL)
_VERSION = re.compile(r"\d{1,9}")


@dataclass(frozen=True)
class ModelSource:
    """Where a Model comes from.

    Attributes:
        name: By which it is asked for.
        version: Likewise; a whole number as text.
        path: A Model file, or whatever else :func:`~mobilenets.formats.loading.load_model` reads.
    """

    name: str
    version: str
    path: str


@dataclass(frozen=True, eq=False)
class ServedModel:
    """A Model that is ready to run.

    Attributes:
        source: Where it comes from.
        predictor: Runs it, on one thread for each call.
        stamp: What changes when its file does.
        report: Its evaluation report, or None.
    """

    source: ModelSource
    predictor: Predictor
    stamp: tuple[int, ...]
    report: Path | None

    @property
    def name(self) -> str:
        """By which it is asked for."""
        return self.source.name

    @property
    def version(self) -> str:
        """Likewise."""
        return self.source.version


def find_sources(given: Sequence[str | PathLike[str]]) -> list[ModelSource]:
    """Where the Models are that some words name.

    Args:
        given: Each a Model file; a folder that ``fit`` wrote; a folder of Model files, of such folders, or of folders
            with one for each version (``pets/1``, ``pets/2``); published weights by their short name; or any of these
            as ``NAME=PATH`` or ``NAME:VERSION=PATH``.

    Raises:
        ServingError: If a folder holds none, or two have the same name and version.
    """
    found: dict[tuple[str, str], ModelSource] = {}
    for word in (fspath(one) for one in given):
        for source in _sources_of(word):
            other = found.get((source.name, source.version))
            if other is not None:
                raise ServingError(
                    f"{other.path} and {source.path} would both be served as {source.name}, version {source.version}; "
                    f"name one of them: OTHER={source.path}"
                )
            found[source.name, source.version] = source
    return list(found.values())


def _sources_of(word: str) -> list[ModelSource]:
    named = None if Path(word).exists() else _NAMED.fullmatch(word)
    if named is not None:
        path = Path(named["path"])
        inner = _within(path, named["name"]) if path.is_dir() and named["version"] is None else []
        return inner or [ModelSource(named["name"], named["version"] or FIRST_VERSION, named["path"])]
    path = Path(word)
    if path.is_dir():
        found = _within(path, _name_of(path)) or _collection(path)
        return found or [ModelSource(_name_of(path), FIRST_VERSION, word)]
    if not path.exists() and is_remote(word):
        return [ModelSource(_slug(word.rpartition("/")[2]), FIRST_VERSION, word)]
    return [ModelSource(_name_of(path), FIRST_VERSION, word)]


def _within(folder: Path, name: str) -> list[ModelSource]:
    """A folder that is one Model: with its file in it, or with a folder for each version."""
    if (folder / MODEL_FILE).is_file():
        return [ModelSource(name, FIRST_VERSION, str(folder / MODEL_FILE))]
    versions = [one for one in _folders(folder) if _VERSION.fullmatch(one.name) and (one / MODEL_FILE).is_file()]
    return [ModelSource(name, str(int(one.name)), str(one / MODEL_FILE)) for one in versions]


def _collection(folder: Path) -> list[ModelSource]:
    """A folder of Models."""
    files = sorted(folder.glob(f"*{SUFFIX}"))
    inner = [source for one in _folders(folder) for source in _within(one, _name_of(one))]
    return [ModelSource(_name_of(file), FIRST_VERSION, str(file)) for file in files] + inner


def _folders(folder: Path) -> list[Path]:
    return sorted(one for one in folder.iterdir() if one.is_dir() and not one.name.startswith("."))


def _name_of(path: Path) -> str:
    """``pets/model.safetensors`` and ``pets`` → pets; ``pets.safetensors`` → pets."""
    absolute = path.absolute()
    if absolute.name == MODEL_FILE:
        absolute = absolute.parent
    return _slug(absolute.stem if absolute.suffix and not absolute.is_dir() else absolute.name)


def _slug(text: str) -> str:
    """A name that can stand in an address."""
    return _NOT_OF_NAMES.sub("-", text).strip("-.") or "model"


def load_source(source: ModelSource, *, progress: Progress = SILENT) -> ServedModel:
    """Load a Model and run it once.

    A Model file is read into memory as a whole: it may be overwritten while it is served.

    Raises:
        MobileNetsError: If it cannot be read or run.
    """
    path = Path(source.path)
    before = stamp_of(source)
    if path.is_file() and path.suffix == SUFFIX:
        model = load_content(_read(path), str(path))
    else:
        model = load_model(source.path, progress=progress)
    predictor = Predictor(model, threads=1)
    _warm(predictor)
    report = path.parent / REPORT_FILE
    return ServedModel(source, predictor, before, report if report.is_file() else None)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ServingError(f"{path} cannot be read: {error.strerror or error}") from None


def _warm(predictor: Predictor) -> None:
    import numpy as np

    network = predictor.model.network
    predictor.session.run(np.zeros((1, network.height, network.width, network.channels), np.uint8))


def stamp_of(source: ModelSource) -> tuple[int, ...]:
    """What changes when a Model's file does; empty where there is no file."""
    try:
        status = Path(source.path).stat()
    except (OSError, ValueError):
        return ()
    return status.st_ino, status.st_size, status.st_mtime_ns


class Models:
    """The Models that are served. Looking one up is safe from any thread, and sees a change at once and whole.

    Args:
        sources: Where they come from, the one that is asked for without a name first.
        progress: Receives the progress of downloads.

    Raises:
        ServingError: If there are none.
        MobileNetsError: If one cannot be read or run.
    """

    def __init__(self, sources: Sequence[ModelSource], *, progress: Progress = SILENT) -> None:
        if not sources:
            raise ServingError("there is no Model to serve")
        self._lock = threading.Lock()
        self._models = {(one.name, one.version): load_source(one, progress=progress) for one in sources}
        self._seen = {key: model.stamp for key, model in self._models.items()}
        self._default = sources[0].name

    def all(self) -> list[ServedModel]:
        """Every Model, in the order in which they were given, versions of one name together."""
        return list(self._models.values())

    def versions(self, name: str) -> list[str]:
        """Versions of a name, lowest first.

        Raises:
            Refusal: If there is no such name.
        """
        found = sorted((version for one, version in self._models if one == name), key=int)
        if not found:
            raise Refusal(Reason.MODEL_NOT_FOUND, f"no Model is called {name!r:.80}; {self._known()}")
        return found

    def get(self, name: str | None = None, version: str | None = None) -> ServedModel:
        """One Model.

        Args:
            name: By default the first one's.
            version: By default the highest.

        Raises:
            Refusal: If there is no such Model.
        """
        name = name or self._default
        versions = self.versions(name)
        if version and version not in versions:
            raise Refusal(
                Reason.MODEL_NOT_FOUND,
                f"{name} has no version {version!r:.40}; there {'is' if len(versions) == 1 else 'are'} "
                f"{', '.join(versions)}",
            )
        return self._models[name, version or versions[-1]]

    def _known(self) -> str:
        names = list(dict.fromkeys(name for name, _ in self._models))
        more = f" and {plural(len(names) - 20, 'other')}" if len(names) > 20 else ""
        return f"served {'is' if len(names) == 1 else 'are'} {', '.join(names[:20])}{more}"

    def refresh(self, loaded: Callable[[ModelSource, bool], None] = lambda _source, _right: None) -> list[ServedModel]:
        """Load anew what has changed, beside the old, and put it in its place once it runs.

        A file is loaded when it has looked the same twice in a row, so that one that is being written is left alone.
        One that is gone, or that cannot be loaded, changes nothing: the Model that was loaded before goes on.

        Args:
            loaded: Told of each attempt, and whether it succeeded.

        Returns:
            The Models that are new.
        """
        with self._lock:
            return [model for key in list(self._models) if (model := self._refreshed(key, loaded)) is not None]

    def _refreshed(self, key: tuple[str, str], loaded: Callable[[ModelSource, bool], None]) -> ServedModel | None:
        old = self._models[key]
        stamp = stamp_of(old.source)
        steady, self._seen[key] = stamp == self._seen[key], stamp
        if not stamp or not steady or stamp == old.stamp:
            return None
        try:
            new = load_source(old.source)
        except MobileNetsError as error:
            log.error("%s goes on as it was: %s", key[0], error)
            self._models[key] = ServedModel(old.source, old.predictor, stamp, old.report)
            loaded(old.source, False)
            return None
        self._models[key] = new
        loaded(old.source, True)
        log.info("%s, version %s, is loaded anew", *key)
        return new
