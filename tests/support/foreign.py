"""Writes a Model's weights as the sources of foreign weights do, so that tests have files of every kind."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from mobilenets.formats.containers.tensor_bundle import MAGIC, masked_crc32c
from mobilenets.model.model import Model, Tensor

KERAS = {"weight": "gamma", "bias": "beta", "running_mean": "moving_mean", "running_var": "moving_variance"}
SLIM = {name: f"BatchNorm/{variable}" for name, variable in KERAS.items()}
STAGE_OF = [(stage, index) for stage, count in enumerate((1, 2, 2, 6, 2)) for index in range(count)]


def parts(name: str) -> tuple[str, int, str, str]:
    """A parameter's name as layer kind (stem, depthwise, pointwise, classifier), block, norm or empty, variable."""
    layer, _, variable = name.rpartition(".")
    norm = "batch_norm" if layer.endswith(".batch_norm") else ""
    layer = layer.removesuffix(".batch_norm")
    block, _, kind = layer.rpartition(".")
    return kind, int(block.removeprefix("block") or 0), norm, variable


def channels_last(kind: str, value: Tensor) -> Tensor:
    """A weight as TensorFlow lays it out; the classifier's as a 1×1 convolution."""
    if kind == "classifier":
        return value.T[None, None]
    return np.transpose(value, (2, 3, 0, 1) if kind == "depthwise" else (2, 3, 1, 0))


def keras_tensors(model: Model, *, suffix: str = ":0", generation: int = 2) -> dict[str, Tensor]:
    """By path in a legacy HDF5 file."""
    tensors: dict[str, Tensor] = {}
    for name, value in model.parameters.items():
        kind, block, norm, variable = parts(name)
        layer = {"stem": "conv1", "classifier": "conv_preds"}.get(kind) or f"conv_{kind[0]}w_{block}"
        if norm:
            tensors[f"{layer}_bn/{layer}_bn/{KERAS[variable]}{suffix}"] = value
        elif variable == "weight":
            kernel = "depthwise_kernel" if kind == "depthwise" and generation == 2 else "kernel"
            tensors[f"{layer}/{layer}/{kernel}{suffix}"] = channels_last(kind, value)
        else:
            tensors[f"{layer}/{layer}/bias{suffix}"] = value
    return tensors


def keras3_tensors(model: Model) -> dict[str, Tensor]:
    """By path in a ``.weights.h5`` of Keras 3, which counts the layers of each class."""
    order = ["weight", "bias", "running_mean", "running_var"]
    tensors: dict[str, Tensor] = {}
    for name, value in model.parameters.items():
        kind, block, norm, variable = parts(name)
        if norm:
            number = 0 if kind == "stem" else 2 * block - (kind == "depthwise")
            layer, index = "batch_normalization", order.index(variable)
        else:
            number = {"stem": 0, "classifier": 14, "depthwise": block - 1}.get(kind, block)
            layer = "depthwise_conv2d" if kind == "depthwise" else "conv2d"
            index = int(variable == "bias")
            value = channels_last(kind, value) if variable == "weight" else value
        tensors[f"layers/{layer}{f'_{number}' if number else ''}/vars/{index}"] = value
    return tensors


def timm_tensors(model: Model) -> dict[str, Tensor]:
    """Under timm's names."""
    tensors: dict[str, Tensor] = {}
    for name, value in model.parameters.items():
        kind, block, norm, variable = parts(name)
        if kind == "classifier":
            tensors[name] = value
        elif kind in ("stem", "head"):
            module = {"stem": ("conv_stem", "bn1"), "head": ("conv_head", "bn2")}[kind][bool(norm)]
            tensors[f"{module}.{variable}"] = value
        else:
            stage, index = STAGE_OF[block - 1]
            first = kind == "depthwise"
            module = ("bn1" if first else "bn2") if norm else ("conv_dw" if first else "conv_pw")
            tensors[f"blocks.{stage}.{index}.{module}.{variable}"] = value
    return tensors


def sequential_tensors(model: Model) -> dict[str, Tensor]:
    """Under the names of ``nn.Sequential`` of ``nn.Sequential``."""
    tensors: dict[str, Tensor] = {}
    for name, value in model.parameters.items():
        kind, block, norm, variable = parts(name)
        slot = (3 if kind == "pointwise" else 0) + bool(norm)
        tensors[f"fc.{variable}" if kind == "classifier" else f"model.{block}.{slot}.{variable}"] = value
    return tensors


def slim_tensors(model: Model) -> dict[str, Tensor]:
    """Under TF-slim's names."""
    tensors: dict[str, Tensor] = {}
    for name, value in model.parameters.items():
        kind, block, norm, variable = parts(name)
        layer = f"MobilenetV1/Conv2d_{block}" + ("" if kind == "stem" else f"_{kind}")
        if kind == "classifier":
            layer = "MobilenetV1/Logits/Conv2d_1c_1x1"
        if norm:
            tensors[f"{layer}/{SLIM[variable]}"] = value
        elif variable == "weight":
            weights = "depthwise_weights" if kind == "depthwise" else "weights"
            tensors[f"{layer}/{weights}"] = channels_last(kind, value)
        else:
            tensors[f"{layer}/biases"] = value
    return tensors


def varint(number: int) -> bytes:
    """A number of seven bits a byte."""
    result = b""
    while number >= 0x80:
        result, number = result + bytes([number & 0x7F | 0x80]), number >> 7
    return result + bytes([number])


def field(number: int, value: int | bytes) -> bytes:
    """A field of a protocol buffer."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def write_tensor_bundle(prefix: Path, tensors: Mapping[str, Tensor], *, snappy: bool = False) -> None:
    """A TensorFlow checkpoint of one shard."""
    kinds = {"float32": 1, "int64": 9}
    entries, data = [(b"", field(1, 1))], b""
    for name in sorted(tensors):
        value = np.ascontiguousarray(tensors[name])
        shape = b"".join(field(2, field(1, extent)) for extent in value.shape)
        entry = field(1, kinds[str(value.dtype)]) + field(2, shape) + field(4, len(data)) + field(5, value.nbytes)
        entries.append((name.encode(), entry))
        data += value.tobytes()
    prefix.with_name(f"{prefix.name}.data-00000-of-00001").write_bytes(data)
    index, handles = b"", []
    for start in range(0, len(entries), 40):
        piece = block(entries[start : start + 40], snappy=snappy)
        handles.append((entries[min(start + 40, len(entries)) - 1][0], varint(len(index)) + varint(len(piece) - 5)))
        index += piece
    meta, top = varint(len(index)) + varint(0), block(handles)
    footer = meta + varint(len(index)) + varint(len(top) - 5)
    prefix.with_name(f"{prefix.name}.index").write_bytes(index + top + footer.ljust(40, b"\0") + MAGIC)


def block(entries: list[tuple[bytes, bytes]], *, snappy: bool = False) -> bytes:
    """A block of a table, with its trailer. Keys share what they have in common with the key before."""
    content, before = b"", b""
    for key, value in entries:
        shared = next(
            (at for at, (a, b) in enumerate(zip(key, before, strict=False)) if a != b), min(len(key), len(before))
        )
        content += varint(shared) + varint(len(key) - shared) + varint(len(value)) + key[shared:] + value
        before = key
    content += struct.pack("<II", 0, 1)
    if snappy:
        content = snappy_compress(content)
    stored = content + bytes([int(snappy)])
    return stored + masked_crc32c(stored).to_bytes(4, "little")


def snappy_compress(data: bytes) -> bytes:
    """A compressor that finds repeats of four bytes within 2,000."""
    result, at, literal = varint(len(data)), 0, 0

    def flush(end: int) -> bytes:
        pieces = b""
        for start in range(literal, end, 60):
            piece = data[start : min(start + 60, end)]
            pieces += bytes([(len(piece) - 1) << 2]) + piece
        return pieces

    while at + 4 <= len(data):
        found = data.rfind(data[at : at + 4], max(0, at - 2000), at + 3)
        back = at - found
        if found < 0:
            at += 1
            continue
        result += flush(at)
        result += bytes([1 | (4 - 4) << 2 | back >> 8 << 5, back & 255])
        at += 4
        literal = at
    return result + flush(len(data))
