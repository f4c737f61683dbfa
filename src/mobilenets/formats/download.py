"""Files from the network: fetched once, checked, kept in the cache.

An interrupted download is resumed. A file appears in the cache only when it is complete; a record of its size and
SHA-256 lies beside it, and the file is checked against that record each time it is used.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import socket
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from mobilenets.base.atomic_write import write_atomically
from mobilenets.base.cache import cache_folder, cache_key
from mobilenets.base.progress import SILENT, Progress
from mobilenets.errors import FormatError, MissingDependencyError
from mobilenets.formats.containers.binary import LARGEST_FILE

CHUNK = 1 << 18
KILOBYTE = 1000
"""What progress is counted in."""
TIMEOUT_SECONDS = 30
CONNECT_SECONDS = 10
ATTEMPTS = 3
"""How often a download is resumed within one call."""
OFFLINE_VARIABLE = "MOBILENETS_OFFLINE"
"""Environment variable that, set to 1, keeps everything but this machine from being asked."""
HUB_FILES = ("config.json", "model.safetensors", "pytorch_model.bin")


def fetch(address: str, *, sha256: str | None = None, size: int | None = None, progress: Progress = SILENT) -> Path:
    """The local copy of a file, downloaded if it is not in the cache.

    Args:
        address: ``https://…``; plain ``http`` is taken from this machine only.
        sha256: Expected hash, or its first digits, where it is known. Where not, that of the first download is recorded
            and expected later.
        size: Expected bytes, where they are known.
        progress: Receives progress updates.

    Raises:
        FormatError: If the address cannot be reached, or what came is not what was expected.
    """
    parts = urllib.parse.urlsplit(address)
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in ("localhost", "127.0.0.1", "::1")):
        raise FormatError(f"{address} is not an https address")
    path = download_path(address)
    folder, name = path.parent, path.name
    if parts.scheme == "https" and not path.exists():
        _check_online(address)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _locked(folder):
            if path.exists():
                return _checked_copy(path, sha256)
            _download(address, folder / f"{name}.part", size, progress)
            _accept(folder / f"{name}.part", path, address, sha256, size)
    except OSError as error:
        raise FormatError(f"{folder} cannot be written to: {error.strerror or error}") from None
    return path


def _check_online(address: str) -> None:
    if os.environ.get(OFFLINE_VARIABLE) == "1":
        raise FormatError(f"{address} is not fetched: {OFFLINE_VARIABLE} is 1")


def download_path(address: str) -> Path:
    """Where the cache keeps what lies at an address, whether it is there or not."""
    name = Path(urllib.parse.unquote(urllib.parse.urlsplit(address).path)).name or "download"
    return cache_folder("downloads", cache_key(address)) / name


def put_download(address: str, file: Path, *, sha256: str | None = None) -> Path:
    """Put a file that was fetched elsewhere into the cache, as if it had been downloaded here.

    Args:
        address: Where it was fetched from.
        file: The file; it is copied.
        sha256: Expected hash, or its first digits, where it is known.

    Returns:
        Its place in the cache.

    Raises:
        FormatError: If the file cannot be read, or is not the one that is expected.
    """
    path = download_path(address)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f"{path.name}.part")
        with _locked(path.parent):
            write_atomically(part, file.read_bytes())
            _accept(part, path, f"{file}, for {address},", sha256, None)
    except OSError as error:
        raise FormatError(f"{file} cannot be put into {path.parent}: {error.strerror or error}") from None
    return path


def _checked_copy(path: Path, sha256: str | None) -> Path:
    """A file of the cache, if it still is what was downloaded."""
    try:
        record = json.loads(_record(path).read_bytes())
        expected = str(record["sha256"])
    except (OSError, ValueError, KeyError, TypeError):
        raise FormatError(f"{path} has no record of its download; delete it to fetch it again") from None
    found = _sha256(path)
    if found != expected or not found.startswith(sha256 or ""):
        wanted = expected if found != expected else sha256
        raise FormatError(f"{path} has SHA-256 {found}; {wanted} was expected. Delete it to fetch it again")
    return path


def _accept(part: Path, path: Path, address: str, sha256: str | None, size: int | None) -> None:
    found, length = _sha256(part), part.stat().st_size
    _validator(part).unlink(missing_ok=True)
    if (sha256 is not None and not found.startswith(sha256)) or (size is not None and length != size):
        part.unlink()
        wanted = f"SHA-256 {sha256}" if sha256 is not None and not found.startswith(sha256) else f"{size} bytes"
        raise FormatError(f"{address} gave {length} bytes of SHA-256 {found}; {wanted} was expected")
    record = {"address": address, "size": length, "sha256": found}
    write_atomically(_record(path), json.dumps(record, indent=2).encode())
    os.replace(part, path)


def _record(path: Path) -> Path:
    return path.with_name(f"{path.name}.json")


def _validator(part: Path) -> Path:
    """Where the server's mark of the file's version is kept while a download is unfinished."""
    return part.with_name(f"{part.name}.etag")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """One download at a time into a folder; the lock falls when the process ends, however it ends."""
    with (folder / ".lock").open("a") as lock:
        _lock(lock)
        yield


if sys.platform == "win32":

    def _lock(file: IO[str]) -> None:
        """Wait until a file is ours alone."""
        import msvcrt

        while True:
            try:
                file.seek(0)
                msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
            except OSError:
                time.sleep(0.1)
            else:
                return

else:

    def _lock(file: IO[str]) -> None:
        """Wait until a file is ours alone."""
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX)


def _download(address: str, part: Path, size: int | None, progress: Progress) -> None:
    """Bring the unfinished file to its end."""
    for attempt in range(ATTEMPTS):
        try:
            _transfer(address, part, size, progress)
            return
        except urllib.error.HTTPError as error:
            if error.code == 416 and part.exists():  # the unfinished file is longer than what the server has
                part.unlink()
                continue
            raise FormatError(f"{address} answers {error.code} {error.reason}") from None
        except (urllib.error.URLError, TimeoutError, ConnectionError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", error)
            reason = getattr(reason, "strerror", None) or reason
            if attempt == ATTEMPTS - 1 or not part.exists():
                raise FormatError(f"{address} cannot be reached: {reason}") from None


def _transfer(address: str, part: Path, size: int | None, progress: Progress) -> None:
    have = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(address, headers={"User-Agent": "mobilenets", "Accept-Encoding": "identity"})
    if have and _validator(part).exists():
        request.add_header("Range", f"bytes={have}-")
        request.add_header("If-Range", _validator(part).read_text(encoding="latin-1"))
    with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as response:
        if response.status != 206:
            have = 0
        length = response.headers.get("Content-Length")
        total = have + int(length) if length and length.isdigit() else None
        if max(total or 0, size or 0) > LARGEST_FILE:
            raise FormatError(f"{address} is {total} bytes long; no MobileNet is that large")
        mark = response.headers.get("ETag") or response.headers.get("Last-Modified")
        _validator(part).unlink(missing_ok=True)
        if mark:
            _validator(part).write_text(mark, encoding="latin-1")
        with part.open("ab" if have else "wb") as file:
            done = have + _copy(response, file, part.name.removesuffix(".part"), have, total, progress)
    if total is not None and done < total:
        raise ConnectionError(f"the connection broke after {done} of {total} bytes")


def _copy(response: Any, file: IO[bytes], name: str, have: int, total: int | None, progress: Progress) -> int:
    done, shown = 0, have // KILOBYTE
    with progress.task(f"downloading {name}", (total or 0) // KILOBYTE, "kB") as task:
        task.advance(shown)
        while chunk := response.read(CHUNK):
            file.write(chunk)
            done += len(chunk)
            task.advance((have + done) // KILOBYTE - shown)
            shown = (have + done) // KILOBYTE
            if have + done > LARGEST_FILE:
                raise FormatError(f"{name} does not end after {LARGEST_FILE >> 20} MB")
    return done


def fetch_from_hub(repository: str, *, revision: str | None = None, endpoint: str | None = None) -> Path:
    """The local folder of a repository of the Hugging Face hub, with its configuration and one file of weights.

    Args:
        repository: ``owner/name``.
        revision: A commit, branch or tag; the main branch if not given. A commit pins the files.
        endpoint: Address of another hub.

    Returns:
        The folder of that revision in the hub's own cache, whose name is the commit.

    Raises:
        FormatError: If the hub cannot be reached and the files are not in its cache, or there is no such repository,
            revision or file.
        MissingDependencyError: If huggingface-hub is not installed.
    """
    try:
        import huggingface_hub
        from huggingface_hub import constants, errors
    except ImportError:
        raise MissingDependencyError("huggingface-hub", "formats") from None
    offline = os.environ.get(OFFLINE_VARIABLE) == "1" or not _reachable(
        endpoint or os.environ.get("HF_ENDPOINT") or constants.ENDPOINT
    )
    folder: Path | None = None
    for name in HUB_FILES:
        if folder is not None and name == HUB_FILES[-1] and (folder / HUB_FILES[-2]).exists():
            break  # safetensors are enough
        try:
            found = huggingface_hub.hf_hub_download(
                repository, name, revision=revision, endpoint=endpoint, local_files_only=offline
            )
        except errors.LocalEntryNotFoundError:
            if not offline:
                raise FormatError(f"hub:{repository} cannot be fetched: the connection broke") from None
        except errors.EntryNotFoundError:
            continue  # not every repository has every file
        except errors.RevisionNotFoundError:
            raise FormatError(f"hub:{repository} has no revision {revision or 'main'}") from None
        except errors.RepositoryNotFoundError:
            raise FormatError(f"hub:{repository}: the hub has no such repository, or keeps it private") from None
        except (errors.HfHubHTTPError, errors.HFValidationError, OSError, ValueError) as error:
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise FormatError(f"hub:{repository} cannot be fetched: {reason}") from None
        else:
            folder = Path(str(found)).parent
    if folder is None or not any((folder / name).exists() for name in HUB_FILES[1:]):
        where = "the hub cannot be reached, and its cache" if offline else "the hub"
        raise FormatError(f"hub:{repository}: {where} does not hold {' or '.join(HUB_FILES[1:])} of it")
    return folder


def _reachable(endpoint: str) -> bool:
    """Whether a server answers at all. The hub's own client takes half a minute to give up."""
    parts = urllib.parse.urlsplit(endpoint)
    if urllib.request.getproxies().get(parts.scheme):
        return True
    try:
        address = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
        socket.create_connection(address, timeout=CONNECT_SECONDS).close()
    except OSError:
        return False
    return True
