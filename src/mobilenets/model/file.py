"""The Model file: one ``.safetensors`` file that holds a whole Model. No pickle anywhere.

Tensors carry the Model's own names and PyTorch's layouts. The metadata holds the network, labels, preprocessing,
quantisation and provenance as JSON, and a format version. A file is trusted in nothing: its header is checked by
safetensors, its metadata field by field, and its tensors against the network, before anything else sees them.
"""

from __future__ import annotations

import json
import mmap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save as serialize

from mobilenets.architecture.encoding import decode, encode
from mobilenets.architecture.layers import Network
from mobilenets.errors import ArchitectureError, ModelError, ModelFileError
from mobilenets.model.atomic_file import write_atomically
from mobilenets.model.model import Model, Tensor, parameter_types
from mobilenets.model.preprocessing import Preprocessing
from mobilenets.model.quantization import Quantization

FORMAT = "mobilenets"
FORMAT_VERSION = 1
LARGEST_METADATA = 32 << 20
"""Bytes of metadata beyond which a file is refused unread."""

_TYPES = {"F32": np.float32, "I8": np.int8, "U8": np.uint8, "I32": np.int32}


def save(model: Model, path: str | Path) -> None:
    """Write a Model file atomically.

    Raises:
        ModelError: If the provenance holds what JSON cannot, or weights are declared to use 4 bits and do not.
        OSError: If the file cannot be written; an older file of that name is then still whole.
    """
    metadata = {
        "format": FORMAT,
        "format_version": str(FORMAT_VERSION),
        "network": _to_json(encode(model.network)),
        "labels": _to_json(list(model.labels)),
        "preprocessing": _to_json(model.preprocessing.encode()),
        "quantization": _to_json(model.quantization.encode() if model.quantization else None),
        "provenance": _to_json(dict(model.provenance)),
    }
    tensors = {name: np.ascontiguousarray(_stored(model, name, tensor)) for name, tensor in model.parameters.items()}
    write_atomically(Path(path), _in_fixed_order(serialize(tensors, metadata=metadata)))


def _in_fixed_order(content: bytes) -> bytes:
    """The same safetensors file with its header sorted: safetensors itself writes metadata in an order of chance."""
    begin = 8 + int.from_bytes(content[:8], "little")
    header = json.dumps(
        json.loads(content[8:begin]), sort_keys=True, separators=(",", ":"), ensure_ascii=False
    ).encode()
    header += b" " * (-len(header) % 8)
    return len(header).to_bytes(8, "little") + header + content[begin:]


def load(path: str | Path) -> Model:
    """Read a Model file. Tensors are views of the mapped file, read as they are first used, and cannot be written to.

    Raises:
        ModelFileError: If the file is missing, truncated, hostile, of another format or version, or its tensors do not
            fit its network.
    """
    path = Path(path)
    try:
        metadata, mapped = _open(path)
        version = metadata.get("format_version")
        if metadata.get("format") != FORMAT:
            raise ModelFileError(f"{path} is a safetensors file but not a Model of this package")
        if version != str(FORMAT_VERSION):
            raise ModelFileError(f"{path} has format version {version!r}; this package reads version {FORMAT_VERSION}")
        network = decode(_from_json(metadata, "network"))
        quantization_data = _from_json(metadata, "quantization")
        quantization = None if quantization_data is None else Quantization.decode(quantization_data)
        labels = _from_json(metadata, "labels")
        if not isinstance(labels, list) or not all(isinstance(label, str) for label in labels):
            raise ModelFileError(f"{path}: labels must be a list of strings")
        provenance = _from_json(metadata, "provenance")
        if not isinstance(provenance, dict):
            raise ModelFileError(f"{path}: provenance must be an object")
        return Model(
            network=network,
            parameters=_unpack(mapped, network, quantization),
            labels=tuple(labels),
            preprocessing=Preprocessing.decode(_from_json(metadata, "preprocessing")),
            quantization=quantization,
            provenance=provenance,
        )
    except ModelFileError:
        raise
    except (ModelError, ArchitectureError) as error:
        raise ModelFileError(f"{path}: {error}") from None


def _open(path: Path) -> tuple[dict[str, str], dict[str, Tensor]]:
    """Metadata and mapped tensors of any safetensors file."""
    try:
        with path.open("rb") as file:
            buffer = np.frombuffer(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ), dtype=np.uint8)
        # safetensors checks the header: its size, that it is JSON, that extents are in bounds and do not overlap.
        with safe_open(path, framework="numpy") as checked:
            metadata = dict(checked.metadata() or {})
        header_bytes = int.from_bytes(buffer[:8].tobytes(), "little")
        header = json.loads(buffer[8 : 8 + header_bytes].tobytes())
    except FileNotFoundError:
        raise ModelFileError(f"{path} does not exist") from None
    except IsADirectoryError:
        raise ModelFileError(f"{path} is a folder, not a Model file") from None
    except (OSError, SafetensorError, ValueError, RecursionError) as error:
        raise ModelFileError(f"{path} is not a readable safetensors file: {error}") from None
    if sum(map(len, metadata.values())) > LARGEST_METADATA:
        raise ModelFileError(f"{path} has more than {LARGEST_METADATA >> 20} MB of metadata")
    header.pop("__metadata__", None)
    return metadata, {name: _view(path, buffer[8 + header_bytes :], name, entry) for name, entry in header.items()}


def _view(path: Path, data: npt.NDArray[np.uint8], name: str, entry: Mapping[str, Any]) -> Tensor:
    if entry["dtype"] not in _TYPES:
        raise ModelFileError(f"{path}: {name} holds {entry['dtype']}; a Model holds {', '.join(_TYPES)}")
    begin, end = entry["data_offsets"]
    if end > data.size:
        raise ModelFileError(f"{path} changed while it was read")
    tensor: Tensor = data[begin:end].view(_TYPES[entry["dtype"]]).reshape(entry["shape"])
    return tensor if tensor.flags.aligned else _read_only(tensor.copy())


def _read_only(tensor: Tensor) -> Tensor:
    tensor.setflags(write=False)
    return tensor


def _from_json(metadata: Mapping[str, str], field: str) -> Any:
    if field not in metadata:
        raise ModelError(f"the metadata lacks {field!r}")
    try:
        return json.loads(metadata[field], parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise ModelError(f"the metadata field {field!r} is not JSON: {error}") from None


def _refuse_constant(constant: str) -> float:
    raise ValueError(f"{constant} is not a number")


def _to_json(value: object) -> str:
    try:
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
        return text.encode(errors="backslashreplace").decode()  # file names need not be Unicode; JSON has escapes
    except (TypeError, ValueError) as error:
        raise ModelError(f"metadata of a Model must be JSON values: {error}") from None


def _stored(model: Model, name: str, tensor: Tensor) -> Tensor:
    """A tensor as the file holds it: 4-bit weights go two to a byte, the earlier one in the low half."""
    layer, _, kind = name.rpartition(".")
    if kind != "weight" or model.quantization is None or model.quantization.bits(layer) != 4:
        return tensor
    if tensor.min(initial=0) < -7 or tensor.max(initial=0) > 7:
        raise ModelError(f"{name} is declared to use 4 bits but holds values outside −7 to 7")
    flat = np.append(tensor.ravel(), np.zeros(tensor.size % 2, np.int8)).view(np.uint8)
    return (flat[0::2] & 15) | (flat[1::2] << 4)


def _unpack(tensors: dict[str, Tensor], network: Network, quantization: Quantization | None) -> dict[str, Tensor]:
    """Undo :func:`_stored`."""
    if quantization is None or not quantization.weight_bits:
        return tensors
    quantization.check(network)
    types = parameter_types(network, quantization)
    for layer, bits in quantization.weight_bits.items():
        name = f"{layer}.weight"
        if bits != 4 or name not in tensors:
            continue
        shape = types[name][1]
        count = int(np.prod(shape, dtype=np.int64))
        packed = tensors[name]
        if packed.dtype != np.uint8 or packed.shape != ((count + 1) // 2,):
            raise ModelError(f"{name} has shape {packed.shape}; 4-bit weights need {((count + 1) // 2,)} of uint8")
        halves = np.stack([packed & 15, packed >> 4], axis=1).ravel()[:count].astype(np.int8)
        if np.any(halves == 8):  # -8 in two's complement
            raise ModelError(f"{name} holds values outside −7 to 7")
        tensors[name] = _read_only(np.where(halves > 7, halves - 16, halves).astype(np.int8).reshape(shape))
    return tensors
