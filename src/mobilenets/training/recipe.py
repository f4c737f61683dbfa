"""How to train, as data: everything about a training run that is neither the network nor the images."""

from __future__ import annotations

import difflib
import math
from dataclasses import dataclass, field, replace
from enum import StrEnum

from mobilenets.architecture.layers import Multiply
from mobilenets.architecture.network import Network
from mobilenets.base.arguments import check_integer, check_number
from mobilenets.data.augmentation import Augmentation, Flip
from mobilenets.errors import TrainingError

FEWEST_EPOCHS, MOST_EPOCHS = 10, 250
FEWEST_TRANSFER_EPOCHS = 3
FEWEST_AFFORDED_EPOCHS = 5
MOST_CPU_MACS = 1.2e13
"""Mult-Adds that fine-tuning takes on a processor, if five epochs do not take more: about ten minutes."""
FEW_CPU_MACS = 4e12
"""Mult-Adds that a processor spends on showing few images more often than their number asks for: some minutes."""
TRAINING_MACS = 3
"""A step of training computes about so many times what answering does: forward, and two kinds of gradients."""
FEW_IMAGES = 2000
"""Training images below which steps of fine-tuning are smaller: few of them in all would be too few."""
TRANSFER_WARMUP = 0.1
"""Share of the steps of fine-tuning in which the learning rate rises, at least."""
REFERENCE_RESOLUTION = 128
"""Pixels at which recipes say how many images to show."""
LARGEST_GRADIENT = 1.0
"""Norm that gradients of networks with gates are scaled down to."""
SMALLEST_GROWING = 64
"""Pixels below which images are not made smaller in the first part of a run."""


class Optimizer(StrEnum):
    """How gradients become steps."""

    ADAMW = "adamw"
    RMSPROP = "rmsprop"
    SGD = "sgd"


class Schedule(StrEnum):
    """How the learning rate falls after warm-up."""

    COSINE = "cosine"
    """To zero along half a cosine."""
    EXPONENTIAL = "exponential"
    """By a fixed factor in every epoch."""


class Initialization(StrEnum):
    """What the weights are before training."""

    HE = "he"
    """Normal, variance 2 / fan-in. Source: He et al. 2015, arXiv:1502.01852."""
    TRUNCATED_NORMAL = "truncated_normal"
    """Normal of deviation 0.09, cut off at two deviations, as TF-slim does."""


def warm_cosine(highest: float, step: int, steps: int, warmup: float) -> float:
    """A learning rate that rises evenly from zero, then falls to zero along half a cosine.

    Args:
        highest: What it rises to.
        step: From 0.
        steps: Steps of the whole run.
        warmup: Share of them in which it rises.

    >>> [round(warm_cosine(1.0, step, 10, 0.2), 2) for step in (0, 1, 2, 6, 9)]
    [0.5, 1.0, 1.0, 0.5, 0.04]
    """
    warm = round(warmup * steps)
    if step < warm:
        return highest * (step + 1) / warm
    return highest * 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))


@dataclass(frozen=True)
class Recipe:
    """How to train.

    Attributes:
        name: Name of the recipe.
        optimizer: How gradients become steps.
        learning_rate: At its highest.
        momentum: Of SGD and RMSprop.
        weight_decay: Decoupled in AdamW, added to the gradient elsewhere. Biases and batch norms have none.
        decay_depthwise: Whether depthwise filters have weight decay too.
        schedule: How the learning rate falls.
        decay_per_epoch: Factor per epoch of the exponential schedule.
        warmup: Share of all steps in which the learning rate rises from zero.
        batch: Images in a step.
        label_smoothing: Share of every target that is spread over all classes.
        dropout: Share of the features before the classifier that is dropped.
        batch_norm_momentum: Share of each batch in the running statistics.
        averaging: Share of the run that the moving average of the weights looks back over. The average is what is
            validated and kept.
        initialization: What the weights are before.
        augmentation: How images are distorted.
        mixup: α of the Beta distribution by which two images are blended; 0 for never. arXiv:1710.09412.
        cutmix: α of that by which a box of one is put into the other; 0 for never. arXiv:1905.04899.
        mixed: Share of the batches that are mixed.
        unmixed: Share of the run, at its end, in which none are.
        growth: Parts of the run as (share of the epochs, share of the resolution), in order; the shares of the epochs
            add to 1. Small images first is faster, and regularises. Below 64 pixels nothing is made smaller: the
            last maps would shrink to one pixel, and most of their filters would learn nothing.
        transfer: Factor on the learning rate when training starts from another Model's weights.
        transfer_batch: Most images in a step then, where there are fewer than ``FEW_IMAGES``.
        transfer_samples: Images shown in all then, for each image to the power of 0.7 (:func:`transfer_epochs`).
        transfer_least: Images shown in all then at least, however few there are.
        transfer_patience: Share of the epochs without a better one after which such a run ends.
        transfer_statistics: Whether batch norms follow the new images then, or keep the statistics that they have.
        head_learning_rate: Of a new output layer on another Model's layers, while it alone is trained;
            ``learning_rate`` if None.
        kept_stride: Layers whose maps are this fraction of the image's side, or larger, keep the weights and the
            statistics that they start with: 2 for a half; 0 for none.
        largest_gradient: Norm of the gradient of all weights above which it is scaled down to it; None for no bound.
        samples_seen: Images shown in all at 128 pixels when no number of epochs is given; fewer at lower
            resolutions (:func:`default_epochs`).

    Raises:
        TrainingError: If a number is out of range.
    """

    name: str
    optimizer: Optimizer = Optimizer.ADAMW
    learning_rate: float = 2e-3
    momentum: float = 0.9
    weight_decay: float = 0.05
    decay_depthwise: bool = False
    schedule: Schedule = Schedule.COSINE
    decay_per_epoch: float = 1.0
    warmup: float = 0.05
    batch: int = 64
    label_smoothing: float = 0.1
    dropout: float = 0.0
    batch_norm_momentum: float = 0.1
    averaging: float = 0.05
    initialization: Initialization = Initialization.HE
    augmentation: Augmentation = field(default_factory=Augmentation)
    mixup: float = 0.0
    cutmix: float = 0.0
    mixed: float = 0.5
    unmixed: float = 0.1
    growth: tuple[tuple[float, float], ...] = ((1.0, 1.0),)
    transfer: float = 0.4
    transfer_batch: int = 32
    transfer_samples: int = 260
    transfer_least: int = 26_000
    transfer_patience: float = 0.3
    transfer_statistics: bool = True
    head_learning_rate: float | None = None
    kept_stride: int = 0
    largest_gradient: float | None = None
    samples_seen: int = 340_000

    def __post_init__(self) -> None:
        for name in ("momentum", "label_smoothing", "dropout", "averaging", "warmup", "unmixed"):
            check_number(name, getattr(self, name), TrainingError, least=0, below=1)
        for name in ("learning_rate", "decay_per_epoch", "transfer"):
            check_number(name, getattr(self, name), TrainingError, above=0)
        for name in ("weight_decay", "mixup", "cutmix"):
            check_number(name, getattr(self, name), TrainingError, least=0)
        check_number("mixed", self.mixed, TrainingError, least=0, most=1)
        check_number("batch_norm_momentum", self.batch_norm_momentum, TrainingError, above=0, most=1)
        if self.head_learning_rate is not None:
            check_number("head_learning_rate", self.head_learning_rate, TrainingError, above=0)
        if self.largest_gradient is not None:
            check_number("largest_gradient", self.largest_gradient, TrainingError, above=0)
        check_integer("batch", self.batch, TrainingError, least=1)
        if self.batch == 1:
            raise TrainingError("a batch needs two images at least, for its batch norm; batch is 1")
        check_integer("kept_stride", self.kept_stride, TrainingError, least=0)
        check_integer("transfer_batch", self.transfer_batch, TrainingError, least=2)
        check_number("transfer_patience", self.transfer_patience, TrainingError, above=0)
        for name in ("samples_seen", "transfer_samples", "transfer_least"):
            check_integer(name, getattr(self, name), TrainingError, least=1)
        for epochs, scale in self.growth:
            check_number("a share of growth", epochs, TrainingError, least=0, most=1)
            check_number("a share of growth", scale, TrainingError, above=0, most=1)
        if abs(sum(epochs for epochs, _ in self.growth) - 1) > 1e-6:
            raise TrainingError(f"the shares of the epochs in growth must add to 1: {self.growth}")

    def learning_rate_at(self, step: int, steps: int, steps_per_epoch: int) -> float:
        """Learning rate of one step.

        Args:
            step: From 0.
            steps: Steps of the whole run.
            steps_per_epoch: Steps of one epoch.
        """
        warm = round(self.warmup * steps)
        if self.schedule is Schedule.EXPONENTIAL and step >= warm:
            return self.learning_rate * math.pow(self.decay_per_epoch, (step - warm) / steps_per_epoch)
        return warm_cosine(self.learning_rate, step, steps, self.warmup)

    def for_network(self, network: Network) -> Recipe:
        """The recipe as a network from scratch needs it: with gradients bounded where gates multiply its maps.

        Squeeze-and-excite gates are exactly 0 or 1 outside a range, where nothing brings them back. At the learning
        rate of V1, V3 small leaves that range in its first epochs and hardly learns any more (docs/experiments/
        families.md).

        Args:
            network: What is trained.
        """
        gated = any(isinstance(layer, Multiply) for layer in network.layers)
        return replace(self, largest_gradient=LARGEST_GRADIENT) if gated and self.largest_gradient is None else self

    def resolution_at(self, epoch: int, epochs: int, resolution: int) -> int:
        """Training resolution of one epoch: a share of the network's, at least 64 pixels if that has as many."""
        passed = 0.0
        for share, scale in self.growth:
            passed += share
            if epoch < passed * epochs - 1e-6:
                return (
                    resolution
                    if scale == 1
                    else min(resolution, max(SMALLEST_GROWING, round(resolution * scale / 8) * 8))
                )
        return resolution


PAPER = Recipe(
    name="paper",
    optimizer=Optimizer.RMSPROP,
    learning_rate=0.045,
    momentum=0.9,
    weight_decay=4e-5,
    schedule=Schedule.EXPONENTIAL,
    decay_per_epoch=0.94 ** (1 / 2.5),
    warmup=0.0,
    label_smoothing=0.0,
    dropout=0.001,
    initialization=Initialization.TRUNCATED_NORMAL,
    augmentation=Augmentation(smallest_area=0.8, stretch=1.1, brightness=0, contrast=0, saturation=0),
)
"""As published: RMSprop, mild crops, no label smoothing, no weight decay on depthwise filters (arXiv:1704.04861,
section 3.2), with TF-slim's numbers where the paper gives none. Two of those cannot be meant for small data and are
not taken: decays of .9997 and .9999 for batch norm and averaged weights, which outlast a whole run of small data."""

DEFAULT = Recipe(
    name="default",
    learning_rate=8e-3,
    weight_decay=0.05,
    augmentation=Augmentation(smallest_area=0.35, rotation_degrees=10),
    mixup=0.2,
    cutmix=1.0,
    growth=((0.5, 0.75), (0.5, 1.0)),
)
"""Chosen by validation accuracy on digits, sign-digits and trashnet; docs/training.md has the figures."""

RECIPES: dict[str, Recipe] = {recipe.name: recipe for recipe in (DEFAULT, PAPER)}


def recipe_named(name: str) -> Recipe:
    """The recipe of that name.

    Raises:
        TrainingError: If there is none.
    """
    if name in RECIPES:
        return RECIPES[name]
    near = difflib.get_close_matches(name, RECIPES, n=1)
    hint = f"; did you mean {near[0]}?" if near else ""
    raise TrainingError(f"no recipe is called {name!r}; known are {', '.join(RECIPES)}{hint}")


def for_fine_tuning(recipe: Recipe, images: int) -> Recipe:
    """The recipe for a run that starts from another Model's weights: slower, much shorter, and without mixed images.

    Features that are there already need a fraction of the images, and mixing, which keeps a long run from learning
    them by heart, only keeps a short one from learning. docs/experiments/fine-tuning.md has the figures.

    Args:
        recipe: From scratch.
        images: Training images.
    """
    batch = min(recipe.batch, recipe.transfer_batch) if images < FEW_IMAGES else recipe.batch
    return replace(
        recipe,
        learning_rate=recipe.learning_rate * recipe.transfer,
        head_learning_rate=recipe.learning_rate,
        batch=batch,
        growth=((1.0, 1.0),),
        warmup=max(recipe.warmup, TRANSFER_WARMUP),
        mixed=0.0,
    )


def transfer_epochs(images: int, recipe: Recipe, macs: int | None = None) -> int:
    """How long to fine-tune: images shown in all grow as the number of images to the power of 0.7; 3 epochs at least.

    Few images are shown more often: ``transfer_least`` of them in all, which is more below some 720 images. Of a large
    network fewer are shown, for it learns from fewer: as many as :data:`MOST_CPU_MACS` allow, and five epochs at least.

    Args:
        images: Training images.
        recipe: How many to show.
        macs: Mult-Adds of the network for one training image, where a processor trains; None on a GPU.

    >>> [transfer_epochs(images, DEFAULT) for images in (20, 120, 1000, 3000, 100_000)]
    [250, 217, 33, 24, 9]
    >>> [transfer_epochs(3000, DEFAULT, macs) for macs in (25_000_000, 190_000_000, 1_000_000_000)]
    [24, 8, 5]
    >>> [transfer_epochs(120, DEFAULT, macs) for macs in (25_000_000, 190_000_000)]
    [217, 62]
    """
    wanted = recipe.transfer_samples * math.pow(images, -0.3)
    shown = recipe.transfer_least if macs is None else min(recipe.transfer_least, FEW_CPU_MACS / (TRAINING_MACS * macs))
    wanted = max(wanted, shown / images)
    if macs is not None:
        affordable = MOST_CPU_MACS / (TRAINING_MACS * macs * images)
        wanted = min(wanted, max(FEWEST_AFFORDED_EPOCHS, affordable))
    return min(max(math.ceil(wanted), FEWEST_TRANSFER_EPOCHS), MOST_EPOCHS)


def default_epochs(images: int, resolution: int, recipe: Recipe) -> int:
    """How long to train: so many images shown in all, in proportion to the resolution to the power of 1.25.

    Small images hold less, are learned sooner, and overfit sooner. A data set of many images is seen ten times at
    least, and one of few 250 times at most.

    Args:
        images: Training images.
        resolution: Side of the network's input.
        recipe: How many images to show.
    """
    wanted = recipe.samples_seen * math.pow(resolution / REFERENCE_RESOLUTION, 1.25) / images
    return min(max(math.ceil(wanted), FEWEST_EPOCHS), MOST_EPOCHS)


GLYPH_AREA = 0.6
"""Smallest crop of an image of a single character: a smaller part of one is another one, or none."""


def suited_to(recipe: Recipe, labels: tuple[str, ...], flip: Flip | str | None = None) -> Recipe:
    """The recipe with augmentations that preserve the classes, chosen by their labels.

    Where all labels are single characters, images are not mirrored and keep more of themselves: a mirrored digit is
    another sign or none. Most other things look the same from the other side.

    Args:
        recipe: The recipe.
        labels: Names of the classes.
        flip: Mirror images to take, whatever the labels are.

    >>> suited_to(DEFAULT, ("0", "1")).augmentation.flip, suited_to(DEFAULT, ("glass", "paper")).augmentation.flip
    (<Flip.NONE: 'none'>, <Flip.HORIZONTAL: 'horizontal'>)
    """
    glyphs = all(len(label) == 1 for label in labels)
    augmentation = recipe.augmentation
    if glyphs:
        area = max(augmentation.smallest_area, GLYPH_AREA)
        augmentation = replace(augmentation, flip=Flip.NONE, smallest_area=area)
    return replace(recipe, augmentation=augmentation if flip is None else replace(augmentation, flip=Flip(flip)))
