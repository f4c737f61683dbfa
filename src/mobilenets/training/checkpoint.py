"""A training run on disk, so that it can go on after whatever ended it.

One safetensors file, written atomically: at every moment it is either the last state or the one before. Random
numbers need no saving, since they follow from seed and step (:mod:`mobilenets.training.batches`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy.typing as npt
import torch
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save as serialize
from torch import Tensor

from mobilenets.base.atomic_write import write_atomically
from mobilenets.errors import TrainingError

FORMAT = "mobilenets-checkpoint-2"

Arrays = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """The state of a run after some step.

    Attributes:
        settings: What the run was begun with. It can only go on with the same.
        progress: Numbers that are not tensors: step, sums, history. JSON values only.
        tensors: Everything else, by name.
    """

    settings: Mapping[str, Any]
    progress: Mapping[str, Any]
    tensors: Arrays


@dataclass(frozen=True)
class CheckpointFile:
    """Where a run keeps its state.

    Attributes:
        path: The file.
        settings: What the run is started with: it can only go on with the same.
        resume: Whether to go on from what the file holds, if there is one.
    """

    path: Path
    settings: Mapping[str, Any]
    resume: bool = False


def write_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint, whole or not at all.

    Raises:
        TrainingError: If it cannot be written; the one before is then still there.
    """
    metadata = {
        "format": FORMAT,
        "settings": json.dumps(dict(checkpoint.settings)),
        "progress": json.dumps(dict(checkpoint.progress)),
    }
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, serialize(checkpoint.tensors, metadata=metadata))
    except OSError as error:
        raise TrainingError(f"{path} cannot be written: {error.strerror or error}") from None


def read_checkpoint(path: Path, settings: Mapping[str, Any]) -> Checkpoint | None:
    """Read a checkpoint, or None if there is none.

    Args:
        path: The file.
        settings: What the run that wants to go on was started with.

    Raises:
        TrainingError: If the file is damaged, or the run was begun with other settings.
    """
    if not path.exists():
        return None
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            if metadata.get("format") != FORMAT:
                raise TrainingError(f"{path} is not a checkpoint that this version can go on from")
            found = json.loads(metadata["settings"])
            progress = json.loads(metadata["progress"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
    except (SafetensorError, OSError, ValueError, KeyError) as error:
        raise TrainingError(f"{path} cannot be read: {error}") from None
    wanted = json.loads(json.dumps(dict(settings)))
    # Another number of processes gives other bits, which whoever goes on says; threads follow from it.
    may_differ = {"processes"}
    if found.get("processes", 1) != wanted.get("processes", 1):
        may_differ.add("threads")
    for name in wanted:
        if name not in may_differ and found.get(name) != wanted[name]:
            if name == "data":
                raise TrainingError(
                    f"the run in {path.parent} was begun with other images, classes or parts (fingerprint "
                    f"{found.get(name)!s:.8}, not {wanted[name]!s:.8}); resume with those, or start anew elsewhere"
                )
            raise TrainingError(
                f"the run in {path.parent} was begun with {name} {found.get(name)}, not {wanted[name]}; "
                "resume with what it was begun with, or start anew elsewhere"
            )
    return Checkpoint(found, progress, tensors)


def tensors_of(prefix: str, tensors: Mapping[str, Tensor]) -> Arrays:
    """Tensors as a checkpoint holds them."""
    return {f"{prefix}/{name}": tensor.detach().cpu().contiguous().numpy() for name, tensor in tensors.items()}


def restore_tensors(prefix: str, tensors: Mapping[str, Tensor], arrays: Arrays) -> None:
    """Copy what :func:`tensors_of` made back into the same tensors.

    Raises:
        TrainingError: If one is missing or has another shape.
    """
    with torch.no_grad():
        for name, tensor in tensors.items():
            array = arrays.get(f"{prefix}/{name}")
            if array is None or array.shape != tuple(tensor.shape):
                raise TrainingError(f"the checkpoint does not hold {name} with shape {tuple(tensor.shape)}")
            tensor.copy_(torch.from_numpy(array))


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> Arrays:
    """The optimizer's memory: moments and step counts, by the position of their parameter."""
    return {
        f"optimizer/{position}/{name}": value.detach().cpu().contiguous().numpy()
        for position, parameter in _parameters(optimizer)
        for name, value in optimizer.state.get(parameter, {}).items()
        if isinstance(value, Tensor)
    }


def restore_optimizer(optimizer: torch.optim.Optimizer, arrays: Arrays) -> None:
    """Give a new optimizer the memory of an old one.

    Moments are laid out in memory as their parameters are: fused kernels walk through both side by side.
    """
    parameters = dict(_parameters(optimizer))
    for name, array in arrays.items():
        kind, _, rest = name.partition("/")
        if kind != "optimizer":
            continue
        position, _, field = rest.partition("/")
        parameter = parameters[int(position)]
        value = torch.from_numpy(array.copy())
        if value.shape == parameter.shape:
            value = torch.empty_like(parameter, requires_grad=False).copy_(value)
        elif field == "step":
            value = value.to(parameter.device) if optimizer.defaults.get("fused") else value
        optimizer.state[parameter][field] = value


def _parameters(optimizer: torch.optim.Optimizer) -> Iterator[tuple[int, Tensor]]:
    listed = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    return enumerate(listed)
