"""Lossless packing of tensors in a Model file.

Of a network of few channels and classes, scales and biases are a good part of the file: as many bytes as a fifth of all
4-bit weights at α = 0.25. So a scale that is a bfloat16 is stored as one, biases that fit 16 bits are stored in 16, and
4-bit weights go two to a byte. In memory all of them have the types of :func:`mobilenets.model.model.parameter_types`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from mobilenets.architecture.network import Network
from mobilenets.errors import ModelError
from mobilenets.model.model import Model, Tensor, parameter_types
from mobilenets.model.quantization import Quantization

BFLOAT16 = np.uint16
"""The upper half of a float32: NumPy has no type of its own for it, and nothing else in a Model is uint16."""

_SUBNETS = "slices."
_SUBNET_NAME = re.compile(r"([0-9]{1,3}\.[0-9]{1,17})-([0-9]{1,5})")


def pack(model: Model) -> dict[str, Tensor]:
    """Tensors as the file holds them.

    Raises:
        ModelError: If weights are declared to use 4 bits and do not.
    """
    packed = {name: np.ascontiguousarray(_stored(model, name, tensor)) for name, tensor in model.parameters.items()}
    for (width, resolution), statistics in model.subnets.items():
        packed[f"{_SUBNETS}{float(width)!r}-{resolution}"] = np.ascontiguousarray(statistics)
    return packed


def take_subnets(tensors: dict[str, Tensor]) -> dict[tuple[float, int], Tensor]:
    """Move the statistics of subnets out of the tensors of a file of version 2.

    Raises:
        ModelError: If one is not named by a width and a resolution.
    """
    subnets = {}
    for name in [name for name in tensors if name.startswith(_SUBNETS)]:
        match = _SUBNET_NAME.fullmatch(name.removeprefix(_SUBNETS))
        if match is None:
            raise ModelError(f"{name:.80} is not named by a width and a resolution")
        subnets[float(match[1]), int(match[2])] = tensors.pop(name)
    return subnets


def unpack(
    tensors: Mapping[str, Tensor], network: Network, quantization: Quantization | None, *, version: int
) -> dict[str, Tensor]:
    """Undo :func:`pack`. Tensors that are what they should be, or nothing that was packed, are left as they are.

    Raises:
        ModelError: If 4-bit weights have the wrong length or are out of range.
    """
    unpacked = dict(tensors)
    if quantization is None:
        return unpacked
    quantization.check(network)
    for name, (dtype, shape) in parameter_types(network, quantization).items():
        layer, _, kind = name.rpartition(".")
        tensor = tensors.get(name)
        if tensor is None:
            continue
        if kind == "weight" and quantization.bits(layer) == 4:
            unpacked[name] = _unpacked_nibbles(name, tensor, shape)
        elif version >= 2 and kind == "bias" and tensor.dtype == np.int16:
            unpacked[name] = read_only(tensor.astype(dtype))
        elif version >= 2 and kind == "weight_scale" and tensor.dtype == BFLOAT16:
            unpacked[name] = read_only((tensor.astype(np.uint32) << 16).view(np.float32))
    return unpacked


def read_only(tensor: Tensor) -> Tensor:
    """The tensor, which nobody can write to any more."""
    tensor.setflags(write=False)
    return tensor


def round_up_to_bfloat16(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The least bfloat16 that is not below each value (or not below the float32 that is nearest to it).

    Args:
        values: Not negative, within float32.

    >>> round_up_to_bfloat16(np.array([0.0, 1.0, 1.001])).tolist()
    [0.0, 1.0, 1.0078125]
    """
    bits = values.astype(np.float32).view(np.uint32)
    rounded = (bits.astype(np.uint64) + 0xFFFF) & 0xFFFF0000
    return rounded.astype(np.uint32).view(np.float32).astype(np.float64)


def _stored(model: Model, name: str, tensor: Tensor) -> Tensor:
    layer, _, kind = name.rpartition(".")
    if model.quantization is None:
        return tensor
    if kind == "weight" and model.quantization.bits(layer) == 4:
        return _packed_nibbles(name, tensor)
    if kind == "bias" and np.array_equal(tensor.astype(np.int16), tensor):
        return tensor.astype(np.int16)
    if kind == "weight_scale":
        bits = np.ascontiguousarray(tensor).view(np.uint32)
        if not np.any(bits & 0xFFFF):
            return (bits >> 16).astype(BFLOAT16)
    return tensor


def _packed_nibbles(name: str, tensor: Tensor) -> Tensor:
    """Two 4-bit weights to a byte, the earlier one in the low half."""
    if tensor.min(initial=0) < -7 or tensor.max(initial=0) > 7:
        raise ModelError(f"{name} is declared to use 4 bits but holds values outside −7 to 7")
    flat = np.append(tensor.ravel(), np.zeros(tensor.size % 2, np.int8)).view(np.uint8)
    packed: Tensor = (flat[0::2] & 15) | (flat[1::2] << 4)
    return packed


def _unpacked_nibbles(name: str, packed: Tensor, shape: tuple[int, ...]) -> Tensor:
    count = int(np.prod(shape, dtype=np.int64))
    if packed.dtype != np.uint8 or packed.shape != ((count + 1) // 2,):
        raise ModelError(f"{name} has shape {packed.shape}; 4-bit weights need {((count + 1) // 2,)} of uint8")
    halves = np.stack([packed & 15, packed >> 4], axis=1).ravel()[:count].astype(np.int8)
    if np.any(halves == 8):  # −8 in two's complement
        raise ModelError(f"{name} holds values outside −7 to 7")
    return read_only(np.where(halves > 7, halves - 16, halves).astype(np.int8).reshape(shape))
