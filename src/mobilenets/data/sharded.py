"""Labeled images in shards: Parquet, Arrow, and tar archives as WebDataset has them, here or at addresses."""

from __future__ import annotations

import json
import os
import re
import tarfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING, Any

from mobilenets.data.archives import ArchivedImage, is_archive
from mobilenets.data.columns import CLASS_NAMES, simplified
from mobilenets.data.image import ImageSource
from mobilenets.data.image_stream import expand_sources
from mobilenets.data.label_files import ALL
from mobilenets.data.listings import image_column
from mobilenets.data.packs import Entry, Labeled, packed
from mobilenets.data.parts import part_name
from mobilenets.data.remote import file_system, open_binary, reason_of
from mobilenets.data.sources import IMAGE_SUFFIXES, is_address
from mobilenets.data.system_files import is_system_name
from mobilenets.errors import DataError, MissingDependencyError

if TYPE_CHECKING:
    import pyarrow

HUB_DATA = "hub-data:"
"""Before the name of a dataset of the Hugging Face hub."""
_SUFFIXES = (".parquet", ".arrow", ".tar", ".tar.gz", ".tgz")
_LABEL_SUFFIXES = (".cls", ".txt", ".json")
"""Of files beside an image in an archive, that of the label first."""

Parts = dict[str, dict[str, list[ImageSource]]]


def is_sharded(source: str | Path) -> bool:
    """Whether a source is shards: by its name, or as a folder that holds them and no other data.

    >>> is_sharded("s3://bucket/train-{00..07}.tar"), is_sharded("hub-data:owner/name"), is_sharded("photos.csv")
    (True, True, False)
    """
    text = str(source)
    if text.startswith(HUB_DATA):
        return True
    if is_address(text):  # a page of the web lists nothing
        return text.lower().endswith(_SUFFIXES) or not text.startswith(("http://", "https://"))
    if text.lower().endswith(_SUFFIXES) and not os.path.isdir(text):
        return True
    return os.path.isdir(text) and bool(_shards_in(text))


def _shards_in(folder: str) -> list[str]:
    """Shards in a folder, or in folders of it that are called like parts or data; none where there are other files."""
    found: list[str] = []
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda one: one.name):
            if is_system_name(entry.name):
                continue
            if entry.is_dir():
                if entry.name == "data" or part_name(entry.name) is not None:
                    found += _shards_in(entry.path)
                else:
                    return []
            elif entry.name.lower().endswith(_SUFFIXES):
                found.append(entry.path)
            elif entry.name.lower().endswith(tuple(IMAGE_SUFFIXES)):
                return []
    return found


def shards_of(source: str) -> list[str]:
    """The files of a source, in order of name.

    Raises:
        DataError: If there are none, or a store cannot be reached.
    """
    if source.startswith(HUB_DATA):
        name = source.removeprefix(HUB_DATA)
        if not re.fullmatch(r"[\w.-]+/[\w.-]+", name):
            raise DataError(f"{source} must be {HUB_DATA}owner/name, as the hub calls a dataset")
        converted = f"hf://datasets/{name}@refs%2Fconvert%2Fparquet"  # what the hub makes of every public dataset
        return _remote_shards(f"hf://datasets/{name}") or _remote_shards(converted) or _none(source)
    if not is_address(source):
        return (_shards_in(source) if os.path.isdir(source) else expand_sources([source])) or _none(source)
    if source.lower().endswith(_SUFFIXES):
        return expand_sources([source])
    return _remote_shards(source) or _none(source)


def _none(source: str) -> list[str]:
    raise DataError(f"{source} holds no shards: Parquet, Arrow or tar files")


def _remote_shards(address: str) -> list[str]:
    system, top = file_system(address)
    try:
        return sorted(system.unstrip_protocol(path) for path in system.find(top) if path.lower().endswith(_SUFFIXES))
    except FileNotFoundError:
        return []
    except Exception as error:  # stores raise what their libraries raise
        raise DataError(f"{address} cannot be listed: {reason_of(error)}") from None


def sharded_parts(source: str) -> Parts:
    """The images of shards by part and label. Nothing is decoded; what is not at hand is read once, into the cache.

    The part is what a shard's name or folder says (``train-00000-of-00008.parquet``), ``all`` where none says it.

    Args:
        source: A file, a folder, an address, any with a range in braces, or ``hub-data:owner/name``.

    Raises:
        DataError: If a shard cannot be read, has no labels, or only some of them say which part they are.
        MissingDependencyError: If pyarrow or fsspec is needed and not installed.
    """
    parts: Parts = {}
    for shard in shards_of(source):
        part = part_of_shard(shard, source)
        classes = parts.setdefault(part, {})
        for image, label in _images_of_shard(shard):
            classes.setdefault(label, []).append(image)
    check_parts(parts, source)
    return parts


def check_parts(parts: Collection[str], source: str) -> None:
    """Raise if only some shards say which part they are."""
    if ALL in parts and len(parts) > 1:
        named = ", ".join(sorted(set(parts) - {ALL}))
        raise DataError(f"some shards of {source} are of {named}, and the names of others say no part; rename those")


def part_of_shard(shard: str, source: str) -> str:
    """The part that a shard's name or a folder says; ``all`` where none does."""
    below = shard.removeprefix(source.rstrip("/"))
    names = [PurePosixPath(below or shard).name.partition(".")[0], *reversed(PurePosixPath(below).parent.parts)]
    found = next((one for name in names if (one := part_name(name)) is not None), None)
    return ALL if found is None else found.part


def _images_of_shard(shard: str) -> list[Labeled]:
    if is_archive(shard):
        if not is_address(shard) and shard.lower().endswith(".tar"):
            return list(_in_place(shard))
        return packed(shard, *facts_of(shard), _archive_entries(shard))
    return packed(shard, *facts_of(shard), _table_entries(shard))


def facts_of(shard: str) -> tuple[object, int]:
    """What changes when a shard does, and its size."""
    if not is_address(shard):
        status = os.stat(shard)
        return [os.path.realpath(shard), status.st_size, status.st_mtime_ns], status.st_size
    system, path = file_system(shard)
    try:
        info = system.info(path)
    except Exception as error:  # stores raise what their libraries raise
        raise DataError(f"{shard} cannot be read: {reason_of(error)}") from None
    marks = {key: str(info[key]) for key in ("size", "ETag", "etag", "mtime", "LastModified", "oid") if key in info}
    return marks, int(info.get("size") or 0)


def _in_place(shard: str) -> Iterator[Labeled]:
    """The images of an archive that can be read at any place."""
    with open_binary(shard) as file:
        for member, label in _labeled_members(shard, file, "r:"):
            yield ArchivedImage(shard, member.name, member.offset_data, member.size), label


def _archive_entries(shard: str) -> Iterator[Entry]:
    with open_binary(shard) as file:
        content: dict[str, bytes] = {}
        for member, label in _labeled_members(shard, file, "r|*", content):
            yield member.name, label, content[member.name]


def _labeled_members(
    shard: str, file: IO[bytes], mode: Any, content: dict[str, bytes] | None = None
) -> Iterator[tuple[tarfile.TarInfo, str]]:
    """Images of an archive with their labels: from a file of the same name beside them, or else from their folder."""
    waiting: list[tarfile.TarInfo] = []
    label, key = "", ""

    def finished() -> Iterator[tuple[tarfile.TarInfo, str]]:
        for image in waiting:
            found = label or PurePosixPath(image.name).parent.name
            if not found:
                raise DataError(f"{shard}: {image.name} has no label: neither {key}.cls beside it nor a folder")
            yield image, found

    try:
        with tarfile.open(fileobj=file, mode=mode) as members:
            for member in members:
                members.members.clear()  # type: ignore[attr-defined]  # tarfile would remember each
                path = PurePosixPath(member.name)
                if not member.isfile() or any(map(is_system_name, path.parts)):
                    continue
                stem = str(path.parent / path.name.partition(".")[0])
                if stem != key:
                    yield from finished()
                    waiting, label, key = [], "", stem
                    if content is not None:
                        content.clear()
                if path.suffix.lower() in IMAGE_SUFFIXES:
                    waiting.append(member)
                    if content is not None:
                        content[member.name] = _content(members, member)
                elif path.suffix.lower() in _LABEL_SUFFIXES and (found := _label_in(members, member)):
                    label = found if path.suffix.lower() == ".cls" or not label else label
            yield from finished()
    except (tarfile.TarError, OSError, EOFError) as error:
        raise DataError(f"{shard} is no tar archive, or is damaged: {reason_of(error)}") from None


def _content(members: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = members.extractfile(member)
    return b"" if file is None else file.read()


def _label_in(members: tarfile.TarFile, member: tarfile.TarInfo) -> str:
    """The label that a small file beside an image gives; empty if it gives none."""
    if member.size > 1 << 20:
        return ""
    text = _content(members, member).decode(errors="replace").strip()
    if not member.name.lower().endswith(".json"):
        return text if "\n" not in text else ""
    try:
        values = json.loads(text)
    except ValueError:
        return ""
    row = {simplified(str(name)): value for name, value in values.items()} if isinstance(values, dict) else {}
    return next((str(row[name]) for name in CLASS_NAMES if isinstance(row.get(name), str | int)), "")


def _table_entries(shard: str) -> Iterator[Entry]:
    try:
        import pyarrow
    except ModuleNotFoundError:
        raise MissingDependencyError("pyarrow", "data", alone=True) from None
    from mobilenets.data.listings import column_batches

    with open_binary(shard) as file:
        try:
            schema, batches = column_batches(file, shard, lambda schema: _wanted(schema, shard))
            names = _class_names(schema, _label_column(schema, shard))
            number = 0
            for batch in batches:
                for image, label in zip(batch.column(0).to_pylist(), batch.column(1).to_pylist(), strict=True):
                    if label is not None:
                        path = image.get("path") if isinstance(image, dict) else None
                        content = (image.get("bytes") if isinstance(image, dict) else image) or b""
                        yield path or str(number), str(names.get(label, label)), content
                    number += 1
        except pyarrow.ArrowException as error:
            raise DataError(f"{shard} cannot be read: {str(error).partition(chr(10))[0]}") from None


def _wanted(schema: pyarrow.Schema, shard: str) -> list[str]:
    image = image_column(schema, shard)
    if str(schema.field(image).type) in ("string", "large_string"):
        raise DataError(f"{shard} holds names of images, not images; a table of names is read as CSV")
    return [image, _label_column(schema, shard)]


def _label_column(schema: pyarrow.Schema, shard: str) -> str:
    names: Mapping[str, str] = {simplified(name): name for name in schema.names}
    found = next((names[name] for name in CLASS_NAMES if name in names), None)
    if found is None:
        raise DataError(f"{shard} has no column of labels: its columns are {', '.join(schema.names)}; call it label")
    if not _is_one_value(schema.field(found).type):
        raise DataError(
            f"{shard}: column {found} holds several values an image, and shards are read for one class each"
        )
    return found


def _is_one_value(kind: pyarrow.DataType) -> bool:
    from pyarrow import types

    return not types.is_nested(kind)


def _class_names(schema: pyarrow.Schema, column: str) -> dict[Any, str]:
    """Number of a class → its name, where the file says it as the libraries of Hugging Face do."""
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
        names: Sequence[str] = features[column]["names"]
        return {number: str(name) for number, name in enumerate(names)}
    except (KeyError, ValueError, TypeError):
        return {}
