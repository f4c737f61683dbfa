"""Layers that join maps, over every pair of bytes: every executor and ONNX Runtime give the reference's bytes.

Scales and zero points are chosen so that many results lie halfway between two bytes, or the last bit of a float away
from it, where another order of operations gives another byte.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from tests.support.byte_pairs import CASES, every_pair, pair_models

from mobilenets.architecture.layers import Activation
from mobilenets.engine.session import INSTRUCTION_SET_VARIABLE, Session, instruction_sets
from mobilenets.formats.onnx.run import session
from mobilenets.formats.onnx.write import onnx_graph
from mobilenets.model import numpy_runtime, reference
from mobilenets.model.integer_weights import dequantize

SETS = [name for name, supported in instruction_sets().items() if supported]


def assert_same(found: Mapping[str, npt.NDArray[Any]], expected: Mapping[str, npt.NDArray[Any]]) -> None:
    for name, values in expected.items():
        np.testing.assert_array_equal(found[name], values, err_msg=name)


@pytest.mark.parametrize(("kind", "activation"), CASES)
def test_the_engine_and_numpy_give_the_bytes_of_the_reference(
    kind: str, activation: Activation, monkeypatch: pytest.MonkeyPatch
) -> None:
    for model in pair_models(kind, activation):
        expected = reference.run_reference(model, every_pair())
        assert len(np.unique(expected["kept"])) > 1
        assert_same(numpy_runtime.run_numpy(model, every_pair()), expected)
        for name in SETS:
            monkeypatch.setenv(INSTRUCTION_SET_VARIABLE, name)
            assert_same(Session(model, threads=1).outputs(every_pair()), expected)


@pytest.mark.parametrize(("kind", "activation"), CASES)
def test_onnxruntime_at_its_defaults_gives_the_bytes_of_the_reference(kind: str, activation: Activation) -> None:
    pytest.importorskip("onnx")
    onnxruntime = pytest.importorskip("onnxruntime")
    for model in pair_models(kind, activation, seed=1):
        running = session(onnx_graph(model).SerializeToString(), options=onnxruntime.SessionOptions())
        found = running.run(["score", "kept"], {"input": every_pair()})
        assert_same(dict(zip(("score", "kept"), found, strict=True)), reference.run_reference(model, every_pair()))


@pytest.mark.parametrize(("kind", "activation"), CASES)
def test_the_integer_network_of_training_gives_the_bytes_of_the_reference(kind: str, activation: Activation) -> None:
    torch = pytest.importorskip("torch")
    from mobilenets.training.integer_network import IntegerNetwork, unfold

    for model in list(pair_models(kind, activation, seed=2))[::3]:
        start = dequantize(model)
        student = IntegerNetwork(unfold(model, start), model).eval()
        pixels = torch.from_numpy(every_pair().transpose(0, 3, 1, 2).copy()).float()
        with torch.no_grad():
            values = student.activations(pixels)
        expected = reference.activations(student.to_model(start), every_pair())
        assert_same({name: value.numpy() for name, value in values.items()}, expected)
