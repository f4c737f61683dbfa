"""From images with boxes to a trained detector."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from mobilenets.architecture.catalog import DETECTORS, Specification
from mobilenets.architecture.cost import cost
from mobilenets.architecture.network import Network
from mobilenets.architecture.networks.ssd import EXTRAS, centres, ssd, ssdlite
from mobilenets.base.progress import SILENT, Progress
from mobilenets.base.text import plural
from mobilenets.compression.detector_evaluation import compute_outputs
from mobilenets.data.augmentation import Flip
from mobilenets.data.dataset import Dataset
from mobilenets.data.loading import Prepared, prepare
from mobilenets.errors import DataError, TrainingError
from mobilenets.formats.loading import load_model
from mobilenets.model.integer_weights import dequantize
from mobilenets.model.model import Model
from mobilenets.model.preprocessing import Preprocessing, ResizeMode
from mobilenets.tasks.anchors import fitted_levels
from mobilenets.tasks.box_matching import FoundBoxes
from mobilenets.tasks.boxes import GroundTruth
from mobilenets.tasks.detection import Detection, attached_geometry
from mobilenets.tasks.detection_heads import AnchorHead, CentreHead, DetectionHead
from mobilenets.tasks.detection_metrics import DetectionMetrics
from mobilenets.tasks.detection_threshold import chosen_threshold
from mobilenets.training.callbacks import Begun, Callback
from mobilenets.training.checkpoint import CheckpointFile
from mobilenets.training.detection.augmentation import BoxAugmentation
from mobilenets.training.detection.batches import DetectionBatches, Matcher
from mobilenets.training.detection.continued import continued_detector, kept_parameters, resized_detector
from mobilenets.training.detection.losses import AnchorLoss, CentreLoss
from mobilenets.training.detection.matching import AnchorMatcher, CentreMatcher
from mobilenets.training.detection.module import DetectorModule, module_outputs
from mobilenets.training.distributed import once, shared_items
from mobilenets.training.fine_tuning import FINISHING_SHARE, FineTuned
from mobilenets.training.fine_tuning_plan import FEWEST_PATIENT, FEWEST_TELLING, JOINED_SHARE
from mobilenets.training.image_cache import cache_images
from mobilenets.training.loop import train
from mobilenets.training.network import load_parameters, parameters_of, placed
from mobilenets.training.objectives import Objective
from mobilenets.training.optimization import initialize
from mobilenets.training.recipe import TRAINING_MACS, Recipe
from mobilenets.training.run import TrainingRun, fixed
from mobilenets.training.selection import Totals, validated_epoch
from mobilenets.training.settings import PREPROCESSING, Settings, set_up
from mobilenets.training.start import Start, choose_start

RESOLUTION, CENTRES_RESOLUTION = 320, 96
"""Side of the input in pixels where nobody says another."""
ARCHITECTURE, WIDTH = "ssdlite_mobilenet_v2", 0.5
"""Of a detector that is trained from scratch, where nobody says another."""

DETECTION = Recipe(
    name="detection",
    learning_rate=2e-3,
    weight_decay=0.05,
    warmup=0.1,
    batch=16,
    label_smoothing=0.0,
    averaging=0.05,
    kept_stride=4,
    transfer_samples=340,
    samples_seen=120_000,
)
"""Of detectors; docs/detection.md has the figures."""
FEWEST_EPOCHS, MOST_EPOCHS = 12, 300
MOST_CPU_MACS = 3e13
"""Mult-Adds that training takes on a processor, if a dozen epochs do not take more: about half an hour."""
MOST_FINISHING_SHARE = 0.35
"""Share of a limited time that is kept for validation and the test at most."""
TIMED_IMAGES = 4
"""Images that tell what those take, ..."""
JUDGING = 1.5
"""... and what sorting boxes out adds to running the network, as a factor."""
PRIOR = 0.01
"""Score of everything before anything is learned: most anchors answer for nothing."""
PREDICTOR_DEVIATION = 0.01
EVEN_ASPECTS = 1.5
"""Images whose aspect ratios differ by no more than that are all stretched to the input; others are letterboxed, so
that things keep their shapes."""


@dataclass(frozen=True, eq=False)
class _Plan:
    """What training will do, before anything is computed."""

    network: Network
    preprocessing: Preprocessing
    task: Detection
    augmentation: BoxAugmentation
    recipe: Recipe
    run: TrainingRun


def fit_detector(
    start: Model | None,
    dataset: Dataset,
    settings: Settings,
    *,
    seconds: float | None = None,
    checkpoint: Path | None = None,
    resume: bool = False,
    callbacks: Sequence[Callback] = (),
    progress: Progress = SILENT,
) -> FineTuned:
    """Train a detector.

    Args:
        start: A classifier, float32, whose layers become the detector's backbone, or a detector that is trained
            further; None to train from scratch.
        dataset: Images with boxes. Its training images train; its validation images choose, and join in the last third
            of the epochs.
        settings: Architecture, resolution, seed, epochs, device and threads.
        seconds: What all of it may take.
        checkpoint: File of the checkpoint; None for none.
        resume: Whether to go on from the checkpoint, if it is there.
        callbacks: Told of the start and of every epoch.
        progress: Receives progress updates.

    Raises:
        DataError: If there are too few images, or no boxes.
        TrainingError: If the settings do not fit a detector, training diverges, or the checkpoint cannot be read.
    """
    begun = time.monotonic()
    plan = _plan(start, dataset, settings)
    network, run, recipe = plan.network, plan.run, plan.recipe
    progress.note(_in_words(plan, dataset))
    validation = _validation(plan, dataset, progress)
    images = dataset.train + dataset.validation if run.joined is not None else dataset.train
    side = max(network.height, network.width)
    cached = cache_images(images, side, memory_share=settings.memory_share, progress=progress)
    module = _module(plan, start)
    if seconds is not None:
        looked_at = _seconds_per_image(module, run) * (len(dataset.validation) + len(dataset.test))
        finishing = min(FINISHING_SHARE * seconds + looked_at, MOST_FINISHING_SHARE * seconds)
        left = seconds - finishing - (time.monotonic() - begun)
        run = replace(run, seconds=once(lambda: max(left, 0.1)))
    settled = fixed(dataset, network, recipe, run) | {"task": plan.task.encode(), "boxes": asdict(plan.augmentation)}

    def announce(done: int) -> None:
        model = Model(network, parameters_of(module), plan.task, plan.preprocessing)
        for one in callbacks:
            one.on_start(Begun(model, run.epochs, done, "map50_95"))

    trained = train(
        module,
        DetectionBatches(
            cached,
            head_matcher(plan.task.head),
            plan.preprocessing,
            plan.augmentation,
            batch=recipe.batch,
            seed=run.seed,
            device=run.device,
            reserved=int((cached.positions >= len(dataset.train)).sum()),
        ),
        detection_objective(plan.task.head),
        recipe,
        run,
        validation,
        checkpoint=None if checkpoint is None else CheckpointFile(checkpoint, settled, resume),
        begun=announce,
        callbacks=callbacks,
        progress=progress,
    )
    validated = validated_epoch(trained.history, trained.best_epoch)
    threshold, task = validated.validation_threshold, plan.task
    if threshold is not None:
        progress.note(f"boxes are reported from a score of {threshold:g} on, where F1 is best on the validation images")
        task = replace(task, score_threshold=threshold)
    model = Model(network, parameters_of(module), task, plan.preprocessing)
    return FineTuned(
        model,
        trained.history,
        trained.best_epoch,
        replace(run, joined=trained.joined),
        validated.validation_primary,
        recipe,
        None,
    )


def _seconds_per_image(module: DetectorModule, run: TrainingRun) -> float:
    """What validation takes for an image, as a few tell."""
    network = module.network
    images = torch.zeros(TIMED_IMAGES, network.channels, network.height, network.width, device=run.device)
    took = []
    placed(module, run.device).eval()
    for _ in range(2):  # the first prepares its operators
        begun = time.monotonic()
        with torch.inference_mode():
            module(images)
        took.append(time.monotonic() - begun)
    return JUDGING * min(took) / TIMED_IMAGES


def choose_detector_start(
    settings: Settings, dataset: Dataset, recipe: Recipe, *, progress: Progress = SILENT
) -> Start:
    """What a detector's training begins from: what suits a classifier of the backbone's architecture, or a detector.

    Args:
        settings: What somebody has said; ``architecture`` may name a detector.
        dataset: What will be trained on.
        recipe: How training from scratch would be done.
        progress: Receives what was chosen.

    Raises:
        TrainingError: If the weights cannot be trained, are of another width, or of another architecture.
    """
    kind, backbone = detector_architecture(settings)
    named = settings.architecture is not None
    if settings.weights not in (None, "none", "auto"):
        model = dequantize(load_model(settings.weights, progress=progress))
        if isinstance(model.task, Detection):
            return Start(_detector_start(model, settings, kind, backbone), str(settings.weights))
    usual = CENTRES_RESOLUTION if kind == "centres" else RESOLUTION
    of_backbone = replace(
        settings,
        architecture=backbone.name if named else None,
        width=settings.width if settings.width is not None or not named else backbone.width_multiplier,
        resolution=settings.resolution or backbone.resolution or usual,
    )
    start = choose_start(of_backbone, dataset, recipe, progress=progress)
    if named and start.model is not None and start.model.network.name != backbone.name:
        raise TrainingError(f"the weights are of {start.model.network.name}; a detector on {backbone.name} was asked")
    return start


def _detector_start(model: Model, settings: Settings, kind: str, backbone: Specification) -> Model:
    """A detector that somebody wants to train further, at the resolution that they want."""
    name, wanted = model.network.name, f"{kind}_{backbone.name}"
    if settings.architecture is not None and name != wanted:
        raise TrainingError(f"the weights are of {name}; {wanted} was asked")
    width = settings.width or backbone.width_multiplier
    if width not in (None, model.network.width_multiplier):
        raise TrainingError(f"the weights are of width {model.network.width_multiplier:g}; width {width:g} was asked")
    return resized_detector(model, settings.resolution or backbone.resolution or model.network.height)


def planned_detector(start: Model | None, dataset: Dataset, settings: Settings) -> tuple[Network, Detection]:
    """The network that :func:`fit_detector` would train, and its task; arguments and errors are the same."""
    plan = _plan(start, dataset, settings)
    return plan.network, plan.task


def detector_run(start: Model | None, dataset: Dataset, settings: Settings) -> TrainingRun:
    """How long :func:`fit_detector` would train, and on what; arguments and errors are the same."""
    return _plan(start, dataset, settings).run


def head_matcher(head: DetectionHead) -> Matcher:
    """What says which anchors or cells of a head answer for which objects."""
    match head:
        case AnchorHead():
            return AnchorMatcher(head)
        case CentreHead():
            return CentreMatcher(head)


def detection_objective(head: DetectionHead) -> Objective:
    """What a step of a detector with that head minimizes."""
    match head:
        case AnchorHead():
            return AnchorLoss(head)
        case CentreHead():
            return CentreLoss(head)


@dataclass(frozen=True, eq=False)
class DetectionValidation:
    """The primary figure of a detector on validation images, which alone decides.

    Attributes:
        prepared: The images at the network's size, and what is in them.
        preprocessing: Mean and deviation to normalize by.
        task: Finds the objects in the outputs.
        run: The device and the precision.
    """

    prepared: Prepared
    preprocessing: Preprocessing
    task: Detection
    run: TrainingRun

    @property
    def images(self) -> int:
        """Number of validation images."""
        return len(self.prepared.targets)

    def __call__(self, module: DetectorModule) -> Totals:
        """The score of a module in evaluation mode; its loss is what is missing of the figure."""
        prepared, task = self.prepared, self.task

        def found(share: slice) -> list[FoundBoxes]:
            outputs = module_outputs(module, prepared.pixels[share], self.preprocessing, self.run)
            return task.found(outputs, attached_geometry(prepared.targets[share]))

        boxes = shared_items(self.images, found)
        value = task.metrics_of(boxes, prepared.targets).primary.value
        value = 0.0 if math.isnan(value) else value
        threshold = chosen_threshold(boxes, list(prepared.targets), len(task.labels))
        return Totals(value, 1 - value, self.images, threshold=threshold)


def detector_metrics(model: Model, prepared: Prepared) -> DetectionMetrics:
    """Figures of a finished detector on images that all processes share out.

    Args:
        model: A detector.
        prepared: Images of its size, and what is in them.

    Raises:
        DataError: If there are no images.
        TrainingError: If the Model is no detector.
    """
    task = model.task
    if not isinstance(task, Detection):
        raise TrainingError(f"the Model is no detector: its task is {task.kind}")

    def found(share: slice) -> list[FoundBoxes]:
        return task.found(compute_outputs(model, prepared.pixels[share]), attached_geometry(prepared.targets[share]))

    return task.metrics_of(shared_items(len(prepared.targets), found), prepared.targets, skipped=prepared.skipped)


def _validation(plan: _Plan, dataset: Dataset, progress: Progress) -> DetectionValidation:
    network, preprocessing = plan.network, plan.preprocessing
    prepared = prepare(dataset.validation, preprocessing, network.height, network.width, progress=progress)
    return DetectionValidation(prepared, preprocessing, plan.task, plan.run)


def _plan(start: Model | None, dataset: Dataset, settings: Settings) -> _Plan:
    if len(dataset.train) < 2:
        raise DataError(f"there are {len(dataset.train)} training images; training needs two at least")
    sized = replace(settings, recipe=DETECTION if settings.recipe == "default" else settings.recipe)
    recipe, device, precision = set_up(sized)
    kind, specification = detector_architecture(settings)
    backbone = _backbone(start, kind, specification, settings)
    preprocessing = _preprocessing(start, dataset, backbone)
    sizes = box_sizes(dataset.train.targets, preprocessing, backbone.height, backbone.width)
    if not len(sizes):
        raise DataError(f"none of the {len(dataset.train)} training images of {dataset.source} has a box")
    if start is not None and isinstance(start.task, Detection):
        network, head = continued_detector(start, dataset.labels, _usual_sizes(sizes, dataset))
    else:
        network, head = detector_on(backbone, kind, sizes, dataset)
    task = Detection(dataset.labels, head)
    joining = not settings.validation_apart and len(dataset.validation) > 0
    images = len(dataset.train) + (len(dataset.validation) if joining else 0)
    macs = cost(network).macs if device.type == "cpu" else None
    epochs = settings.epochs or detection_epochs(images, recipe, macs, scratch=start is None)
    joined = epochs - max(1, round(JOINED_SHARE * epochs))
    run = TrainingRun(
        epochs,
        frozen=() if start is None else _early_layers(network, recipe.kept_stride),
        seed=settings.seed,
        precision=precision,
        device=device,
        joined=joined if joining and joined > 0 else None,
        patience=max(FEWEST_PATIENT, round(recipe.transfer_patience * epochs))
        if len(dataset.validation) >= FEWEST_TELLING
        else None,
    )
    augmentation = BoxAugmentation(flip=Flip(settings.flip) if settings.flip else Flip.HORIZONTAL)
    return _Plan(network, preprocessing, task, augmentation, recipe, run)


def detector_architecture(settings: Settings) -> tuple[str, Specification]:
    """The kind of detector that settings ask for, and its backbone as the catalog names it.

    Args:
        settings: Their architecture is that of a detector, or of its backbone.

    Returns:
        ``ssd``, ``ssdlite`` or ``centres``, and the backbone.

    Raises:
        ArchitectureError: If the name is unknown.
        TrainingError: If it is not a name.
    """
    if isinstance(settings.architecture, Network):
        raise TrainingError("a detector is built on an architecture of the catalog, not on a Network of one's own")
    named = Specification.parse(settings.architecture or ARCHITECTURE)
    if named.name not in DETECTORS:
        return "ssdlite", named
    kind, _, backbone = named.name.partition("_")
    return kind, replace(named, name=backbone)


def _backbone(start: Model | None, kind: str, specification: Specification, settings: Settings) -> Network:
    if start is not None:
        return start.network
    wanted = (settings.width, specification.width_multiplier, WIDTH)
    usual = CENTRES_RESOLUTION if kind == "centres" else RESOLUTION
    sides = (settings.resolution, specification.resolution, usual)
    chosen = replace(
        specification,
        width_multiplier=next(one for one in wanted if one is not None),
        resolution=next(one for one in sides if one is not None),
    )
    return chosen.network()


def _preprocessing(start: Model | None, dataset: Dataset, backbone: Network) -> Preprocessing:
    """That of the weights, of whole images: stretched where their shapes are alike, else letterboxed."""
    aspects = sorted(truth.size[0] / truth.size[1] for truth in dataset.train.targets)
    narrow, wide = (aspects[round(share * (len(aspects) - 1))] for share in (0.02, 0.98))
    fit = ResizeMode.SQUASH if wide <= EVEN_ASPECTS * narrow else ResizeMode.LETTERBOX
    known = PREPROCESSING if start is None else start.preprocessing
    return replace(known, fit=fit, crop_fraction=1.0, channels=backbone.channels)


def box_sizes(
    truths: npt.NDArray[Any], preprocessing: Preprocessing, height: int, width: int
) -> npt.NDArray[np.float32]:
    """Width and height of every box in sides of a network's input, float32 (n, 2).

    Args:
        truths: The ground truth of some images.
        preprocessing: What brings them to the network's size.
        height: Input height of the network.
        width: Input width of the network.
    """
    sizes = [np.zeros((0, 2), np.float32)]
    for truth in truths:
        assert isinstance(truth, GroundTruth)
        left, top, right, bottom = preprocessing.box(truth.size, height, width)
        boxes = truth.boxes[~truth.ignored]
        window = np.array([right - left, bottom - top], np.float32)
        sizes.append(np.divide(boxes[:, 2:] - boxes[:, :2], window, dtype=np.float32))
    together = np.concatenate(sizes)
    return together[(together > 0).all(axis=1)]


def detector_on(
    backbone: Network, kind: str, sizes: npt.NDArray[np.float32], dataset: Dataset
) -> tuple[Network, DetectionHead]:
    """A detector on a backbone for the objects of some data, and what its outputs mean.

    Args:
        backbone: A classifier.
        kind: ``ssd``, ``ssdlite`` or ``centres``.
        sizes: (n, 2), width and height of the boxes in sides of the input.
        dataset: Its labels are the classes.
    """
    classes = len(dataset.labels)
    if kind == "centres":
        network = centres(backbone, classes=classes)
        shape = network.shapes[network.outputs[0]]
        return network, CentreHead(shape.height, shape.width, _usual_sizes(sizes, dataset))
    build = ssd if kind == "ssd" else ssdlite
    most = build(backbone, classes=classes)
    maps = [(shape.height, shape.width) for shape in (most.shapes[name] for name in most.outputs[::2])]
    levels = fitted_levels(sizes, maps)
    anchors = [len(level.shapes) for level in levels]
    network = build(backbone, classes=classes, anchors=anchors, extras=EXTRAS[: len(levels) - 2])
    return network, AnchorHead(levels)


def _usual_sizes(sizes: npt.NDArray[np.float32], dataset: Dataset) -> tuple[tuple[float, float], ...]:
    """The median size of the boxes of every class; of all where a class has none."""
    labels = np.concatenate([truth.labels[~truth.ignored] for truth in dataset.train.targets])
    result = []
    for number in range(len(dataset.labels)):
        own = sizes[labels == number] if len(labels) == len(sizes) else sizes
        width, height = np.median(own if len(own) else sizes, axis=0)
        result.append((float(width), float(height)))
    return tuple(result)


def detection_epochs(images: int, recipe: Recipe, macs: int | None, *, scratch: bool) -> int:
    """How long to train a detector where nobody says.

    Args:
        images: Training images.
        recipe: How many to show.
        macs: Mult-Adds of the network for one image, where a processor trains; None on a GPU.
        scratch: Whether nothing is learned yet.

    >>> [detection_epochs(images, DETECTION, None, scratch=False) for images in (20, 292, 3000)]
    [139, 62, 31]
    >>> detection_epochs(3000, DETECTION, 400_000_000, scratch=False)
    12
    """
    wanted = recipe.samples_seen / images if scratch else recipe.transfer_samples * math.pow(images, -0.3)
    if macs is not None:
        wanted = min(wanted, max(FEWEST_EPOCHS, MOST_CPU_MACS / (TRAINING_MACS * macs * images)))
    return min(max(math.ceil(wanted), FEWEST_EPOCHS), MOST_EPOCHS)


def _early_layers(network: Network, stride: int) -> tuple[str, ...]:
    """Layers with weights whose maps are at least a ``stride``-th of the image's side: they know edges and colors."""
    return tuple(
        layer.name
        for layer in network.layers
        if layer.has_weight and round(network.height / network.shapes[layer.name].height) <= stride
    )


def _module(plan: _Plan, start: Model | None) -> DetectorModule:
    """The module with the backbone's weights, and predictors that find nothing yet."""
    module = DetectorModule(plan.network)
    initialize(module, plan.recipe, plan.run.seed)
    random = torch.Generator().manual_seed(plan.run.seed & (2**63 - 1))
    with torch.no_grad():
        for name in plan.network.outputs:
            layer = module.layer_module(name)
            layer.weight.normal_(0, PREDICTOR_DEVIATION, generator=random)
            if name.endswith("logits") and isinstance(plan.task.head, AnchorHead):
                assert layer.bias is not None
                layer.bias.fill_(-math.log((1 - PRIOR) / PRIOR))
    if start is not None:
        load_parameters(module, parameters_of(module) | kept_parameters(start, plan.task.labels))
    return module


def _in_words(plan: _Plan, dataset: Dataset) -> str:
    """What is trained, in a line."""
    head, network = plan.task.head, plan.network
    boxes = sum(int((~truth.ignored).sum()) for truth in dataset.train.targets)
    match head:
        case AnchorHead():
            levels = [
                plural(len(level.shapes), "anchor") + f" on {level.rows}×{level.columns}" for level in head.levels
            ]
            shape = f"anchors fitted to {plural(boxes, 'box', 'boxes')}: {', '.join(levels)}"
        case CentreHead():
            shape = f"centres of {plural(boxes, 'object')} on {head.rows}×{head.columns}"
    return f"{network.name} at {network.height}×{network.width}, {shape}"
