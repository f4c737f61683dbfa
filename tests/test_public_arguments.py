"""Whatever is of a wrong type is refused by every public function: its name, what it must be, and what came."""

from __future__ import annotations

import dataclasses
import inspect
import math
import typing
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.support.detectors import detector
from tests.support.random_models import random_model

import mobilenets
from mobilenets import Budget, Classification, Settings, mobilenet_v1
from mobilenets.data.augmentation import Augmentation
from mobilenets.errors import MobileNetsError
from mobilenets.model.file import save
from mobilenets.search.measuring import measure_profile
from mobilenets.training.recipe import Recipe

NETWORK = mobilenet_v1(width_multiplier=0.25, resolution=32, classes=3)
MODEL = random_model(np.random.default_rng(0), NETWORK)
DETECTION_NETWORK, DETECTION = detector()
DETECTOR = random_model(np.random.default_rng(0), DETECTION_NETWORK, task=DETECTION)


class Unexpected:
    """Of no type that anything takes."""


NEEDED: Mapping[str, Mapping[str, Any]] = {
    "Classification": {"labels": ("a", "b")},
    "Classifier": {"model": MODEL},
    "Detection": {"labels": ("a", "b"), "head": DETECTION.head},
    "Detector": {"model": DETECTOR},
    "MultiLabel": {"labels": ("a", "b")},
    "Predictor": {"model": MODEL},
    "torch_dataset": {"train": torch.utils.data.TensorDataset(torch.zeros(8, 3, 8, 8), torch.arange(8) % 2)},
    "Model": {"network": NETWORK, "parameters": MODEL.parameters, "task": Classification(("a", "b", "c"))},
    "Network": {"name": "x", "height": 32, "width": 32, "layers": NETWORK.layers, "outputs": NETWORK.outputs},
    "Session": {"model": MODEL},
    "benchmark": {"model": MODEL, "seconds": 0.0},
    "calibrate": {"model": MODEL, "data": "nowhere"},
    "cost": {"network": NETWORK},
    "evaluate": {"model": MODEL, "data": "digits"},
    "export": {"model": MODEL, "path": "nowhere/model.c"},
    "extract_subnet": {"supernet": MODEL, "width_multiplier": 0.25, "resolution": 32},
    "array_dataset": {"images": [], "targets": []},
    "from_torch": {"module": torch.nn.Identity(), "model": MODEL},
    "predict_to_file": {"model": MODEL, "sources": "nowhere", "output": "nowhere/labels.csv"},
    "pretrained": {"name": "keras:0"},
    "to_torch": {"model": MODEL},
    "feature_model": {"model": MODEL},
    "features": {"model": MODEL, "images": ["nowhere.png"]},
    "fit": {"source": "nowhere"},
    "import_model": {"source": "nowhere"},
    "load": {"source": "nowhere"},
    "load_collection": {"source": "nowhere"},
    "load_dataset": {"source": "nowhere"},
    "quantize": {"model": MODEL, "calibration": "nowhere"},
    "report": {"run": "nowhere"},
    "save": {"model": MODEL, "path": "nowhere/model.safetensors"},
    "search": {"source": "nowhere"},
}
"""What a call cannot do without; that a path leads nowhere ends every call that is not refused before."""


def parameters(function: Callable[..., Any]) -> list[str]:
    if dataclasses.is_dataclass(function):
        return [field.name for field in dataclasses.fields(function)]
    listed = inspect.signature(function).parameters.values()
    return [one.name for one in listed if one.kind not in (one.VAR_KEYWORD, one.VAR_POSITIONAL)]


def function_of(name: str) -> Callable[..., Any]:
    """The function itself, where a package of the same name stands before it."""
    home = __import__(f"mobilenets.{mobilenets._HOMES[name]}", fromlist=[name])
    function: Callable[..., Any] = getattr(home, name)
    return function


CALLABLE = [name for name in mobilenets.__all__ if name not in ("CATALOG", "MobileNetsError")]
ARGUMENTS = [
    (name, argument) for name in CALLABLE for argument in parameters(function_of(name)) if argument != "progress"
]


@pytest.mark.parametrize(("name", "argument"), ARGUMENTS)
def test_a_value_of_another_type_is_refused(name: str, argument: str) -> None:
    given = {**NEEDED.get(name, {}), argument: Unexpected()}
    with pytest.raises(MobileNetsError) as caught:
        function_of(name)(**given)
    message = str(caught.value).replace("_", " ")
    assert argument.replace("_", " ").removesuffix("es") in message
    assert "Unexpected" in message


def takes_numbers(hint: Any) -> bool:
    return hint in (int, float) or any(map(takes_numbers, typing.get_args(hint)))


def hint_of(name: str, argument: str) -> Any:
    function = function_of(name)
    plain = inspect.isclass(function) and not dataclasses.is_dataclass(function)
    return typing.get_type_hints(function.__init__ if plain else function).get(argument)


NUMBERS = [one for one in ARGUMENTS if takes_numbers(hint_of(*one))]
ANY_LOSS = ("quantize", "max_drop", math.inf)
"""The one infinity that means something."""


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, -1])
@pytest.mark.parametrize(("name", "argument"), NUMBERS)
def test_a_number_out_of_its_domain_is_refused(name: str, argument: str, value: float) -> None:
    if (name, argument, value) == ANY_LOSS:
        return
    with pytest.raises(MobileNetsError) as caught:
        function_of(name)(**{**NEEDED.get(name, {}), argument: value})
    assert argument.replace("_", " ").removesuffix("es") in str(caught.value).replace("_", " ")
    assert str(value) in str(caught.value)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, -1, "1"])
@pytest.mark.parametrize("kind", [Recipe, Augmentation])
def test_every_number_of_a_recipe_has_a_domain(kind: Any, value: Any) -> None:
    needed = {"name": "mine"} if kind is Recipe else {}
    numbers = [name for name, hint in typing.get_type_hints(kind).items() if takes_numbers(hint)]
    assert len(numbers) > 5
    for name in set(numbers) - {"growth"}:
        with pytest.raises(MobileNetsError, match=f"{name} must be .*{value}"):
            kind(**needed, **{name: value})


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Settings(seed=-1), "seed must be at least 0, not -1"),
        (lambda: Settings(epochs=0), "epochs must be at least 1, not 0"),
        (lambda: Settings(recipe=3), "recipe must be text or a Recipe, not 3"),  # type: ignore[arg-type]
        (lambda: mobilenets.load_dataset("digits", seed=-1), "seed must be at least 0, not -1"),
        (lambda: measure_profile(threads=1), "threads must be a sequence, each an integer, not 1"),  # type: ignore[arg-type]
        (lambda: mobilenets.cost(NETWORK, bytes_per_weight=-1), "bytes_per_weight must be above 0, not -1"),
        (lambda: mobilenets.mobilenet_v1(padding_policy="same"), "padding_policy must be a PaddingPolicy, not 'same'"),  # type: ignore[arg-type]
        (lambda: function_of("benchmark")(MODEL, batch=0), "batch must be at least 1, not 0"),
        (lambda: function_of("benchmark")(MODEL, threads=2), "threads must be a sequence, each an integer, not 2"),
        (lambda: function_of("benchmark")(MODEL, seconds=-1), "seconds must be at least 0, not -1"),
    ],
)
def test_a_value_out_of_range_is_refused(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(MobileNetsError) as caught:
        call()
    assert message in str(caught.value)


def test_a_session_takes_a_path(tmp_path: Path) -> None:
    save(MODEL, tmp_path / "model.safetensors")
    pixels = np.zeros((1, 32, 32, 3), np.uint8)
    expected = mobilenets.Session(MODEL, 1).run(pixels)
    np.testing.assert_array_equal(mobilenets.Session(tmp_path / "model.safetensors", 1).run(pixels), expected)


def test_a_budget_takes_numbers() -> None:
    with pytest.raises(MobileNetsError, match="max_macs"):
        Budget(max_macs="many")  # type: ignore[arg-type]
