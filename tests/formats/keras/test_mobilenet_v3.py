"""Weights of MobileNet V3 alone: by the names of Keras 3, by those of Keras 2, and by numbers in archives."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.support.random_models import random_model

from mobilenets.architecture.catalog import CATALOG
from mobilenets.errors import FormatError
from mobilenets.formats.keras.read import from_keras
from mobilenets.formats.names import keras_v3_names
from mobilenets.model.model import Model, Tensor

NAMES = {checkpoint.network: checkpoint.rows for checkpoint in keras_v3_names()}
NORM = {"weight": "gamma", "bias": "beta", "running_mean": "moving_mean", "running_var": "moving_variance"}
NUMBERS = {name: str(number) for number, name in enumerate(NORM)}


def channels_last(layer: str, value: Tensor) -> Tensor:
    if value.ndim == 2 and layer == "classifier":
        value = value[:, :, None, None]
    if value.ndim != 4:
        return value
    return np.transpose(value, (2, 3, 0, 1) if layer.endswith("depthwise") else (2, 3, 1, 0))


def of_keras_2(name: str) -> str:
    """The name that Keras 2 has for a layer, and the published files."""
    for word in ("depthwise", "expand", "project", "squeeze_excite"):
        name = name.replace(f"_{word}", f"/{word}")
    name = name.replace("_bn", "/BatchNorm").replace("squeeze_excite_conv", "squeeze_excite/Conv")
    return (
        name.replace("logits", "Logits")
        if name.startswith("expanded")
        else name.replace("conv", "Conv").replace("logits", "Logits")
    )


def write(path: Path, model: Model, form: str) -> Path:
    h5py = pytest.importorskip("h5py")
    numbered = form == "archive"
    rows = {
        ours: theirs
        for theirs, ours in NAMES[model.network.name].items()
        if ("2d" in theirs or "zation" in theirs) == numbered
    }
    with h5py.File(path, "w") as file:
        for name, value in model.parameters.items():
            layer, _, kind = name.rpartition(".")
            theirs = rows[layer]
            if numbered:
                variable = NUMBERS[kind]
                file.create_dataset(f"layers/{theirs}/vars/{variable}", data=channels_last(layer, value))
                continue
            variable = NORM[kind] if layer.endswith("batch_norm") else "kernel" if kind == "weight" else "bias"
            if form == "keras 2":
                theirs = of_keras_2(theirs)
                variable = "depthwise_kernel:0" if layer.endswith("depthwise") and kind == "weight" else f"{variable}:0"
            file.create_dataset(f"{theirs}/{theirs}/{variable}", data=channels_last(layer, value))
    return path


@pytest.mark.parametrize("form", ["keras 3", "keras 2", "archive"])
@pytest.mark.parametrize(("name", "width_multiplier"), [*((name, 1.0) for name in NAMES), ("mobilenet_v3_small", 0.75)])
def test_weights_alone_are_read(tmp_path: Path, name: str, width_multiplier: float, form: str) -> None:
    network = CATALOG[name](width_multiplier=width_multiplier, classes=4)
    model = random_model(np.random.default_rng(0), network)
    read = from_keras(write(tmp_path / "weights.h5", model, form))
    assert read.network == network
    assert read.preprocessing.mean == (0.5, 0.5, 0.5)
    for tensor, value in model.parameters.items():
        np.testing.assert_array_equal(read.parameters[tensor], value)


def test_the_names_of_keras_2_are_those_of_the_published_files() -> None:
    assert of_keras_2("conv_bn") == "Conv/BatchNorm"
    assert of_keras_2("expanded_conv_3_squeeze_excite_conv_1") == "expanded_conv_3/squeeze_excite/Conv_1"
    assert of_keras_2("expanded_conv_depthwise_bn") == "expanded_conv/depthwise/BatchNorm"


def test_a_variable_that_does_not_fit_is_named_as_the_file_names_it(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    model = random_model(np.random.default_rng(0), CATALOG["mobilenet_v3_small"](classes=4))
    path = write(tmp_path / "weights.h5", model, "keras 3")
    with h5py.File(path, "a") as file:
        del file["expanded_conv_3_project/expanded_conv_3_project/kernel"]
        file.create_dataset("dense/dense/kernel", data=np.ones((4, 4), np.float32))
    with pytest.raises(FormatError, match=r"dense\.weight belongs to no layer of Keras's mobilenet_v3_small"):
        from_keras(path)
