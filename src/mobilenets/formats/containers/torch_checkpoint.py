"""A PyTorch checkpoint (``.pt``, ``.pth``, ``.bin``, ``.tar``) as arrays: weights only, and without PyTorch.

Both forms are read: the ZIP archive of PyTorch 1.6 and later, and the string of pickles before it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from mobilenets.errors import FormatError
from mobilenets.formats.containers.binary import Bytes
from mobilenets.formats.containers.safetensors_file import decoded
from mobilenets.formats.containers.torch_pickle import Storage, StoredTensor, load_pickle
from mobilenets.formats.containers.zip_members import ZipMembers
from mobilenets.model.model import Tensor

WRAPPERS = ("state_dict", "model", "model_state_dict", "net", "state_dict_ema")
"""Keys under which training scripts put the weights beside the rest of their state."""

MOST_DICTIONARIES = 64
"""Within each other; the state of an optimizer has one for each parameter, and no weights."""

_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_LEGACY_START = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19"
_SIZES = {"F16": 2, "BF16": 2, "F32": 4, "F64": 8, "I64": 8, "I32": 4, "U8": 1, "I8": 1}


def is_torch_checkpoint(data: bytes) -> bool:
    """Whether a file looks like one."""
    return data.startswith(_LEGACY_START) or (data[:2] == b"PK" and b"data.pkl" in data[:512])


def read_torch_checkpoint(data: bytes) -> dict[str, Tensor]:
    """Tensors of a state_dict by name, in the file's order, without prefixes that wrappers of modules add.

    Raises:
        FormatError: If the file is damaged, refers to anything but tensors, or holds no state_dict.
    """
    if data[:2] == b"PK":
        state, storages = _archive(data)
    else:
        state, storages = _legacy(data)
    for wrapper in WRAPPERS:
        if isinstance(state, dict) and isinstance(state.get(wrapper), dict):
            state = state[wrapper]
            break
    if not isinstance(state, dict):
        raise FormatError(f"the checkpoint holds a {type(state).__name__}, not a state_dict")
    tensors: dict[str, Tensor] = {}
    total = 0
    for name, stored in state.items():
        if not isinstance(stored, StoredTensor) or not isinstance(name, str):
            raise FormatError(f"{name!r:.80} in the checkpoint is not a tensor; a plain state_dict was expected")
        values = _values(name, stored, storages)
        total += values.nbytes
        if total > 2 * len(data):
            raise FormatError(f"{name}: the tensors take more than the file")
        tensors[name.removeprefix("module.")] = values
    return tensors


def _archive(data: bytes) -> tuple[Any, dict[str, tuple[Storage | None, memoryview]]]:
    archive = ZipMembers(data, "the PyTorch checkpoint")
    pickles = [name for name in archive.names if name.rpartition("/")[2] == "data.pkl"]
    if len(pickles) != 1:
        raise FormatError(f"the PyTorch checkpoint holds {len(pickles)} files data.pkl; one was expected")
    folder = pickles[0].removesuffix("data.pkl")
    if f"{folder}byteorder" in archive.names and bytes(archive.member(f"{folder}byteorder")) != b"little":
        raise FormatError("the PyTorch checkpoint is in big-endian order")
    state, _ = load_pickle(Bytes(archive.member(pickles[0]), "the checkpoint's pickle"))
    prefix = f"{folder}data/"
    return state, {
        name.removeprefix(prefix): (None, archive.member(name)) for name in archive.names if name.startswith(prefix)
    }


def _legacy(data: bytes) -> tuple[Any, dict[str, tuple[Storage | None, memoryview]]]:
    file = Bytes(data, "the PyTorch checkpoint")
    file.expect(0, _LEGACY_START[:2])
    magic, at = load_pickle(file)
    if magic != _LEGACY_MAGIC:
        raise file.error(0, "this is not a PyTorch checkpoint")
    _, at = load_pickle(file, at)
    system, at = load_pickle(file, at)
    if not isinstance(system, dict) or system.get("little_endian") is not True:
        raise file.error(at, "the PyTorch checkpoint is in big-endian order")
    state, at = load_pickle(file, at)
    keys, at = load_pickle(file, at)
    if not isinstance(keys, list):
        raise file.error(at, "the list of storages is missing")
    kinds = {stored.storage.key: stored.storage for stored in _tensors(state, set())}
    storages: dict[str, tuple[Storage | None, memoryview]] = {}
    for key in keys:
        if not isinstance(key, str) or key not in kinds:
            name = key if isinstance(key, str) else f"of type {type(key).__name__}"
            raise file.error(at, f"storage {name:.40} belongs to no tensor")
        count = int.from_bytes(file.take(at, 8), "little", signed=True)
        size = count * _SIZES[kinds[key].kind]
        storages[key] = (kinds[key], file.take(at + 8, size))
        at += 8 + size
    return state, storages


def _tensors(state: Any, seen: set[int]) -> list[StoredTensor]:
    """All tensors in nested dictionaries, each of which is looked into once."""
    if isinstance(state, StoredTensor):
        return [state]
    if not isinstance(state, dict) or id(state) in seen or len(seen) > MOST_DICTIONARIES:
        return []
    seen.add(id(state))
    return [tensor for value in state.values() for tensor in _tensors(value, seen)]


def _values(name: str, stored: StoredTensor, storages: dict[str, tuple[Storage | None, memoryview]]) -> Tensor:
    if stored.storage.key not in storages:
        raise FormatError(f"{name} lies in storage {stored.storage.key!r:.40}, which the checkpoint does not hold")
    raw = storages[stored.storage.key][1]
    size = _SIZES[stored.storage.kind]
    stored_count = len(raw) // size
    count, last = 1, stored.offset
    for extent, stride in zip(stored.shape, stored.strides, strict=True):
        count *= extent
        last += (extent - 1) * stride
    if count > stored_count or (count and last >= stored_count):
        raise FormatError(f"{name} has shape {stored.shape}, more than its storage of {stored_count} numbers")
    window = (stored.offset, last + 1) if count else (0, 0)
    flat = decoded(name, stored.storage.kind, (window[1] - window[0],), raw[window[0] * size : window[1] * size])
    strides = tuple(stride * flat.itemsize for stride in stored.strides)
    return np.lib.stride_tricks.as_strided(flat, stored.shape, strides, writeable=False)
