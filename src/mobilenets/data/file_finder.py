"""The image that a table means by a name: written on another machine, without its suffix, or as an address."""

from __future__ import annotations

import os
import re
import unicodedata
from collections import defaultdict
from pathlib import Path, PurePosixPath
from urllib.parse import parse_qs, unquote, urlsplit

from mobilenets.data.findings import listed
from mobilenets.data.reading import told
from mobilenets.data.sources import images_under
from mobilenets.errors import DataError

_UPLOAD_PREFIX = re.compile(r"[0-9a-f]{8}-(?=.)")
"""What Label Studio puts before the name of a file that was uploaded to it."""


class FileFinder:
    """Finds the files that a table names.

    A name is taken as it is where a file is there. Otherwise the images below the folder are listed once, and the one
    is taken whose path ends as the name does: with slashes for backslashes, whatever its suffix if the name has none,
    and whatever folders the name begins with.

    Args:
        folders: What names are relative to; the first that holds a file is taken.
    """

    def __init__(self, *folders: Path) -> None:
        self._folders = folders
        self._by_name: dict[Path, dict[str, list[Path]]] = {}
        self.searched: list[tuple[str, Path]] = []
        """Names that were not taken as they are, with the file that they were taken for."""

    def find(self, name: str) -> Path | None:
        """The file of a name; None if there is none.

        Raises:
            DataError: If several files are meant equally well.
        """
        for folder in self._folders:
            if os.path.isfile(folder / name):
                return folder / name
        parts = _path_of(name).parts
        for folder in self._folders if parts else ():
            candidates = self._candidates(folder, parts[-1])
            if len(candidates) > 1:
                candidates = _longest_tail(candidates, parts)
            if len(candidates) > 1:
                raise DataError(
                    f"{name} may be any of {listed(candidates)}; name the folder too, or say {told(images_in='FOLDER')}"
                )
            if candidates:
                self.searched.append((name, candidates[0]))
                return candidates[0]
        return None

    def _candidates(self, folder: Path, last: str) -> list[Path]:
        """Images below a folder that are called like the last part of a name."""
        if folder not in self._by_name:
            by_name = self._by_name[folder] = defaultdict(list)
            for image in images_under(folder):
                path = Path(image.path)
                for key in {_key(path.name), _key(path.stem)}:
                    by_name[key].append(path)
        uploaded = _UPLOAD_PREFIX.sub("", last, count=1)
        for key in dict.fromkeys((_key(last), _key(uploaded))):
            if self._by_name[folder].get(key):
                return self._by_name[folder][key]
        return []


def _key(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def _path_of(name: str) -> PurePosixPath:
    """The path in a name: of an address without its host, or of Label Studio's ``?d=``."""
    text = name
    if "://" in name or name.startswith("/data/"):
        address = urlsplit(name)
        inner = parse_qs(address.query).get("d")
        text = inner[0] if inner else unquote(address.path)
    text = re.sub(r"^[A-Za-z]:", "", text.replace("\\", "/"))
    return PurePosixPath(*[part for part in text.split("/") if part not in ("", ".", "..")])


def _longest_tail(candidates: list[Path], parts: tuple[str, ...]) -> list[Path]:
    """The candidates that share most of the last folders with a path."""

    def shared(path: Path) -> int:
        count = 0
        for own, wanted in zip(reversed(path.parts[:-1]), reversed(parts[:-1]), strict=False):
            if _key(own) != _key(wanted):
                break
            count += 1
        return count

    most = max(map(shared, candidates))
    return [path for path in candidates if shared(path) == most]
