"""A PyTorch checkpoint (``.pt``, ``.pth``, ``.bin``, ``.tar``) as arrays: weights only, and without PyTorch.

Both forms are read: the ZIP archive of PyTorch 1.6 and later, and the string of pickles before it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from mobilenets.errors import FormatError
from mobilenets.formats.containers.binary import Bytes
from mobilenets.formats.containers.safetensors_file import decoded
from mobilenets.formats.containers.torch_pickle import Foreign, Storage, StoredTensor, load_pickle
from mobilenets.formats.containers.zip_members import ZipMembers
from mobilenets.model.model import Tensor

AVERAGES = ("state_dict_ema", "model_ema", "ema_state_dict", "ema", "params_ema")
"""Keys under which training scripts put moving averages of the weights, which are what they evaluate."""
WRAPPERS = (*AVERAGES, "state_dict", "model_state_dict", "model", "net", "network", "module", "weights", "params")
"""Keys under which they put the weights beside the rest of their state; of several, the first is taken."""

MOST_WRAPPERS = 4
"""Within each other."""

_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_LEGACY_START = b"\x8a\x0a" + _LEGACY_MAGIC.to_bytes(10, "little")
"""The magic number as a pickle writes it, behind the protocol's number and, from protocol 4 on, a frame's."""
_SIZES = {"F16": 2, "BF16": 2, "F32": 4, "F64": 8, "I64": 8, "I32": 4, "U8": 1, "I8": 1, "I16": 2, "BOOL": 1}


def is_torch_checkpoint(data: bytes) -> bool:
    """Whether a file looks like one."""
    legacy = data[:1] == b"\x80" and _LEGACY_START in data[:32]
    return legacy or (data[:2] == b"PK" and b"data.pkl" in data[:512])


@dataclass(frozen=True)
class TorchCheckpoint:
    """Contents of a checkpoint.

    Attributes:
        tensors: Of its state_dict by name, in the file's order.
        key: Of the checkpoint that they stand under.
        beside: Plain data that the checkpoint is: settings, metrics, names of classes, and the weights among it. Other
            objects are :class:`~mobilenets.formats.containers.torch_pickle.Foreign`.
    """

    tensors: dict[str, Tensor]
    key: str
    beside: dict[str, Any]


def read_torch_checkpoint(data: bytes) -> TorchCheckpoint:
    """Read a checkpoint's state_dict, and what stands beside it.

    Raises:
        FormatError: If the file is damaged, or holds no state_dict.
    """
    if data[:2] == b"PK":
        state, storages = _archive(data)
    else:
        state, storages = _legacy(data)
    found, key = _state_dict(state)
    tensors: dict[str, Tensor] = {}
    total = 0
    for name, stored in found.items():
        if not isinstance(stored, StoredTensor) or not isinstance(name, str):
            continue
        values = _values(name, stored, storages)
        total += values.nbytes
        if total > 2 * len(data):
            raise FormatError(f"{name}: the tensors take more than the file")
        tensors[name] = values
    return TorchCheckpoint(tensors, key, state)


def _state_dict(state: Any) -> tuple[dict[str, Any], str]:
    """The dictionary of tensors within a checkpoint, and its key, empty where it is the checkpoint itself.

    Raises:
        FormatError: If there is none.
    """
    key = ""
    for _ in range(MOST_WRAPPERS):
        if isinstance(state, Foreign):
            raise _is_a_module(state)
        if not isinstance(state, dict):
            raise FormatError(f"the checkpoint holds a {type(state).__name__}, not a state_dict")
        if any(isinstance(value, StoredTensor) and str(name).endswith(".weight") for name, value in state.items()):
            return state, key
        inner = [name for name in WRAPPERS if isinstance(state.get(name), dict) and state[name]]
        modules = [state[name] for name in WRAPPERS if isinstance(state.get(name), Foreign)]
        if not inner and modules:
            raise _is_a_module(modules[0])
        inner = inner or _only_weights(state)
        if not inner:
            break
        key, state = inner[0], state[inner[0]]
    if any(isinstance(value, StoredTensor) for value in state.values()):
        return state, key
    held = ", ".join(f"{name!s:.30} ({_kind(value)})" for name, value in list(state.items())[:6])
    raise FormatError(f"the checkpoint holds no weights; it holds {held or 'nothing'}. Save model.state_dict()")


def _only_weights(state: dict[str, Any]) -> list[str]:
    """The key of the one dictionary of weights, whatever it is called."""

    def holds_weights(value: Any) -> bool:
        return isinstance(value, dict) and any(
            isinstance(one, StoredTensor) and str(name).endswith(".weight") for name, one in value.items()
        )

    found = [name for name, value in state.items() if isinstance(name, str) and holds_weights(value)]
    return found if len(found) == 1 else []


def _is_a_module(found: Foreign) -> FormatError:
    return FormatError(
        f"the checkpoint is a whole pickled object ({found!s:.80}), which only its own Python code can build, and no "
        "code of a file is run here. Load it there, and save its weights: torch.save(model.state_dict(), 'weights.pt')"
    )


def _kind(value: Any) -> str:
    return f"{value!s:.60}" if isinstance(value, Foreign) else type(value).__name__


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
    magic, at = load_pickle(file)
    if magic != _LEGACY_MAGIC:
        raise file.error(0, "this is not a PyTorch checkpoint")
    _, at = load_pickle(file, at)
    system, at = load_pickle(file, at)
    if not isinstance(system, dict) or system.get("little_endian") is not True:
        raise file.error(at, "the PyTorch checkpoint is in big-endian order")
    kinds: dict[str, Storage] = {}
    state, at = load_pickle(file, at, kinds)
    keys, at = load_pickle(file, at)
    if not isinstance(keys, list):
        raise file.error(at, "the list of storages is missing")
    storages: dict[str, tuple[Storage | None, memoryview]] = {}
    for key in keys:
        if not isinstance(key, str) or key not in kinds:
            name = key if isinstance(key, str) else f"of type {type(key).__name__}"
            raise file.error(at, f"storage {name:.40} belongs to no tensor")
        count = int.from_bytes(file.take(at, 8), "little", signed=True)
        if kinds[key].kind not in _SIZES:
            raise file.error(at, f"storage {key:.40} is a {kinds[key].kind:.40}, whose numbers are not known")
        size = count * _SIZES[kinds[key].kind]
        storages[key] = (kinds[key], file.take(at + 8, size))
        at += 8 + size
    return state, storages


def _values(name: str, stored: StoredTensor, storages: dict[str, tuple[Storage | None, memoryview]]) -> Tensor:
    if stored.storage.key not in storages:
        raise FormatError(f"{name} lies in storage {stored.storage.key!r:.40}, which the checkpoint does not hold")
    if stored.storage.kind not in _SIZES:
        raise FormatError(f"{name} holds a {stored.storage.kind:.40}, whose numbers are not known")
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
