"""Writes a Model as a graph model of TensorFlow.js: TensorFlow's operators, as its converter lists them."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, assert_never

import numpy as np
from tests.support.tfjs_files import stored_weights

from mobilenets.architecture.layers import (
    INPUT,
    Activation,
    Add,
    Concatenate,
    Convolution,
    DepthwiseConvolution,
    GlobalAveragePool,
    Layer,
    Linear,
    Multiply,
    PointwiseConvolution,
)
from mobilenets.formats.graph import NO_PADDING
from mobilenets.model.model import Model, Tensor

Nodes = list[dict[str, Any]]


def code(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


@dataclass
class TfjsGraph:
    """Nodes and constants of a Model.

    Attributes:
        model: float32; its layers' names become those of nodes.
        fused: Whether biases and clamps are part of convolutions, as the converter leaves them, without batch norms.
        ending: ``Softmax`` or ``Sigmoid`` behind the logits; empty for neither.
        scaling: Factor and offset of the image before the first layer, if any.
    """

    model: Model
    fused: bool = False
    ending: str = "Softmax"
    scaling: tuple[float, float] | None = None
    nodes: Nodes = field(default_factory=list)
    constants: dict[str, Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        network = self.model.network
        dims = [{"size": str(size)} for size in (-1, network.height, network.width, network.channels)]
        self.nodes.append({"name": "image", "op": "Placeholder", "attr": {"shape": {"shape": {"dim": dims}}}})
        self.made = {INPUT: "image"}
        if self.scaling is not None:
            factor, offset = (np.float32(value) for value in self.scaling)
            self.made[INPUT] = self.node("image/Mul", "Mul", [self.constant("image/Mul/y", factor), "image"])
            self.made[INPUT] = self.node("image/Sub", "Sub", ["image/Mul", self.constant("image/Sub/y", -offset)])
        for layer in network.layers:
            self.made[layer.name] = self._layer(layer)
        output = self.made[network.outputs[0]]
        if self.ending:
            output = self.node("probabilities", self.ending, [output])
        self.output = self.node("Identity", "Identity", [output])

    def write(self, folder: Path, stored: str = "float32", change: Callable[[Nodes], Any] = lambda _: None) -> Path:
        """Write ``model.json`` and its shards.

        Args:
            folder: Where to.
            stored: Type of the stored numbers.
            change: What is done to the nodes first.
        """
        folder.mkdir(exist_ok=True)
        nodes = json.loads(json.dumps(self.nodes))
        change(nodes)
        content = {
            "format": "graph-model",
            "userDefinedMetadata": {"signature": {"outputs": {"Identity:0": {"name": f"{self.output}:0"}}}},
            "modelTopology": {"node": nodes, "versions": {"producer": 1}},
            "weightsManifest": stored_weights(folder, self.constants, stored),
        }
        (folder / "model.json").write_text(json.dumps(content))
        return folder / "model.json"

    def constant(self, name: str, value: Any) -> str:
        self.constants[name] = np.asarray(value)
        return self.node(name, "Const", [])

    def node(self, name: str, operator: str, inputs: list[str], **attributes: Any) -> str:
        self.nodes.append({"name": name, "op": operator, "input": inputs, "attr": attributes})
        return name

    def _parameter(self, layer: Layer, kind: str, value: Tensor | None = None) -> str:
        return self.constant(
            f"{layer.name}/{kind}", self.model.parameters[f"{layer.name}.{kind}"] if value is None else value
        )

    def _layer(self, layer: Layer) -> str:
        sources = [self.made[name] for name in layer.inputs]
        match layer:
            case Convolution() | DepthwiseConvolution() | PointwiseConvolution():
                return self._convolution(layer, sources[0])
            case Linear():
                return self._linear(layer, sources[0])
            case GlobalAveragePool():
                axes = self.constant(f"{layer.name}/axes", np.array([1, 2], np.int32))
                return self.node(layer.name, "Mean", [sources[0], axes], keep_dims={"b": True})
            case Add():
                return self._activated(layer, self.node(layer.name, "AddV2", sources))
            case Multiply():
                return self._activated(layer, self.node(layer.name, "Mul", sources))
            case Concatenate():
                axis = self.constant(f"{layer.name}/axis", np.array(3, np.int32))
                return self.node(layer.name, "ConcatV2", [*sources, axis])
            case _:
                raise NotImplementedError(layer)

    def _convolution(self, layer: Convolution | DepthwiseConvolution | PointwiseConvolution, source: str) -> str:
        weight = self.model.parameters[f"{layer.name}.weight"]
        depthwise = isinstance(layer, DepthwiseConvolution)
        weights = self._parameter(layer, "weight", weight.transpose((2, 3, 0, 1) if depthwise else (2, 3, 1, 0)))
        padding = NO_PADDING if isinstance(layer, PointwiseConvolution) else layer.padding
        stride = 1 if isinstance(layer, PointwiseConvolution) else layer.stride
        if padding != NO_PADDING:
            around = [[0, 0], list(padding[:2]), list(padding[2:]), [0, 0]]
            amounts = self.constant(f"{layer.name}/pad/paddings", np.array(around, np.int32))
            source = self.node(f"{layer.name}/pad", "Pad", [source, amounts])
        window = {
            "strides": {"list": {"i": ["1", str(stride), str(stride), "1"]}},
            "padding": {"s": code("VALID")},
            "data_format": {"s": code("NHWC")},
        }
        plain = "DepthwiseConv2dNative" if depthwise else "Conv2D"
        if self.fused and layer.batch_norm is None and layer.bias:
            return self._fused(layer, f"Fused{plain}" if depthwise else f"_Fused{plain}", [source, weights], window)
        made = self.node(layer.name, plain, [source, weights], **window)
        if layer.batch_norm is not None:
            names = ("batch_norm.weight", "batch_norm.bias", "batch_norm.running_mean", "batch_norm.running_var")
            read = [made, *(self._parameter(layer, name) for name in names)]
            made = self.node(f"{layer.name}/norm", "FusedBatchNormV3", read, epsilon={"f": layer.batch_norm.epsilon})
        if layer.bias:
            made = self.node(f"{layer.name}/add", "BiasAdd", [made, self._parameter(layer, "bias")])
        return self._activated(layer, made)

    def _fused(self, layer: Layer, operator: str, inputs: list[str], attributes: dict[str, Any]) -> str:
        clamps = {Activation.RELU: ["Relu"], Activation.RELU6: ["Relu6"]}.get(layer.activation, [])
        fused = {"list": {"s": [code(name) for name in ["BiasAdd", *clamps]]}}
        read = [*inputs, self._parameter(layer, "bias")]
        made = self.node(layer.name, operator, read, **attributes, fused_ops=fused, num_args={"i": "1"})
        return made if clamps else self._activated(layer, made)

    def _linear(self, layer: Linear, source: str) -> str:
        channels, height, width = self.model.network.input_shapes(layer)[0]
        weight = self.model.parameters[f"{layer.name}.weight"].reshape(-1, channels, height, width)
        flat = weight.transpose(2, 3, 1, 0).reshape(channels * height * width, -1)
        size = self.constant(f"{layer.name}/shape", np.array([-1, len(flat)], np.int32))
        read = [self.node(f"{layer.name}/flat", "Reshape", [source, size]), self._parameter(layer, "weight", flat)]
        if self.fused and layer.bias:
            return self._fused(layer, "_FusedMatMul", read, {})
        made = self.node(layer.name, "MatMul", read)
        if layer.bias:
            made = self.node(f"{layer.name}/add", "AddV2", [made, self._parameter(layer, "bias")])
        return self._activated(layer, made)

    def _activated(self, layer: Layer, made: str) -> str:
        """The activation function; hard ones by the plain operators that Keras makes of them."""
        name, activation = layer.name, layer.activation
        match activation:
            case Activation.NONE:
                return made
            case Activation.RELU:
                return self.node(f"{name}/Relu", "Relu", [made])
            case Activation.RELU6:
                return self.node(f"{name}/Relu6", "Relu6", [made])
            case Activation.HARD_SIGMOID | Activation.HARD_SWISH:
                three = self.constant(f"{name}/three", np.float32(3))
                raised = self.node(f"{name}/raised", "AddV2", [made, three])
                clipped = self.node(f"{name}/clipped", "Relu6", [raised])
                sixth = self.constant(f"{name}/sixth", np.float32(1 / 6))
                gate = self.node(f"{name}/gate", "Mul", [clipped, sixth])
                if activation is Activation.HARD_SIGMOID:
                    return gate
                return self.node(f"{name}/swish", "Mul", [made, gate])
            case _:
                assert_never(activation)
