"""The Model file: one ``.safetensors`` file that contains a whole Model. No pickle anywhere.

Tensors carry the Model's own names and PyTorch's layouts. The metadata holds the network, task, preprocessing,
quantization and provenance as JSON, and a format version. A file is trusted in nothing: its header is checked by
safetensors, its metadata field by field, and its tensors against the network, before anything else sees them.

A file has the lowest version whose readers understand all that is in it:

1. float32 classifiers of the first layer types and activations;
2. also statistics of subnets (see :mod:`mobilenets.model.packing`);
3. also int8, with its arithmetic stated, a classifier's temperature and every other task (``task`` takes the place of
   ``labels``), layer type and activation.

int8 Models were once written as versions 1 and 2 (which added bfloat16 scales and int16 biases), for multipliers that
were the float32 nearest to the exact quotient; their numbers are read for today's arithmetic.
"""

from __future__ import annotations

import json
import mmap
from collections.abc import Mapping
from dataclasses import replace
from os import PathLike, fspath
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, deserialize, safe_open

from mobilenets.architecture.encoding import decode_network, encode_network
from mobilenets.architecture.layers import (
    Activation,
    Add,
    Concatenate,
    Convolution,
    DepthwiseConvolution,
    GlobalAveragePool,
    Linear,
    MaxPool,
    PointwiseConvolution,
)
from mobilenets.base.arguments import typed
from mobilenets.base.atomic_write import write_atomically
from mobilenets.base.suffixes import EXPORTED, taken_for
from mobilenets.errors import ArchitectureError, ModelError, ModelFileError
from mobilenets.model.model import Model, Tensor, broken_tensor
from mobilenets.model.packing import BFLOAT16, pack, read_only, take_subnets, unpack
from mobilenets.model.preprocessing import Preprocessing
from mobilenets.model.quantization import Quantization
from mobilenets.tasks.catalog import decode_task
from mobilenets.tasks.classification import Classification
from mobilenets.tasks.task import Task

FORMAT = "mobilenets"
FORMAT_VERSION = 3
"""The newest that is read and written."""
_VERSIONS = {str(version): version for version in range(1, FORMAT_VERSION + 1)}
_FIRST_ACTIVATIONS = (Activation.NONE, Activation.RELU, Activation.RELU6)
_FIRST_LAYERS = (
    Convolution,
    DepthwiseConvolution,
    PointwiseConvolution,
    MaxPool,
    GlobalAveragePool,
    Linear,
    Add,
    Concatenate,
)
"""What readers of versions 1 and 2 know."""
LARGEST_METADATA = 32 << 20
"""Bytes of metadata beyond which a file is refused unread."""

_IMPORT = "weights of other formats are read by mobilenets import, or import_model(path)"

_TYPES = {"F32": np.float32, "I8": np.int8, "U8": np.uint8, "I32": np.int32, "I16": np.int16, "BF16": BFLOAT16}


SUFFIX = ".safetensors"
"""Of a Model file."""


def check_model_path(path: str | PathLike[str]) -> None:
    """Raise if a file of this name would be taken for another thing than a Model file.

    Raises:
        ModelFileError: Naming what it would be taken for, and how that is made.
    """
    target = Path(path)
    other = taken_for(target, (SUFFIX,))
    if other is None:
        return
    named = target.with_suffix(SUFFIX)
    then = f", and then: mobilenets export {named} -o {target}" if target.suffix.lower() in EXPORTED else ""
    raise ModelFileError(f"{target} has the name of {other}, and a Model file is to be written: write {named}{then}")


@typed(ModelError)
def save(model: Model, path: str | PathLike[str]) -> None:
    """Write a Model file atomically.

    Args:
        model: float32 or int8.
        path: Of the file, ``.safetensors`` by custom. Its folder must exist; a file that is there is replaced.

    Raises:
        ModelFileError: If the path has the suffix of another kind of file, such as ``.tflite``.
        ModelError: If a tensor holds NaN or infinite values, :func:`load` would refuse the task, the provenance holds
            what JSON cannot, or weights are declared to use 4 bits and do not.
        OSError: If the file cannot be written; an older file of that name is then still whole.

    >>> import tempfile
    >>> from mobilenets import mobilenet_v1
    >>> network = mobilenet_v1(width_multiplier=0.25, resolution=32, classes=2)
    >>> parameters = {name: np.ones(shape, np.float32) for name, shape in network.parameter_shapes().items()}
    >>> model = Model(network, parameters, Classification(("cat", "dog")))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save(model, Path(folder) / "pets.safetensors")
    ...     load(Path(folder) / "pets.safetensors").labels
    ('cat', 'dog')
    """
    check_model_path(path)
    if (broken := broken_tensor(model.parameters)) is not None:
        raise ModelError(f"{broken} holds NaN or infinite values: the Model is broken, and is not written")
    write_atomically(fspath(path), _serialized(model))


def file_bytes(model: Model) -> int:
    """Size of a Model's file, in bytes, without writing it.

    Raises:
        ModelError: As :func:`save`.
    """
    return len(_serialized(model))


def model_digest(model: Model) -> str:
    """Hash of everything that a Model's answers follow from: all that its file holds but the provenance.

    Tasks of one's own have one too, though no file can hold them.
    """
    import hashlib

    return hashlib.sha256(_content(replace(model, provenance={}))).hexdigest()


def _serialized(model: Model) -> bytes:
    """Content of a Model's file."""
    if _lowest_version(model) >= 3:
        decode_task(model.task.encode())  # a task that load would refuse is refused here
    return _content(model)


def _content(model: Model) -> bytes:
    from safetensors.numpy import save as serialize

    version = _lowest_version(model)
    task = {"task": _to_json(model.task.encode())} if version >= 3 else {"labels": _to_json(list(model.labels))}
    metadata = {
        "format": FORMAT,
        "format_version": str(version),
        "network": _to_json(encode_network(model.network)),
        **task,
        "preprocessing": _to_json(model.preprocessing.encode()),
        "quantization": _to_json(model.quantization.encode() if model.quantization else None),
        "provenance": _to_json(dict(model.provenance)),
    }
    return _finished(serialize(pack(model), metadata=metadata))


def _lowest_version(model: Model) -> int:
    """The first version whose readers know all that the Model has."""
    known = (
        isinstance(model.task, Classification)
        and model.task.temperature == 1
        and model.task.unknown is None
        and all(
            isinstance(layer, _FIRST_LAYERS) and layer.activation in _FIRST_ACTIVATIONS
            for layer in model.network.layers
        )
    )
    if model.quantization is not None or not known:
        return 3
    return 2 if model.subnets else 1


def _finished(content: bytes) -> bytes:
    """The same file with its header sorted, and the type named that NumPy does not know.

    safetensors itself writes metadata in an arbitrary order. Nothing but bfloat16 is stored as uint16.
    """
    begin = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:begin])
    for entry in header.values():
        if entry.get("dtype") == "U16":
            entry["dtype"] = "BF16"
    text = json.dumps(header, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + content[begin:]


@typed(ModelFileError)
def load(path: str | PathLike[str]) -> Model:
    """Read a Model file. Tensors are views of the mapped file, read as they are first used, and cannot be written to.

    Raises:
        ModelFileError: If the file is missing, truncated, hostile, of another format or version, or its tensors do not
            fit its network.
    """
    path = fspath(path)
    return _model(path, *_open(path))


@typed(ModelFileError)
def load_content(content: bytes, name: str) -> Model:
    """Read the content of a Model file that is in memory: the file may then change without the Model.

    Args:
        content: All of it.
        name: What messages call the file.

    Raises:
        ModelFileError: As :func:`load`.
    """
    return _model(name, *_checked(content, name))


def _model(path: str, metadata: dict[str, str], mapped: dict[str, Tensor]) -> Model:
    """The Model of a file's metadata and tensors, all of it checked."""
    try:
        version = metadata.get("format_version")
        if metadata.get("format") != FORMAT:
            raise ModelFileError(f"{path} is a safetensors file but not a Model of this package; {_IMPORT}")
        if version not in _VERSIONS:
            raise ModelFileError(
                f"{path} has format version {version!r:.40}; this package reads versions {', '.join(_VERSIONS)}"
            )
        subnets = take_subnets(mapped) if _VERSIONS[version] >= 2 else {}
        network = decode_network(_from_json(metadata, "network"))
        quantization = _quantization(metadata, _VERSIONS[version])
        task = _task(metadata, _VERSIONS[version])
        provenance = _from_json(metadata, "provenance")
        if not isinstance(provenance, dict):
            raise ModelFileError(f"{path}: provenance must be an object")
        return Model(
            network=network,
            parameters=unpack(mapped, network, quantization, version=_VERSIONS[version]),
            task=task,
            preprocessing=Preprocessing.decode(_from_json(metadata, "preprocessing")),
            quantization=quantization,
            provenance=provenance,
            subnets=subnets,
        )
    except ModelFileError:
        raise
    except (ModelError, ArchitectureError) as error:
        raise ModelFileError(f"{path}: {error}") from None


def _quantization(metadata: Mapping[str, str], version: int) -> Quantization | None:
    data = _from_json(metadata, "quantization")
    if data is None:
        return None
    if isinstance(data, dict) and ("arithmetic" in data) != (version >= 3):
        needed = "states its arithmetic" if version >= 3 else "states no arithmetic"
        held = ", ".join(data)
        raise ModelError(f"the quantization of format version {version} {needed}; it holds {held:.80}")
    return Quantization.decode(data)


def _task(metadata: Mapping[str, str], version: int) -> Task:
    if version >= 3:
        return decode_task(_from_json(metadata, "task"))
    return Classification.from_json({"kind": "classification", "labels": _from_json(metadata, "labels")})


def _open(path: str) -> tuple[dict[str, str], dict[str, Tensor]]:
    """Metadata and mapped tensors of any safetensors file."""
    try:
        with open(path, "rb") as file:
            buffer = np.frombuffer(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ), dtype=np.uint8)
        # safetensors checks the header: its size, that it is JSON, that extents are in bounds and do not overlap.
        with safe_open(path, framework="numpy") as checked:
            metadata = dict(checked.metadata() or {})
        header_bytes = int.from_bytes(buffer[:8].tobytes(), "little")
        header = json.loads(buffer[8 : 8 + header_bytes].tobytes())
    except FileNotFoundError:
        raise ModelFileError(f"{path} does not exist") from None
    except IsADirectoryError:
        inside = sorted(Path(path).glob("*.safetensors"))
        named = f"; it holds {', '.join(str(file) for file in inside[:3])}" if inside else ""
        raise ModelFileError(f"{path} is a folder, not a Model file{named}") from None
    except (OSError, SafetensorError, ValueError, RecursionError) as error:
        kind = taken_for(Path(path), (".safetensors",))
        if kind is not None:
            raise ModelFileError(f"{path} is {kind}, not a Model file; {_IMPORT}") from None
        raise ModelFileError(f"{path} is not a readable safetensors file: {error}") from None
    return _split(path, metadata, header, buffer[8 + header_bytes :])


def _checked(content: bytes, name: str) -> tuple[dict[str, str], dict[str, Tensor]]:
    """The same of a file's content."""
    try:
        deserialize(content)  # type: ignore[no-untyped-call]
        header_bytes = int.from_bytes(content[:8], "little")
        header = json.loads(content[8 : 8 + header_bytes])
    except (SafetensorError, ValueError, RecursionError) as error:
        raise ModelFileError(f"{name} is not a readable safetensors file: {error}") from None
    return _split(name, header.get("__metadata__") or {}, header, np.frombuffer(content, np.uint8)[8 + header_bytes :])


def _split(
    path: str, metadata: dict[str, str], header: dict[str, Any], data: npt.NDArray[np.uint8]
) -> tuple[dict[str, str], dict[str, Tensor]]:
    if sum(map(len, metadata.values())) > LARGEST_METADATA:
        raise ModelFileError(f"{path} has more than {LARGEST_METADATA >> 20} MB of metadata")
    header.pop("__metadata__", None)
    return metadata, {name: _view(path, data, name, entry) for name, entry in header.items()}


def _view(path: str, data: npt.NDArray[np.uint8], name: str, entry: Mapping[str, Any]) -> Tensor:
    if entry["dtype"] not in _TYPES:
        raise ModelFileError(f"{path}: {name} holds {entry['dtype']}; a Model holds {', '.join(_TYPES)}")
    begin, end = entry["data_offsets"]
    if end > data.size:
        raise ModelFileError(f"{path} changed while it was read")
    tensor: Tensor = data[begin:end].view(_TYPES[entry["dtype"]]).reshape(entry["shape"])
    return tensor if tensor.flags.aligned else read_only(tensor.copy())


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
