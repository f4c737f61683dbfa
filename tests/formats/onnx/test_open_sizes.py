"""ONNX files that leave the height and width of their image open."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.support.networks import squeeze_excite_network
from tests.support.random_models import random_model

from mobilenets.errors import FormatError
from mobilenets.formats.importing import import_model
from mobilenets.formats.onnx.write import onnx_graph
from mobilenets.model.model import Model

onnx = pytest.importorskip("onnx")


def write(path: Path, model: Model, *, opened: bool) -> Path:
    """A file without this project's description, for normalized floats."""
    file = onnx_graph(model, pixel_input=False)
    del file.metadata_props[:]
    if opened:
        for axis, name in ((2, "height"), (3, "width")):
            file.graph.input[0].type.tensor_type.shape.dim[axis].dim_param = name
    onnx.save(file, path)
    return path


@pytest.fixture
def model() -> Model:
    return random_model(np.random.default_rng(0), squeeze_excite_network())


def test_a_size_that_the_file_leaves_open_must_be_said(tmp_path: Path, model: Model) -> None:
    path = write(tmp_path / "model.onnx", model, opened=True)
    with pytest.raises(
        FormatError, match=r"leaves the size of its input .* open \(.*×3×\?×\?\); say it, as resolution=N"
    ):
        import_model(path)
    network = import_model(path, resolution=(16, 12)).network
    assert [type(layer) for layer in network.layers] == [type(layer) for layer in model.network.layers]
    assert (network.height, network.width) == (16, 12)
    assert import_model(path, resolution=33).network.height == 33


def test_a_size_that_the_file_says_cannot_be_another(tmp_path: Path, model: Model) -> None:
    path = write(tmp_path / "model.onnx", model, opened=False)
    assert import_model(path, resolution=(16, 12)).network == import_model(path).network
    with pytest.raises(FormatError, match="the file is of a network for 16×12 pixels; 33 was asked for"):
        import_model(path, resolution=33)
