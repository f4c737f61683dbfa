"""Comparison of networks: each trained on the same images by one recipe, as in the paper's Tables 4, 5, 8 and 9."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mobilenets.architecture.catalog import CATALOG, Specification
from mobilenets.architecture.layers import BatchNorm
from mobilenets.architecture.network import Network
from mobilenets.architecture.rescale import with_resolution
from mobilenets.base.arguments import check_number
from mobilenets.base.atomic_write import write_atomically
from mobilenets.base.progress import SILENT, Progress
from mobilenets.base.text import plural
from mobilenets.data.dataset import Dataset, check_source
from mobilenets.data.description import described_dataset
from mobilenets.data.reading import Reading
from mobilenets.errors import ArchitectureError, DataError, TrainingError
from mobilenets.formats.loading import check_named, load_model, names_a_model
from mobilenets.formats.registry import readable
from mobilenets.model.file import load
from mobilenets.model.integer_weights import dequantize
from mobilenets.model.model import Model
from mobilenets.search.costs import ModelCost, measure_costs
from mobilenets.search.devices import microcontroller_named
from mobilenets.search.microcontroller import MicrocontrollerCost
from mobilenets.tasks.classification_metrics import ClassificationMetrics
from mobilenets.training.beforehand import check_width
from mobilenets.training.run_folder import MODEL_FILE, claim, is_finished, is_unfinished, read_metrics, write_run

if TYPE_CHECKING:
    from mobilenets.training.result import Fitted
    from mobilenets.training.settings import Settings

PLAN_FILE = "comparison.json"


@dataclass(frozen=True, eq=False)
class ComparedNetwork:
    """One network of a comparison, trained.

    Attributes:
        name: As it was asked for, such as ``mobilenet_v1@0.5-160``.
        model: The Model.
        evaluation: Figures on the test images.
        cost: Costs, with a latency that was measured side by side with the others.
        epochs: Passes over the training images.
        seconds: Seconds that its training took.
        on_device: What its C file would take of a microcontroller in int8; None where none is named.
    """

    name: str
    model: Model
    evaluation: ClassificationMetrics
    cost: ModelCost
    epochs: int
    seconds: float
    on_device: MicrocontrollerCost | None = None

    @property
    def size(self) -> str:
        """Its name with the width and resolution that it has; of weights that it began from, their name."""
        network = self.model.network
        if self.name.partition("@")[0] not in CATALOG:
            return f"{self.name.rpartition('/')[2]} at {network.height}"
        return str(Specification(network.name, network.width_multiplier, network.height))

    def to_json(self) -> dict[str, Any]:
        """JSON-ready figures."""
        network = self.model.network
        return {
            "name": self.name,
            "width_multiplier": network.width_multiplier,
            "resolution": network.height,
            "top1": self.evaluation.top1,
            "top1_interval": list(self.evaluation.top1_interval),
            "images": self.evaluation.images,
            **asdict(self.cost),
            "epochs": self.epochs,
            "seconds": self.seconds,
            **({} if self.on_device is None else {"on_device": asdict(self.on_device)}),
        }


def compare(
    source: str | Path,
    models: Sequence[str],
    output: str | Path,
    settings: Settings,
    *,
    reading: Reading = Reading(),
    minutes: float | None = None,
    resume: bool = False,
    replace_existing: bool = False,
    ray: bool | str = False,
    device: str | None = None,
    progress: Progress = SILENT,
) -> list[ComparedNetwork]:
    """Train networks, test each once, and measure what they cost.

    Every convolution of every network is followed by a batch norm, as MobileNet's are: one recipe then suits all.

    Args:
        source: Labeled images, as for ``fit``.
        models: Names such as ``mobilenet_v1@0.5-160`` or ``squeezenet``, trained from scratch; or what training is to
            start from: published weights such as ``keras:0.25-224``, or the path of a Model.
        output: Folder that gets one folder per network.
        settings: Recipe, seed and threads of all trainings. Its resolution replaces those of the names; its epochs, if
            given, are those of every network.
        reading: What the source does not say itself.
        minutes: Training time of each network. How many epochs that is, is measured before any training. Without
            minutes and epochs, each network gets the epochs that ``fit`` would give it.
        resume: Continue an unfinished comparison in the output folder; networks that are trained are kept.
        replace_existing: Overwrite a comparison in the output folder.
        ray: Whether the networks are trained beside each other on a Ray cluster; or the cluster's address. The images
            must lie at the same paths on its nodes. Costs are measured here.
        device: A microcontroller, such as ``cortex-m4``: what the C file of each network would take there in int8.
        progress: Receives progress updates.

    Raises:
        ArchitectureError: If a name is unknown, or a network takes no images of that size.
        DataError: If the images cannot be used.
        TrainingError: If the settings contradict each other, the output folder holds another comparison, or a network
            has no time for one epoch.
        EngineError: If the Ray cluster cannot be reached, or has no node with as many cores as a training has threads.
        MissingDependencyError: If Ray is asked for and is not installed.
        PlanningError: If no microcontroller is called so, or a network's instructions are not known there.
    """
    target = None if device is None else microcontroller_named(device)
    folder = Path(output)
    if minutes is not None:
        check_number("minutes", minutes, TrainingError, above=0)
    if minutes is not None and settings.epochs is not None:
        raise TrainingError("give either minutes or epochs: one of them follows from the other")
    if len(set(models)) < len(models) or not models:
        raise TrainingError("name every network once, and one at least")
    from mobilenets.training.run_folder import check_run_path
    from mobilenets.training.settings import image_side
    from mobilenets.training.step_timing import planned_epochs

    check_run_path(folder)
    _networks(models, settings, classes=2, side=None)  # what cannot be built is said before anything is read
    dataset = described_dataset(source, settings.seed, reading, progress)
    asked = _asked(dataset, models, settings, minutes)
    epochs = _begun(folder, asked, resume=resume, replace_existing=replace_existing)
    networks = _networks(models, settings, classes=len(dataset.labels), side=image_side(dataset.train))
    if epochs is None:
        epochs = planned_epochs(dataset, networks, settings, minutes, progress=progress)
        _write(folder / PLAN_FILE, {"asked": asked, "epochs": epochs})
    on_device = None if target is None else {name: target.cost_of(network) for name, network in networks.items()}
    chosen = {
        folder / _folder_name(name): _settings_of(name, networks[name], settings, epochs[name]) for name in models
    }
    anew = replace_existing and not resume
    if ray is False:
        for place, one in chosen.items():
            _train(dataset, place, one, anew=anew, progress=progress)
    else:
        _train_beside(dataset, chosen, ray, anew=anew, progress=progress)
    compared = _compared(folder, models, progress)
    if on_device is not None:
        compared = [replace(one, on_device=on_device[one.name]) for one in compared]
    figures = [one.to_json() for one in compared]
    _write(folder / PLAN_FILE, {"asked": asked, "epochs": epochs, "results": figures})
    return compared


def check_comparison(source: str, models: Sequence[str], *, resolution: int | None = None) -> None:
    """Raise what :func:`compare` would for names that nobody knows, as far as it can be told without PyTorch.

    Args:
        source: What the networks are trained on.
        models: Names of architectures, and what :func:`~mobilenets.formats.loading.load_model` reads.
        resolution: Side of the input in pixels of all.

    Raises:
        DataError: If there is no such source.
        ArchitectureError: If an architecture is unknown, or has no network of such a size.
        ModelFileError: If nothing is called so.
        FormatError: If weights cannot be read, or not be had.
    """
    check_source(source)
    for name in models:
        if _begins_from(name):
            load_model(name)
        elif ":" in name or Path(name).suffix in _suffixes():
            check_named(name)
        else:
            _architecture(name, resolution, classes=2)


def _suffixes() -> set[str]:
    """Of files that are read as Models."""
    return {suffix for row, _ in readable().values() for suffix in row.suffixes}


def _architecture(name: str, resolution: int | None, *, classes: int, otherwise: int | None = None) -> Network:
    """The network that a name stands for, at a resolution that is given, or named, or otherwise that of the images."""
    named = Specification.parse(name)
    check_width(named.width_multiplier)
    wanted = resolution or named.resolution or otherwise
    try:
        return replace(named, resolution=wanted).network(classes=classes, batch_norm=BatchNorm())
    except ArchitectureError as error:
        raise ArchitectureError(f"{name}: {error}; say another with resolution=N") from None


# Before the training --------------------------------------------------------------------------------------------------


def _networks(models: Sequence[str], settings: Settings, *, classes: int, side: int | None) -> dict[str, Network]:
    """The networks by name; their sizes are those of the settings or of their names, or follow from the images'."""
    from mobilenets.training.settings import usual_resolution

    usual, built = side and usual_resolution(side), {}
    for name in models:
        if _begins_from(name):
            built[name] = _network_of_weights(name, settings, classes, side)
        else:
            built[name] = _architecture(name, settings.resolution, classes=classes, otherwise=usual)
    return built


def _begins_from(name: str) -> bool:
    """Whether a name is that of weights to start from, and not of an architecture."""
    return name.partition("@")[0] not in CATALOG and names_a_model(name)


def _network_of_weights(name: str, settings: Settings, classes: int, side: int | None) -> Network:
    """The network that training from some weights gives, on images of that side if it is known."""
    from mobilenets.training.head import check_trainable, with_classes
    from mobilenets.training.settings import working_side

    model = dequantize(load_model(name))
    check_trainable(model)
    network = model.network
    resolution = settings.resolution or (side and working_side(network, side))
    if resolution and resolution != network.height:
        network = with_resolution(network, resolution, resolution)
    return with_classes(network, classes)


def _folder_name(name: str) -> str:
    """A folder's name for a network; colons and slashes are those of weights."""
    own = str(Path(name).with_suffix("")) if Path(name).is_file() else name  # a folder called like a file would confuse
    return re.sub(r"[:/\\]+", "-", own).strip("-.")


def _asked(dataset: Dataset, models: Sequence[str], settings: Settings, minutes: float | None) -> dict[str, Any]:
    """What must be the same for a comparison to go on."""
    recipe = settings.recipe if isinstance(settings.recipe, str) else settings.recipe.name
    return {
        "data": dataset.fingerprint,
        "models": list(models),
        "minutes": minutes,
        "epochs": settings.epochs,
        "resolution": settings.resolution,
        "recipe": recipe,
        "seed": settings.seed,
    }


def _begun(folder: Path, asked: Mapping[str, Any], *, resume: bool, replace_existing: bool) -> dict[str, int] | None:
    """The epochs of a comparison that lies in the folder, if it is to go on; None where a new one begins."""
    path = folder / PLAN_FILE
    if replace_existing and not resume:
        return None
    if not path.exists():
        return None
    if not resume:
        raise TrainingError(
            f"{folder} holds a comparison: go on with resume=True, or start anew with replace_existing=True"
        )
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        begun, epochs = found["asked"], {name: int(found["epochs"][name]) for name in asked["models"]}
    except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise TrainingError(f"{path} cannot be read: {error}") from None
    for name, wanted in asked.items():
        if begun.get(name) != wanted:
            raise TrainingError(
                f"the comparison in {folder} was begun with {name} {begun.get(name)}, not {wanted}; "
                "resume with what it was begun with, or start anew elsewhere"
            )
    return epochs


def _write(path: Path, value: Mapping[str, Any]) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, json.dumps(value, indent=2, ensure_ascii=False).encode())
    except OSError as error:
        raise TrainingError(f"{path} cannot be written: {error.strerror or error}") from None


# The training ---------------------------------------------------------------------------------------------------------


def _settings_of(name: str, network: Network, settings: Settings, epochs: int) -> Settings:
    """How a network of a comparison is trained."""
    chosen = replace(settings, resolution=network.height, epochs=epochs)
    if _begins_from(name):
        return replace(chosen, weights=name)
    return replace(chosen, architecture=name, weights=None, batch_norm=True)


def _train(dataset: Dataset, folder: Path, settings: Settings, *, anew: bool, progress: Progress) -> None:
    """Train one network, go on with it, or leave it as it is where it is done."""
    from mobilenets.training.fit import fit

    if not anew and is_finished(folder):
        progress.note(f"{settings.weights or settings.architecture} is trained already")
        return
    progress.note(_in_words(settings))
    resume = not anew and is_unfinished(folder)
    fit(dataset, folder, settings, resume=resume, replace_existing=anew, progress=progress)


def _in_words(settings: Settings) -> str:
    named = settings.weights or settings.architecture
    return f"{named}, {settings.resolution} pixels, {plural(settings.epochs or 0, 'epoch')}"


def _train_beside(
    dataset: Dataset, chosen: Mapping[Path, Settings], ray: bool | str, *, anew: bool, progress: Progress
) -> None:
    """Train the networks that are not done beside each other; each is written as soon as it is there."""
    from mobilenets.training.workers import workers_of

    left = {folder: settings for folder, settings in chosen.items() if anew or not is_finished(folder)}
    if not left:
        return
    for folder in left:
        claim(folder, resume=not anew, replace_existing=anew)
    any_one = next(iter(left.values()))
    workers = workers_of(ray, any_one.threads, any_one.device, progress)
    items = [workers.settled(settings) for settings in left.values()]
    folders = list(left)
    for number, result in workers.results(partial(_fitted, dataset), items):
        write_run(result.of(dataset), folders[number])
        progress.note(f"trained: {_in_words(items[number])}")


def _fitted(dataset: Dataset, settings: Settings) -> Fitted:
    """What a worker does."""
    from mobilenets.training.fit import fit
    from mobilenets.training.result import Fitted

    return Fitted.by(fit(dataset, settings=settings))


def _compared(folder: Path, models: Sequence[str], progress: Progress) -> list[ComparedNetwork]:
    """What was trained, read back and measured turn by turn."""
    trained = {name: load(folder / _folder_name(name) / MODEL_FILE) for name in models}
    costs = measure_costs(list(trained.values()), progress=progress)
    compared = []
    for (name, model), cost in zip(trained.items(), costs, strict=True):
        metrics = read_metrics(folder / _folder_name(name))
        try:
            evaluation, epochs = ClassificationMetrics.from_json(metrics["test"]), len(metrics["epochs"])
            compared.append(ComparedNetwork(name, model, evaluation, cost, epochs, float(metrics["seconds"])))
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise DataError(
                f"the figures in {folder / _folder_name(name)} are not those that fit writes: {error!r}"
            ) from None
    return compared
