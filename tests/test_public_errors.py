"""Every error that the docstring of a public name lists is raised by that function."""

from __future__ import annotations

import importlib
import inspect
import re
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file
from tests.support.detectors import detector
from tests.support.image_folders import write_tree
from tests.support.random_models import random_int8_model, random_model
from tests.support.runs import make_run
from tests.support.stub_task import StrongestChannel

import mobilenets as m
from mobilenets.architecture.networks.mobilenet_v1 import mobilenet_v1
from mobilenets.benchmark.benchmark import benchmark
from mobilenets.model.subnet import statistics_of
from mobilenets.search.search import search

NETWORK = mobilenet_v1(width_multiplier=0.25, resolution=32, classes=3)
MODEL = random_model(np.random.default_rng(0), NETWORK)
ZEROS = np.zeros((1, 32, 32, 3), np.uint8)
INT8 = random_int8_model(np.random.default_rng(0), NETWORK)
STATISTICS = {(0.25, 32): statistics_of(MODEL)}
FITTED = replace(
    MODEL, subnets=STATISTICS, provenance={"data": {"source": "nowhere", "fingerprint": "0" * 32, "seed": 0}}
)
OTHER_TASK = replace(MODEL, task=StrongestChannel())
DAMAGED = "damaged.safetensors"
UNKNOWN = "keras:0.25-225"
_, DETECTION = detector()
SMALL = m.Settings(width=0.25, resolution=32, epochs=1)

Patch = pytest.MonkeyPatch


def here(call: Callable[[], Any]) -> Callable[[Path, Patch], Any]:
    """A call in a folder where ``pets`` holds images of two classes."""
    return lambda folder, patch: call()


def without_cluster(call: Callable[[], Any]) -> Callable[[Path, Patch], Any]:
    """A call that asks Ray for a cluster that is not there."""

    def init(**_: object) -> None:
        raise ConnectionError("nothing answers")

    def run(folder: Path, patch: Patch) -> Any:
        patch.setitem(sys.modules, "ray", SimpleNamespace(is_initialized=lambda: False, init=init))
        return call()

    return run


def without(package: str, call: Callable[[], Any]) -> Callable[[Path, Patch], Any]:
    """A call where a package is not installed."""

    def run(folder: Path, patch: Patch) -> Any:
        patch.setitem(sys.modules, package, None)
        patch.delitem(sys.modules, "mobilenets.training.quantization_aware", raising=False)
        return call()

    return run


def elsewhere(call: Callable[[], Any]) -> Callable[[Path, Patch], Any]:
    """A call where the engine is told to use an instruction set that does not exist."""

    def run(folder: Path, patch: Patch) -> Any:
        patch.setenv("MOBILENETS_ISA", "abacus")
        return call()

    return run


def report_of(change: Callable[[Path], Any]) -> Callable[[Path, Patch], Any]:
    """The report of a run that something has happened to."""

    def run(folder: Path, patch: Patch) -> Any:
        made = make_run(folder, ("a", "b"))
        change(made)
        return m.report(made)

    return run


def import_of_a_later_version(folder: Path, patch: Patch) -> Any:
    later = {"format": "mobilenets", "format_version": "99"}
    save_file({"a": np.zeros(1, np.float32)}, folder / "later.safetensors", metadata=later)
    return m.import_model(folder / "later.safetensors")


CASES: dict[tuple[str, str], Callable[[Path, Patch], Any]] = {
    ("Budget", "PlanningError"): here(lambda: m.Budget(max_latency_ms=-1)),
    ("Classification", "ModelError"): here(lambda: m.Classification(("a\n",))),
    ("Classifier", "EngineError"): here(lambda: m.Classifier(OTHER_TASK)),
    ("Classifier", "ModelFileError"): here(lambda: m.Classifier(DAMAGED)),
    ("Detection", "ModelError"): here(lambda: m.Detection((), DETECTION.head)),
    ("Detector", "EngineError"): here(lambda: m.Detector(MODEL)),
    ("Detector", "ModelFileError"): here(lambda: m.Detector(DAMAGED)),
    ("Model", "ModelError"): here(lambda: m.Model(NETWORK, {}, MODEL.task)),
    ("Network", "ArchitectureError"): here(lambda: m.Network("empty", 32, 32, (), ())),
    ("Preprocessing", "ModelError"): here(lambda: m.Preprocessing(crop_fraction=0.0)),
    ("Session", "EngineError"): here(lambda: m.Session(MODEL, 0)),
    ("Session", "ModelFileError"): here(lambda: m.Session(DAMAGED)),
    ("Settings", "TrainingError"): here(lambda: m.Settings(epochs=0)),
    ("benchmark", "EngineError"): here(lambda: benchmark(MODEL, against=("abacus",))),
    ("benchmark", "FormatError"): here(lambda: benchmark(UNKNOWN)),
    ("benchmark", "ModelFileError"): here(lambda: benchmark(DAMAGED)),
    ("calibrate", "DataError"): here(lambda: m.calibrate(MODEL, "nowhere")),
    ("calibrate", "EngineError"): here(lambda: m.calibrate(OTHER_TASK, "pets")),
    ("calibrate", "ModelFileError"): here(lambda: m.calibrate(DAMAGED, "pets")),
    ("cost", "ArchitectureError"): here(lambda: m.cost(NETWORK, bytes_per_weight=0)),
    ("evaluate", "DataError"): here(lambda: m.evaluate(MODEL, "pets")),
    ("evaluate", "EngineError"): here(lambda: m.evaluate(OTHER_TASK, "pets")),
    ("evaluate", "ModelFileError"): here(lambda: m.evaluate(DAMAGED, "pets")),
    ("export", "DataError"): here(lambda: m.export(MODEL, "model.c", images="nowhere")),
    ("export", "FormatError"): here(lambda: m.export(MODEL, "model.abacus")),
    ("export", "MissingDependencyError"): without("onnx", lambda: m.export(MODEL, "model.onnx")),
    ("export", "ModelError"): here(lambda: m.export(MODEL, "model.c", images=ZEROS[:, 1:])),
    ("export", "OSError"): here(lambda: m.export(MODEL, "nowhere/model.c")),
    ("extract_subnet", "ArchitectureError"): here(lambda: m.extract_subnet(MODEL, 0.5, 32, pixels=ZEROS)),
    ("extract_subnet", "ModelError"): here(lambda: m.extract_subnet(INT8, 0.25, 32)),
    ("MultiLabel", "ModelError"): here(lambda: m.MultiLabel(("a",), (2.0,))),
    ("Predictor", "EngineError"): here(lambda: m.Predictor(MODEL, threads=0)),
    ("Predictor", "ModelFileError"): here(lambda: m.Predictor(DAMAGED)),
    ("torch_dataset", "DataError"): here(lambda: m.torch_dataset(torch.utils.data.TensorDataset(torch.zeros(0)))),
    ("array_dataset", "DataError"): here(lambda: m.array_dataset(ZEROS, [])),
    ("from_torch", "TrainingError"): here(lambda: m.from_torch(torch.nn.Linear(1, 1), MODEL)),
    ("predict_to_file", "DataError"): here(lambda: m.predict_to_file(MODEL, "nowhere", "labels.csv")),
    ("predict_to_file", "EngineError"): here(lambda: m.predict_to_file(MODEL, "pets", "labels.csv", top=0)),
    ("predict_to_file", "MissingDependencyError"): without(
        "ray", lambda: m.predict_to_file(MODEL, "pets", "labels.csv", ray=True)
    ),
    ("predict_to_file", "ModelFileError"): here(lambda: m.predict_to_file(DAMAGED, "pets", "labels.csv")),
    ("pretrained", "FormatError"): here(lambda: m.pretrained(UNKNOWN)),
    ("to_torch", "TrainingError"): here(lambda: m.to_torch(INT8)),
    ("feature_model", "ModelError"): here(lambda: m.feature_model(MODEL, "nowhere")),
    ("features", "DataError"): here(lambda: m.features(MODEL, ["nowhere.jpg"])),
    ("features", "EngineError"): elsewhere(lambda: m.features(MODEL, [ZEROS[0]])),
    ("features", "InputTypeError"): here(lambda: m.features(MODEL, "nowhere.jpg")),
    ("features", "ModelError"): here(lambda: m.features(MODEL, [ZEROS[0]], layer="nowhere")),
    ("features", "ModelFileError"): here(lambda: m.features(DAMAGED, [ZEROS[0]])),
    ("fit", "ArchitectureError"): here(lambda: m.fit("pets", settings=m.Settings("mobilenet_v0"))),
    ("fit", "DataError"): here(lambda: m.fit("nowhere")),
    ("fit", "FormatError"): here(lambda: m.fit("pets", settings=m.Settings(weights=UNKNOWN))),
    ("fit", "MissingDependencyError"): without("sklearn.datasets", lambda: m.fit("digits")),
    ("fit", "ModelFileError"): here(lambda: m.fit("pets", settings=m.Settings(weights=DAMAGED))),
    ("fit", "TrainingError"): here(lambda: m.fit("pets", settings=m.Settings(recipe="slow"))),
    ("import_model", "FormatError"): here(lambda: m.import_model("pets")),
    ("import_model", "MissingDependencyError"): without("huggingface_hub", lambda: m.import_model("hub:a/b")),
    ("import_model", "ModelFileError"): import_of_a_later_version,
    ("load", "FormatError"): here(lambda: m.load(UNKNOWN)),
    ("load", "ModelFileError"): here(lambda: m.load(DAMAGED)),
    ("load_collection", "DataError"): here(lambda: m.load_collection("nowhere")),
    ("load_collection", "MissingDependencyError"): without("sklearn.datasets", lambda: m.load_collection("digits")),
    ("load_dataset", "DataError"): here(lambda: m.load_dataset("nowhere")),
    ("load_dataset", "MissingDependencyError"): without("sklearn.datasets", lambda: m.load_dataset("digits")),
    ("mobilenet_v1", "ArchitectureError"): here(lambda: mobilenet_v1(width_multiplier=-1)),
    ("plan", "DataError"): here(lambda: m.plan(supernet=FITTED, sizes=((0.25, 32),))),
    ("plan", "ModelFileError"): here(lambda: m.plan(supernet=DAMAGED)),
    ("plan", "PlanningError"): here(lambda: m.plan(precisions="int4")),
    ("quantize", "CompressionError"): here(lambda: m.quantize(MODEL, calibration_images=0)),
    ("quantize", "DataError"): here(lambda: m.quantize(MODEL, calibration="nowhere")),
    ("quantize", "EngineError"): elsewhere(lambda: m.quantize(MODEL, calibration="pets")),
    ("quantize", "MissingDependencyError"): without(
        "torch", lambda: m.quantize(MODEL, calibration="pets", method="trained")
    ),
    ("report", "DataError"): here(lambda: m.report("pets")),
    ("report", "EngineError"): lambda folder, patch: elsewhere(lambda: m.report(make_run(folder, ("a", "b"))))(
        folder, patch
    ),
    ("report", "ModelFileError"): report_of(lambda run: (run / "model.safetensors").write_bytes(b"no tensors")),
    ("report", "OSError"): lambda folder, patch: m.report(make_run(folder, ("a", "b")), "nowhere/report.html"),
    ("save", "ModelError"): here(lambda: m.save(replace(MODEL, provenance={"seed": {1}}), "model.safetensors")),
    ("save", "ModelFileError"): here(lambda: m.save(MODEL, "model.tflite")),
    ("save", "OSError"): here(lambda: m.save(MODEL, "nowhere/model.safetensors")),
    ("search", "ArchitectureError"): here(lambda: search("pets", settings=m.Settings("mobilenet_v0"))),
    ("search", "DataError"): here(lambda: search("nowhere")),
    ("search", "EngineError"): without_cluster(lambda: search("pets", ray="head:10001")),
    ("search", "MissingDependencyError"): without("ray", lambda: search("pets", ray=True)),
    ("search", "PlanningError"): here(lambda: search("pets", precisions="int4")),
    ("search", "TrainingError"): here(lambda: search("pets", settings=m.Settings(channels=1))),
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: Patch) -> Path:
    """The current folder of a call: images of two classes, and a file of a Model that is none."""
    write_tree(tmp_path / "pets", {"cat": 30, "dog": 30})
    (tmp_path / DAMAGED).write_bytes(b"no tensors")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("case", CASES, ids="-".join)
def test_the_error_is_raised(case: tuple[str, str], folder: Path, monkeypatch: Patch) -> None:
    error = getattr(importlib.import_module("mobilenets.errors"), case[1], OSError)
    with pytest.raises(error) as caught:
        CASES[case](folder, monkeypatch)
    assert type(caught.value) is error or error is OSError
    assert str(caught.value)


def test_every_listed_error_has_a_call_that_raises_it() -> None:
    listed = set()
    for name in m.__all__:
        value = getattr(importlib.import_module(f"mobilenets.{m._HOMES[name]}"), name)
        raises = (inspect.getdoc(value) or "").partition("Raises:\n")[2]
        listed |= {(name, error) for error in re.findall(r"^    (\w+Error): ", raises, re.MULTILINE)}
    assert listed == set(CASES)
