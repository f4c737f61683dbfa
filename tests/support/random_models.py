"""Random networks and Models for tests: branches, groups, odd maps, asymmetric padding, float32 and int8.

Everything follows from the generator that is passed in, so a failure is repeated by its seed. Numbers have the sizes
that trained networks have: activations fill their bytes, some values clamp at either end, and logits differ.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from mobilenets.architecture.layers import (
    INPUT,
    Activation,
    Add,
    BatchNorm,
    Concatenate,
    Convolution,
    DepthwiseConvolution,
    GlobalAveragePool,
    Layer,
    Linear,
    MaxPool,
    Multiply,
    Padding,
    PointwiseConvolution,
    Shape,
)
from mobilenets.architecture.network import Network
from mobilenets.model import numpy_runtime, reference
from mobilenets.model.model import Model
from mobilenets.model.preprocessing import Preprocessing
from mobilenets.model.quantization import Quantization, TensorQuantization, needed_pre_activations, real_outputs
from mobilenets.tasks.classification import Classification
from mobilenets.tasks.task import Task

IMAGENET = Preprocessing(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))


def random_pixels(rng: np.random.Generator, network: Network, count: int = 2) -> npt.NDArray[np.uint8]:
    """Random pixels in the shape of a network's input, (count, height, width, channels)."""
    return rng.integers(0, 256, (count, network.height, network.width, network.channels), dtype=np.uint8)


CLAMPS = tuple(activation for activation in Activation if activation.is_clamp)


def random_network(
    rng: np.random.Generator,
    *,
    batch_norm: bool = True,
    branches: bool = True,
    newer: bool = True,
) -> Network:
    """A small network of everything that a Network may hold.

    Args:
        rng: Source of randomness.
        batch_norm: Whether layers may have one; if not, all layers with weights have a bias.
        branches: Whether there may be Add, Multiply, Concatenate and a second output.
        newer: Whether there may be Multiply, HARD_SIGMOID and HARD_SWISH, for which an executor must be ready.
    """
    writer = _Writer(rng, batch_norm, tuple(Activation) if newer else CLAMPS)
    kinds = ["convolution", "depthwise", "pointwise", "pool", "add", "concatenate"]
    if newer:
        kinds += ["multiply", "scale"]
    writer.weighted("convolution")
    for _ in range(rng.integers(2, 8)):
        kind = rng.choice(kinds)
        if kind in ("add", "concatenate", "multiply", "scale"):
            if branches:
                writer.branch(str(kind))
        elif kind == "pool":
            writer.pool()
        else:
            writer.weighted(str(kind))
    return writer.finish(second_output=branches and rng.random() < 0.2)


@dataclass
class _Writer:
    rng: np.random.Generator
    batch_norm: bool
    activations: tuple[Activation, ...]
    layers: list[Layer] = field(default_factory=list)
    shapes: dict[str, Shape] = field(default_factory=dict)
    last: str = INPUT

    def __post_init__(self) -> None:
        self.height, self.width = (int(size) for size in self.rng.integers(5, 20, 2))
        self.shapes[INPUT] = Shape(3, self.height, self.width)

    def append(self, layer: Layer) -> str:
        self.shapes[layer.name] = layer.output_shape(tuple(self.shapes[name] for name in layer.inputs))
        self.layers.append(layer)
        self.last = layer.name
        return self.last

    def name(self, kind: str) -> str:
        return f"{kind}{len(self.layers)}"

    def activation(self) -> Activation:
        return self.activations[self.rng.integers(len(self.activations))]

    def weighted(self, kind: str, source: str | None = None, channels: int | None = None) -> str:
        rng, source = self.rng, source or self.last
        shared: dict[str, Any] = {"activation": self.activation()}
        shared["batch_norm"] = BatchNorm(float(rng.choice([1e-3, 1e-5]))) if self.batch_norm else None
        shared["bias"] = not self.batch_norm or bool(rng.random() < 0.3)
        channels = channels or int(rng.choice([1, 3, 7, 8, 9, 16, 17]))
        name, inputs = self.name(kind), (source,)
        if kind == "pointwise":
            return self.append(PointwiseConvolution(name, inputs, out_channels=channels, **shared))
        shared |= self.window(self.shapes[source])
        if kind == "depthwise":
            return self.append(DepthwiseConvolution(name, inputs, **shared))
        groups = int(rng.choice([g for g in range(1, 9) if self.shapes[source].channels % g == 0 == channels % g]))
        return self.append(Convolution(name, inputs, out_channels=channels, groups=groups, **shared))

    def window(self, shape: Shape) -> dict[str, Any]:
        kernel = int(self.rng.choice([1, 2, 3, 3, 3, 5]))
        top, left = (int(amount) for amount in self.rng.integers(0, kernel, 2))
        # After the far side is padded, the window fits at least once.
        bottom = int(self.rng.integers(0, kernel))
        right = int(self.rng.integers(0, kernel))
        if shape.height + top + bottom < kernel:
            top = bottom = kernel - 1
        if shape.width + left + right < kernel:
            left = right = kernel - 1
        return {
            "kernel": kernel,
            "stride": int(self.rng.choice([1, 1, 2, 3])),
            "padding": Padding(top, bottom, left, right),
        }

    def pool(self) -> None:
        self.append(MaxPool(self.name("pool"), (self.last,), **self.window(self.shapes[self.last])))

    def branch(self, kind: str) -> None:
        source = self.last
        shape = self.shapes[source]
        if kind == "scale":  # squeeze-and-excite: one factor per channel
            squeezed = self.append(GlobalAveragePool(self.name("squeeze"), (source,)))
            factors = self.weighted("pointwise", squeezed, shape.channels)
            self.append(Multiply(self.name(kind), (source, factors), activation=self.activation()))
            return
        count = 1 if kind == "multiply" else int(self.rng.integers(1, 3))
        inputs = (source, *(self.weighted("pointwise", source, shape.channels) for _ in range(count)))
        if kind == "concatenate":
            self.append(Concatenate(self.name(kind), inputs))
        elif kind == "add":
            self.append(Add(self.name(kind), inputs, activation=self.activation()))
        else:
            self.append(Multiply(self.name(kind), inputs, activation=self.activation()))

    def finish(self, *, second_output: bool) -> Network:
        classes = int(self.rng.integers(2, 12))
        outputs: tuple[str, ...] = (self.last,) if second_output else ()
        ending = self.rng.choice(["pool", "linear", "pointwise", "hidden"])
        if ending != "linear":
            self.append(GlobalAveragePool("average", (self.last,)))
        if ending == "hidden":
            self.append(Linear("hidden", (self.last,), out_features=9, activation=Activation.RELU))
        if ending == "pointwise":
            self.append(PointwiseConvolution("classifier", (self.last,), out_channels=classes, bias=True))
        else:
            bias = not self.batch_norm or bool(self.rng.random() < 0.8)
            self.append(Linear("classifier", (self.last,), out_features=classes, bias=bias))
        return Network("random", self.height, self.width, tuple(self.layers), (self.last, *outputs))


def without_batch_norm(network: Network) -> Network:
    """The network that is left when batch norms are folded away: every layer with weights has a bias."""

    def folded(layer: Layer) -> Layer:
        if not layer.has_weight:
            return layer
        changes: dict[str, Any] = {"bias": True}
        if layer.batch_norm is not None:
            changes["batch_norm"] = None
        return replace(layer, **changes)

    return replace(network, layers=tuple(map(folded, network.layers)))


def random_model(
    rng: np.random.Generator, network: Network, preprocessing: Preprocessing = IMAGENET, *, task: Task | None = None
) -> Model:
    """A float32 Model whose activations stay of the order of one; a classifier where no other task is given."""
    parameters = {}
    for name, shape in network.parameter_shapes().items():
        kind = name.rpartition(".")[2]
        if kind == "running_var" or name.endswith("batch_norm.weight"):
            values = rng.uniform(0.5, 1.5, shape)
        elif kind == "weight":
            values = rng.normal(0, np.sqrt(2 / np.prod(shape[1:])), shape)
        else:
            values = rng.normal(0, 0.2, shape)
        parameters[name] = values.astype(np.float32)
    return Model(network, parameters, task or Classification.numbered(network), preprocessing)


def is_alive(model: Model, pixels: npt.NDArray[np.uint8]) -> bool:
    """Whether every layer gives something else than zeros for some images: all ReLUs of one may be closed."""
    return all(value.any() for value in reference.activations(model, pixels).values())


def random_int8_model(
    rng: np.random.Generator,
    network: Network,
    *,
    asymmetric_weights: bool = False,
    largest_weight: int = 127,
    clamping: bool = True,
    task: Task | None = None,
) -> Model:
    """An int8 Model whose scales fit what its layers make of random pixels.

    Args:
        rng: Source of randomness.
        network: Any network; batch norms are dropped.
        asymmetric_weights: Give every layer weight zero points, equal across its channels.
        largest_weight: Weights lie within plus and minus this.
        clamping: Whether some scales are a little too narrow, so that values clamp at either end.
        task: What the outputs mean; None for classification.
    """
    room = (0.8, 1.1) if clamping else (1.2, 1.3)
    spread = 45 * largest_weight / 127
    network = without_batch_norm(network)
    preprocessing = Preprocessing()
    integers: dict[str, npt.NDArray[Any]] = {}
    reals: dict[str, npt.NDArray[Any]] = {}
    for layer in network.layers:
        if not layer.has_weight:
            continue
        shape = layer.weight_shape(network.input_shapes(layer))
        weight = np.clip(np.rint(rng.normal(0, spread, shape)), -largest_weight, largest_weight).astype(np.int8)
        per_channel = (shape[0],) if not asymmetric_weights else (1,)
        scale = rng.uniform(0.7, 1.4, per_channel) * np.sqrt(2 / np.prod(shape[1:])) / spread
        scale = np.broadcast_to(scale.astype(np.float32), shape[:1]).copy()
        integers |= {f"{layer.name}.weight": weight, f"{layer.name}.weight_scale": scale}
        zero_point = 0
        if asymmetric_weights:
            zero_point = int(rng.integers(-20, 20))
            integers[f"{layer.name}.weight_zero_point"] = np.full(shape[:1], zero_point, np.int8)
        real = (weight.astype(np.float32) - zero_point) * scale.reshape(-1, *[1] * (len(shape) - 1))
        reals |= {f"{layer.name}.weight": real, f"{layer.name}.bias": rng.normal(0, 0.2, shape[0]).astype(np.float32)}
    task = task or Classification.numbered(network)
    real_model = Model(network, reals, task, preprocessing)
    results = list(numpy_runtime.layer_results(real_model, random_pixels(rng, network, 4)))
    scales = _scales(rng, network, {result.name: result.value for result in results}, room)
    tabled = needed_pre_activations(network)
    before = {
        result.name: _scale(rng, result.pre_activation, room)
        for result in results
        if result.pre_activation is not None and result.name in tabled
    }
    for layer in network.layers:
        if layer.has_weight:
            unit = scales[layer.inputs[0]].scale * integers[f"{layer.name}.weight_scale"].astype(np.float64)
            integers[f"{layer.name}.bias"] = np.rint(reals[f"{layer.name}.bias"] / unit).astype(np.int32)
    kept = {name: scale for name, scale in scales.items() if name not in real_outputs(network)}
    outputs = {name: replace(scales[name], scale=1.5 * scales[name].scale) for name in real_outputs(network)}
    return Model(network, integers, task, preprocessing, Quantization(kept, pre_activations=before, outputs=outputs))


def _scales(
    rng: np.random.Generator, network: Network, seen: dict[str, npt.NDArray[Any]], room: tuple[float, float]
) -> dict[str, TensorQuantization]:
    scales = {INPUT: TensorQuantization(2 / 255, 128)}
    for layer in network.layers:
        scales[layer.name] = _scale(rng, seen[layer.name], room)
        if isinstance(layer, MaxPool):
            scales[layer.name] = scales[layer.inputs[0]]
    return scales


def _scale(rng: np.random.Generator, values: npt.NDArray[Any], room: tuple[float, float]) -> TensorQuantization:
    low, high = float(min(values.min(), 0)), float(max(values.max(), 0.01))
    scale = (high - low) / 255 * rng.uniform(*room)
    return TensorQuantization(scale, int(np.clip(np.rint(-low / scale), 0, 255)))
