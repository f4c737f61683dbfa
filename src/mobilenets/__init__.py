"""MobileNets: from a folder of images and a budget to the best small model that meets it.

The names below are the public interface. Each is imported when it is first used, so that ``import mobilenets`` is
quick, and so that prediction works where PyTorch is not installed.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mobilenets.architecture.catalog import CATALOG as CATALOG
    from mobilenets.architecture.cost import cost as cost
    from mobilenets.architecture.network import Network as Network
    from mobilenets.architecture.networks.mobilenet_v1 import mobilenet_v1 as mobilenet_v1
    from mobilenets.benchmark.benchmark import benchmark as benchmark
    from mobilenets.data.arrays import array_dataset as array_dataset
    from mobilenets.data.dataset import load_collection as load_collection
    from mobilenets.data.dataset import load_dataset as load_dataset
    from mobilenets.engine.bulk.prediction import predict_to_file as predict_to_file
    from mobilenets.engine.calibrate import calibrate as calibrate
    from mobilenets.engine.detector import Detector as Detector
    from mobilenets.engine.evaluate import evaluate as evaluate
    from mobilenets.engine.features import features as features
    from mobilenets.engine.predictor import Classifier as Classifier
    from mobilenets.engine.predictor import Predictor as Predictor
    from mobilenets.engine.session import Session as Session
    from mobilenets.errors import MobileNetsError as MobileNetsError
    from mobilenets.formats.exporting import export as export
    from mobilenets.formats.importing import import_model as import_model
    from mobilenets.formats.loading import load as load
    from mobilenets.formats.loading import pretrained as pretrained
    from mobilenets.model.features import feature_model as feature_model
    from mobilenets.model.file import save as save
    from mobilenets.model.model import Model as Model
    from mobilenets.model.preprocessing import Preprocessing as Preprocessing
    from mobilenets.model.subnet import extract_subnet as extract_subnet
    from mobilenets.reports.run_report import report as report
    from mobilenets.search.budget import Budget as Budget
    from mobilenets.search.plan import plan as plan
    from mobilenets.search.search import search as search
    from mobilenets.tasks.classification import Classification as Classification
    from mobilenets.tasks.detection import Detection as Detection
    from mobilenets.tasks.multilabel import MultiLabel as MultiLabel
    from mobilenets.training.callbacks import Callback as Callback
    from mobilenets.training.fit import fit as fit
    from mobilenets.training.quantize import quantize as quantize
    from mobilenets.training.settings import Settings as Settings
    from mobilenets.training.torch_data import torch_dataset as torch_dataset
    from mobilenets.training.torch_model import from_torch as from_torch
    from mobilenets.training.torch_model import to_torch as to_torch

__version__ = "0.1.0"

_HOMES = {
    "Budget": "search.budget",
    "CATALOG": "architecture.catalog",
    "Callback": "training.callbacks",
    "Classification": "tasks.classification",
    "Classifier": "engine.predictor",
    "Detection": "tasks.detection",
    "Detector": "engine.detector",
    "MobileNetsError": "errors",
    "Model": "model.model",
    "MultiLabel": "tasks.multilabel",
    "Network": "architecture.network",
    "Predictor": "engine.predictor",
    "Preprocessing": "model.preprocessing",
    "Session": "engine.session",
    "Settings": "training.settings",
    "array_dataset": "data.arrays",
    "benchmark": "benchmark.benchmark",
    "calibrate": "engine.calibrate",
    "cost": "architecture.cost",
    "evaluate": "engine.evaluate",
    "export": "formats.exporting",
    "extract_subnet": "model.subnet",
    "feature_model": "model.features",
    "features": "engine.features",
    "fit": "training.fit",
    "from_torch": "training.torch_model",
    "import_model": "formats.importing",
    "load": "formats.loading",
    "load_collection": "data.dataset",
    "load_dataset": "data.dataset",
    "mobilenet_v1": "architecture.networks.mobilenet_v1",
    "plan": "search.plan",
    "predict_to_file": "engine.bulk.prediction",
    "pretrained": "formats.loading",
    "quantize": "training.quantize",
    "report": "reports.run_report",
    "save": "model.file",
    "search": "search.search",
    "to_torch": "training.torch_model",
    "torch_dataset": "training.torch_data",
}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'mobilenets' has no attribute {name!r}")
    try:
        module = importlib.import_module(f"mobilenets.{_HOMES[name]}")
        # A package of the same name is this function too, and stands here from now on.
        return getattr(module, name) if _HOMES[name] != f"{name}.{name}" else globals()[name]
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        from mobilenets.errors import MissingDependencyError

        raise MissingDependencyError("torch", "train") from None


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
