"""Model → one self-contained C99 file for devices without an operating system.

The file holds the weights in constant arrays, the kernels that the network needs, and one static array for all
activations, planned by :mod:`mobilenets.formats.c.arena`. It allocates nothing and needs of the mathematical library
only ``rintf``, and ``fmaf`` where the processor has an instruction for it. An int8 Model gives the bits of
:mod:`mobilenets.model.reference`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any, assert_never

import numpy as np
import numpy.typing as npt

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
    MaxPool,
    Multiply,
    PointwiseConvolution,
)
from mobilenets.base.atomic_write import write_atomically
from mobilenets.errors import FormatError
from mobilenets.formats.c.arena import PIXELS, activation_buffers, plan_memory
from mobilenets.formats.c.text import (
    byte_rows,
    byte_strings,
    comment,
    float_literal,
    numbers,
    sections,
    string_literal,
)
from mobilenets.formats.format import Footprint, Options, option
from mobilenets.model.folding import fold
from mobilenets.model.model import Model
from mobilenets.model.preprocessing import ResizeMode, pixel_scale_and_offset
from mobilenets.model.quantization import (
    Quantization,
    TensorQuantization,
    activation_table,
    average_multiplier,
    product_multiplier,
    real_outputs,
    requantization_multiplier,
    rescaling_table,
    sum_multipliers,
)
from mobilenets.tasks.classification import Classification

Array = npt.NDArray[Any]
Weighted = Convolution | DepthwiseConvolution | PointwiseConvolution | Linear

FEWEST_BYTES = 2048
"""Of an array that is written as the bytes of strings: fewer are quickly read as numbers, by people too."""
_STRINGS_PREAMBLE = """\
/* Large arrays are written as bytes, which compilers read in a tenth of the time and memory. The strings fill their
   arrays to the last byte. */
#if defined(__clang__) ? __clang_major__ >= 21 : defined(__GNUC__) && __GNUC__ >= 15
#pragma GCC diagnostic ignored "-Wunterminated-string-initialization"
#endif
"""
_BYTE_ORDER_CHECK = """\
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the weights are written for processors that keep the lowest byte first"
#endif
"""


@dataclass(frozen=True)
class COptions(Options):
    """Options of :func:`to_c`."""

    name: str = option("model", "Beginning of the public names")
    example: bool = option(False, "Write main.c beside it, which classifies a PPM image")


def write_c(model: Model, path: Path, options: COptions) -> Footprint:
    """:func:`to_c`, as the registry of formats calls it."""
    return to_c(model, path, name=options.name, example=options.example)


def to_c(model: Model, path: str | Path, *, name: str = "model", example: bool = False) -> Footprint:
    """Write a Model as a C99 file.

    The file declares ``uint8_t *<name>_input(void)``, where the image goes as (height, width, 3) bytes before every
    run; ``void <name>_run(float *output, ...)``, one array of floats per output, maps as (height, width, channels);
    ``<NAME>_HEIGHT``, ``_WIDTH``, ``_FLASH_BYTES`` and ``_RAM_BYTES``; and, of a classifier, ``<name>_labels`` and
    ``<NAME>_CLASSES``.

    Args:
        model: float32 or int8; batch norms are folded, which the file does not know.
        path: Where to.
        name: Beginning of every public name: lower case letters, digits and underscores.
        example: Whether to write ``main.c`` beside it, which classifies a PPM image.

    Raises:
        CompressionError: If a batch norm to fold holds what is not a finite number.
        FormatError: If the name is not a C identifier, a label is too long for C, or an example is asked for and the
            Model is no classifier.
        OSError: If a file cannot be written.
    """
    path = Path(path)
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,40}", name):
        raise FormatError(f"name {name!r} must be a C identifier in lower case, of at most 41 characters")
    if example and path.name == "main.c":
        raise FormatError("the example is called main.c; give the model another file name")
    if example and not isinstance(model.task, Classification):
        raise FormatError(f"the example classifies an image, and this Model's task is {model.task.kind}")
    writer = _Writer(fold(model) if any(layer.batch_norm for layer in model.network.layers) else model)
    text = writer.file(name)
    write_atomically(path, text)
    if example:
        program = _source("main.c").replace("@NAME@", name.upper()).replace("@name@", name).replace("@FILE@", path.name)
        write_atomically(path.with_name("main.c"), program.encode())
    return writer.footprint


def _kernels(name: str) -> str:
    """The kernels of one arithmetic, behind the sections that both share."""
    head, mark, own = _source(name).partition("//@ ")
    return head + _source("window.c") + mark + own


def _source(name: str) -> str:
    return files("mobilenets.formats").joinpath("c", name).read_text(encoding="utf-8")


@dataclass
class _Writer:
    """Collects constants and calls, layer after layer."""

    model: Model
    constants: list[str] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    kernels: set[str] = field(default_factory=set)
    flash_bytes: int = 0
    strings: bool = False
    """Whether an array is written as the bytes of strings."""

    def __post_init__(self) -> None:
        network = self.model.network
        self.quantization = self.model.quantization
        self.integer = self.quantization is not None
        # Outputs that nobody reads and that are floats already go straight to the caller.
        self.direct = real_outputs(network)
        if not self.integer:
            self.direct = {name for name in network.outputs if not network.consumers[name]}
        each = 1 if self.integer else 4
        self.plan = plan_memory(activation_buffers(network, bytes_per_value=each, elsewhere=self.direct))

    @property
    def footprint(self) -> Footprint:
        return Footprint(self.flash_bytes, self.plan.size)

    # The file

    def file(self, name: str) -> bytes:
        """The whole C file."""
        for number, layer in enumerate(self.model.network.layers):
            self.layer(number, layer)
        self.leave()
        network, upper, arena = self.model.network, name.upper(), self.plan.size
        pixels = self.plan.offsets[INPUT if self.integer else PIXELS]
        preprocessing = self.model.preprocessing
        crop = round(1000 * preprocessing.crop_fraction) if preprocessing.fit is ResizeMode.CROP else 0
        outputs = ", ".join(f"float *output_{number}" for number in range(len(network.outputs)))
        sizes = "; ".join(
            f"output_{number} takes {network.shapes[output].size} floats"
            for number, output in enumerate(network.outputs)
        )
        labels = self.model.task.labels
        figures = {
            "HEIGHT": network.height,
            "WIDTH": network.width,
            "CHANNELS": network.channels,
            **({} if labels is None else {"CLASSES": len(labels)}),
            "FLASH_BYTES": self.flash_bytes,
            "RAM_BYTES": arena,
            "CROP_PERMILLE": crop,
        }
        head = [
            f"/* {comment(network.name)}, {self.model.precision}: written by mobilenets.",
            "",
            f"   {self.flash_bytes} bytes of flash for weights, {arena} bytes of RAM for activations.",
            f"   Write the image to {name}_input(), (height, width, {network.channels}) bytes, before every run:",
            f"   a run overwrites it. {name}_run(): {sizes}. */",
            "",
            *([] if self.integer else ["#include <float.h>"]),
            *(["#include <math.h>"] if self.integer else []),
            "#include <stdint.h>",
            "",
            *(f"#define {upper}_{figure} {value}" for figure, value in figures.items()),
            "",
            f"uint8_t *{name}_input(void);",
            f"void {name}_run({outputs});",
            *([] if labels is None else [f"extern const char *const {name}_labels[{upper}_CLASSES];"]),
            "",
            "static uint8_t" if self.integer else "static float",
        ]
        head[-1] += f" arena[{arena if self.integer else -(-arena // 4)}];"
        named = [
            f"const char *const {name}_labels[{upper}_CLASSES] = {{",
            *(f"    {string_literal(label)}," for label in labels or ()),
            "};",
            "",
        ]
        tail = [
            *([] if labels is None else named),
            f"uint8_t *{name}_input(void)",
            "{",
            f"    return {'' if self.integer else '(uint8_t *)'}arena + {pixels};",
            "}",
            "",
            f"void {name}_run({outputs})",
            "{",
            *(f"    {line}" for call in self.calls for line in call.split("\n")),
            "}",
            "",
        ]
        kernels = sections(_kernels("int8.c" if self.integer else "float32.c"), self.kernels)
        preamble = _STRINGS_PREAMBLE if self.strings else ""
        if self.strings and not self.integer:
            preamble += _BYTE_ORDER_CHECK
        parts = ["\n".join(head), preamble, kernels, *self.constants, "", "\n".join(tail)]
        return "\n".join(parts).encode()

    def layer(self, number: int, layer: Layer) -> None:
        """The constants and the call of one layer."""
        self.constants.append(f"\n/* {comment(layer.name)} */")
        out = self.place(layer.name)
        match layer:
            case Convolution() | DepthwiseConvolution() | PointwiseConvolution() | Linear():
                self.describe(number, layer)
                kernel = "depthwise" if isinstance(layer, DepthwiseConvolution) else "convolution"
                self.call(kernel, f"&layer_{number}", self.place(layer.inputs[0]), *self.targets(layer, out))
            case GlobalAveragePool():
                self.describe(number, layer)
                targets = self.targets(layer, out)
                self.call("average_pool", f"&layer_{number}", self.place(layer.inputs[0]), *targets)
            case MaxPool():
                self.describe(number, layer)
                self.call("max_pool", f"&layer_{number}", self.place(layer.inputs[0]), out)
            case Add():
                self.add(number, layer, out)
            case Multiply():
                self.multiply(number, layer, out)
            case Concatenate():
                self.concatenate(number, layer, out)
            case _:
                raise FormatError(f"{layer.name} is of a kind that C export does not know: {type(layer).__name__}")

    def call(self, kernel: str, *arguments: object) -> None:
        self.kernels.add(kernel)
        self.calls.append(f"{kernel}({', '.join(map(str, arguments))});")

    def block(self, kernel: str, lines: list[str], *arguments: object) -> None:
        """A call in a block of its own, behind what it declares."""
        self.call(kernel, *arguments)
        self.calls.append("\n".join(["{", *(f"    {line}" for line in (*lines, self.calls.pop())), "}"]))

    def place(self, name: str) -> str:
        """Where an activation lies, as an expression in C."""
        if name in self.direct:
            return f"output_{self.model.network.outputs.index(name)}"
        offset = self.plan.offsets[name]
        return f"arena + {offset if self.integer else offset // 4}"

    def targets(self, layer: Layer, out: str) -> tuple[str, ...]:
        """The output arguments of a kernel that can write bytes or floats."""
        if not self.integer:
            return (out,)
        return ("0", out) if layer.name in self.direct else (out, "0")

    def leave(self) -> None:
        """Copy the outputs that are still in the arena to the caller."""
        if not self.integer:
            channels = self.model.network.channels
            scales, offsets = pixel_scale_and_offset(self.model.preprocessing, channels)
            scale = self.array("input_scale", scales)
            offset = self.array("input_offset", offsets)
            count = self.model.network.height * self.model.network.width
            pixels = f"(const uint8_t *)arena + {self.plan.offsets[PIXELS]}"
            self.call("normalize", pixels, count, channels, scale, offset, self.place(INPUT))
            self.calls.insert(0, self.calls.pop())
        for number, name in enumerate(self.model.network.outputs):
            if name in self.direct:
                continue
            size, target = self.model.network.shapes[name].size, f"output_{number}"
            if self.quantization is None:
                self.call("leave", self.place(name), size, target)
            else:
                output = self.quantization.activations[name]
                self.call("leave", self.place(name), size, output.zero_point, float_literal(output.scale), target)

    # One layer

    def describe(self, number: int, layer: Weighted | MaxPool | GlobalAveragePool) -> None:
        """The ``struct layer`` of a layer with a window, and its arrays."""
        network = self.model.network
        source, made = network.input_shapes(layer)[0], network.shapes[layer.name]
        if isinstance(layer, Linear):  # a 1×1 convolution of one pixel that holds the whole map
            source = source._replace(channels=source.size, height=1, width=1)
        fields: dict[str, object] = {
            "in_height": source.height,
            "in_width": source.width,
            "in_channels": source.channels,
            "out_height": made.height,
            "out_width": made.width,
            "out_channels": made.channels,
            **_window(layer),
            "activation": _activation_number(layer.activation),
        }
        if isinstance(layer, Weighted):
            fields |= self.parameters(number, layer)
        if self.quantization is not None:
            fields |= self.integers(number, layer, self.quantization)
        texts = ", ".join(f".{name} = {value}" for name, value in fields.items() if value != 0 or name == "kernel")
        self.constants.append(f"static const struct layer layer_{number} = {{{texts}}};")

    def parameters(self, number: int, layer: Weighted) -> dict[str, object]:
        """Weight and bias, channels last."""
        weight = self.model.parameters[f"{layer.name}.weight"]
        if isinstance(layer, DepthwiseConvolution):
            weight = weight.transpose(2, 3, 1, 0)
        elif isinstance(layer, Linear):
            source = self.model.network.input_shapes(layer)[0]
            weight = weight.reshape(len(weight), *source).transpose(0, 2, 3, 1)
        else:
            weight = weight.transpose(0, 2, 3, 1)
        fields: dict[str, object] = {"weight": self.array(f"weight_{number}", weight)}
        if layer.bias:
            fields["bias"] = self.array(f"bias_{number}", self.model.parameters[f"{layer.name}.bias"])
        return fields

    def integers(self, number: int, layer: Layer, quantization: Quantization) -> dict[str, object]:
        """Zero points, bounds and multipliers."""
        source = quantization.activations[layer.inputs[0]]
        target, low, high, table = self.result(number, layer, quantization)
        fields: dict[str, object] = {"in_zero": source.zero_point}
        if target is not None:
            fields |= {"out_zero": target.zero_point, "low": low, "high": high}
        if table:
            fields["table"] = table
        if isinstance(layer, MaxPool):
            return fields
        target_scale = None if target is None else target.scale
        if isinstance(layer, GlobalAveragePool):
            shape = self.model.network.input_shapes(layer)[0]
            multiplier = average_multiplier(source.scale, shape.height * shape.width, target_scale)
        else:
            weight_scale = self.model.parameters[f"{layer.name}.weight_scale"]
            multiplier = requantization_multiplier(source.scale, weight_scale, target_scale)
            zero_point = self.model.parameters.get(f"{layer.name}.weight_zero_point")
            if zero_point is not None:
                fields["weight_zero"] = self.array(f"weight_zero_{number}", zero_point)
        fields["multiplier"] = self.array(f"multiplier_{number}", multiplier)
        return fields

    def result(
        self, number: int, layer: Layer, quantization: Quantization
    ) -> tuple[TensorQuantization | None, int, int, str]:
        """What a layer's numbers are requantized to, the bounds of the byte, and the table that it then reads.

        The scale is None where the result is real, and the table empty where the bounds carry the activation function.
        """
        target = quantization.activations.get(layer.name)
        before = quantization.pre_activations.get(layer.name)
        if target is None:
            return None, 0, 0, ""
        if before is None:
            return target, *target.clamp(layer.activation), ""
        table = activation_table(layer.activation, before, target)
        return before, 0, 255, self.array(f"table_{number}", table)

    def add(self, number: int, layer: Add, out: str) -> None:
        """A sum; but for two maps of bytes in a block of its own, for the list of its inputs."""
        size, places = self.model.network.shapes[layer.name].size, [self.place(name) for name in layer.inputs]
        if self.quantization is None:
            inputs = f"const float *const inputs[] = {{{', '.join(places)}}};"
            arguments = (len(places), out, size, _activation_number(layer.activation))
            self.block("add", [inputs], "inputs", *arguments)
            return
        sources = [self.quantization.activations[name] for name in layer.inputs]
        target, low, high, table = self.result(number, layer, self.quantization)
        if target is None:
            raise FormatError(f"{layer.name} has no scale")
        if len(sources) == 2:
            first, second, constant = (float_literal(value) for value in sum_multipliers(sources, target))
            self.call("add", places[0], first, places[1], second, constant, out, size, low, high, table or "0")
            return
        scales = [float_literal(np.float32(one.scale)) for one in (*sources, target)]
        lines = [
            f"const uint8_t *const inputs[] = {{{', '.join(places)}}};",
            f"const int zeros[] = {{{', '.join(str(source.zero_point) for source in sources)}}};",
            f"const float scales[] = {{{', '.join(scales)}}};",
        ]
        numbers_of_sum = (len(places), out, size, target.zero_point, low, high, table or "0")
        self.block("add_many", lines, "inputs", "zeros", "scales", *numbers_of_sum)

    def multiply(self, number: int, layer: Multiply, out: str) -> None:
        """A product of two maps, or of a map and one number per channel."""
        network = self.model.network
        made, (_, second) = network.shapes[layer.name], network.input_shapes(layer)
        channels = 0 if second == made else made.channels
        places = [self.place(name) for name in layer.inputs]
        if self.quantization is None:
            self.call("multiply", *places, channels, out, made.size, _activation_number(layer.activation))
            return
        one, other = (self.quantization.activations[name] for name in layer.inputs)
        target, low, high, table = self.result(number, layer, self.quantization)
        if target is None:
            raise FormatError(f"{layer.name} has no scale")
        multiplier = float_literal(product_multiplier(one.scale, other.scale, target.scale))
        operands = (places[0], one.zero_point, places[1], other.zero_point, channels, multiplier)
        self.call("multiply", *operands, out, made.size, target.zero_point, low, high, table or "0")

    def concatenate(self, number: int, layer: Concatenate, out: str) -> None:
        """A concatenation, one part after the other."""
        network, begin = self.model.network, 0
        made = network.shapes[layer.name]
        pixels = made.height * made.width
        for name in layer.inputs:
            channels = network.shapes[name].channels
            arguments: list[object] = [self.place(name), channels]
            if self.quantization is not None:
                source, target = self.quantization.activations[name], self.quantization.activations[layer.name]
                table = (
                    "0" if source == target else self.array(f"part_{number}_{begin}", rescaling_table(source, target))
                )
                arguments.append(table)
            arguments += [f"{out} + {begin}", made.channels, pixels]
            self.call("concatenate", *arguments)
            begin += channels

    def array(self, name: str, values: Array) -> str:
        """A constant array; returns the expression that names it."""
        kind = {"int8": "int8_t", "uint8": "uint8_t", "int32": "int32_t", "float32": "float"}[values.dtype.name]
        self.flash_bytes += values.nbytes
        row = byte_rows(values.nbytes) if values.nbytes >= FEWEST_BYTES else 0
        if row:
            self.strings = True
            self.constants.append(
                f"static const union {{\n    unsigned char bytes[{values.nbytes // row}][{row}];\n"
                f"    {kind} values[{values.size}];\n}} {name} = {{{{\n{byte_strings(values.ravel(), row)}\n}}}};"
            )
            return f"{name}.values"
        self.constants.append(f"static const {kind} {name}[{values.size}] = {{\n{numbers(values.ravel())}}};")
        return name


def _activation_number(activation: Activation) -> int:
    """What the kernels call an activation function."""
    match activation:
        case Activation.NONE:
            return 0
        case Activation.RELU:
            return 1
        case Activation.RELU6:
            return 2
        case Activation.HARD_SIGMOID:
            return 3
        case Activation.HARD_SWISH:
            return 4
        case _:
            assert_never(activation)


def _window(layer: Weighted | MaxPool | GlobalAveragePool) -> dict[str, object]:
    """The fields of a ``struct layer`` that say what one output value reads."""
    match layer:
        case Convolution():
            groups = layer.groups
        case DepthwiseConvolution() | MaxPool():
            groups = 1
        case PointwiseConvolution() | Linear() | GlobalAveragePool():
            return {"kernel": 1, "stride": 1, "groups": 1}
        case _:
            assert_never(layer)
    sides = {"top": layer.padding.top, "left": layer.padding.left}
    return {"kernel": layer.kernel, "stride": layer.stride, "groups": groups, **sides}
