"""The text of a Model in C: constants, calls of kernels, and the header that declares them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from importlib.resources import files
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
from mobilenets.errors import FormatError
from mobilenets.formats.c.arena import PIXELS, scratch_of
from mobilenets.formats.c.kernels import ROW, VECTOR, Weighted, kernel_of, threes_of_pixels
from mobilenets.formats.c.memory import ROWS, STACK_BYTES, band_sizes, memory_of, memory_within
from mobilenets.formats.c.rows import RowPlan
from mobilenets.formats.c.text import (
    byte_rows,
    byte_strings,
    comment,
    float_literal,
    numbers,
    sections,
    string_literal,
)
from mobilenets.formats.format import Footprint
from mobilenets.formats.verification import Ending
from mobilenets.model.model import Model
from mobilenets.model.preprocessing import Preprocessing, ResizeMode, pixel_scale_and_offset
from mobilenets.model.quantization import (
    Quantization,
    TensorQuantization,
    activation_table,
    average_multiplier,
    product_multiplier,
    requantization_multiplier,
    rescaling_table,
    sum_multipliers,
)

Array = npt.NDArray[Any]

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


def _kernels(name: str) -> str:
    """The kernels of one arithmetic, behind the sections that both share."""
    head, mark, own = kernel_source(name).partition("//@ ")
    if name == "int8.c":
        own += "".join(map(kernel_source, ("int8_round.c", "int8_convolution.c", "int8_depthwise.c", "int8_rows.c")))
    return head + kernel_source("window.c") + kernel_source("softmax.c") + mark + own


def kernel_source(name: str) -> str:
    """A file of this folder."""
    return files("mobilenets.formats").joinpath("c", name).read_text(encoding="utf-8")


@dataclass
class SourceWriter:
    """Collects constants and calls, layer after layer."""

    model: Model
    ending: Ending | None = None
    """How logits become probabilities; None to leave them logits."""
    max_ram: int | None = None
    """Bytes of RAM, the stack included, for which an int8 network's first layers may be computed by rows."""
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
        self.zeros = {
            layer.name for layer in network.layers if f"{layer.name}.weight_zero_point" in self.model.parameters
        }
        if self.max_ram is None or not self.integer:
            self.memory = memory_of(network, integer=self.integer, weight_zeros=self.zeros)
        else:
            self.memory = memory_within(network, self.max_ram - STACK_BYTES, weight_zeros=self.zeros)
        self.plan, self.direct = self.memory.plan, self.memory.direct

    @property
    def footprint(self) -> Footprint:
        by_rows = 0 if self.memory.rows is None else len(self.memory.rows.layers)
        return Footprint(self.flash_bytes, self.plan.size, by_rows)

    # The file

    def figures(self) -> dict[str, int]:
        """The numbers that the header defines."""
        network, preprocessing = self.model.network, self.model.preprocessing
        labels = self.model.task.labels
        return {
            "HEIGHT": network.height,
            "WIDTH": network.width,
            "CHANNELS": network.channels,
            **({} if labels is None else {"CLASSES": len(labels)}),
            "FLASH_BYTES": self.flash_bytes,
            "RAM_BYTES": self.plan.size,
            "CROP_PERMILLE": _crop_permille(preprocessing),
        }

    def prototypes(self, name: str) -> list[str]:
        """The functions, without their semicolons."""
        outputs = ", ".join(f"float *output_{number}" for number in range(len(self.model.network.outputs)))
        if self.memory.rows is not None:
            return [f"void {name}_run({name}_arena *arena, {name}_row_reader *read_row, void *context, {outputs})"]
        return [f"uint8_t *{name}_input({name}_arena *arena)", f"void {name}_run({name}_arena *arena, {outputs})"]

    def header(self, name: str, stem: str) -> bytes:
        """What a program includes."""
        network, upper = self.model.network, name.upper()
        outputs = enumerate(network.outputs)
        sizes = "; ".join(f"output_{number} takes {network.shapes[output].size} floats" for number, output in outputs)
        guard = f"{re.sub(r'[^A-Z0-9]', '_', stem.upper())}_H_OF_{upper}"
        labels = self.model.task.labels is not None
        usage = [
            f"       write the image to {name}_input(&arena): {upper}_HEIGHT rows of {upper}_WIDTH pixels, each of",
            f"       {upper}_CHANNELS bytes; a run overwrites it",
            f"       {name}_run(&arena, output);   {sizes} */",
        ]
        reader: list[str] = []
        if self.memory.rows is not None:
            usage = [
                f"       {name}_run(&arena, read_row, context, output);   {sizes}",
                "       reads the image by rows, so that it need not lie in memory */",
            ]
            reader = [
                f"/* Writes a row of the image to `pixels`: {upper}_WIDTH pixels of {upper}_CHANNELS bytes. Each is",
                "   asked for once, from the first to the last, with the context that was given to the run. */",
                f"typedef void {name}_row_reader(void *context, int row, uint8_t *pixels);",
                "",
            ]
        lines = [
            f"/* {comment(network.name)}, {self.model.precision}: written by mobilenets. More in {comment(stem)}.md.",
            "",
            f"       static {name}_arena arena;",
            *usage,
            f"#ifndef {guard}",
            f"#define {guard}",
            "",
            "#include <stdint.h>",
            "",
            *(f"#define {upper}_{figure} {value}" for figure, value in self.figures().items()),
            "",
            "#ifdef __cplusplus",
            'extern "C" {',
            "#endif",
            "",
            "/* All that a run works in. Runs one after the other may share one; runs at the same time may not. */",
            "typedef union {",
            f"    uint8_t bytes[{upper}_RAM_BYTES];",
            "    uint64_t aligned;",
            f"}} {name}_arena;",
            "",
            *reader,
            *(f"{prototype};" for prototype in self.prototypes(name)),
            *([f"extern const char *const {name}_labels[{upper}_CLASSES];"] if labels else []),
            "",
            "#ifdef __cplusplus",
            "}",
            "#endif",
            "",
            "#endif",
            "",
        ]
        return "\n".join(lines).encode()

    def source(self, name: str, header: str) -> bytes:
        """The whole C file."""
        for number, layer in enumerate(self.model.network.layers):
            self.layer(number, layer)
        self.leave()
        if self.ending is not None:
            classes = self.model.network.shapes[self.model.network.outputs[0]].size
            function = "sigmoids" if self.ending.sigmoid else "softmax"
            self.call(function, "output_0", classes, float_literal(self.ending.temperature))
        upper, kind = name.upper(), "uint8_t" if self.integer else "float"
        labels = self.model.task.labels
        head = [
            f"/* {comment(self.model.network.name)}, {self.model.precision}: written by mobilenets.",
            f"   {self.flash_bytes} bytes of flash for weights, {self.plan.size} bytes of RAM. */",
            "",
            *([] if self.integer else ["#include <float.h>"]),
            *(["#include <math.h>"] if self.integer or self.ending is not None else []),
            "#include <stdint.h>",
            "",
            f'#include "{header}"',
            "",
        ]
        named = [
            f"const char *const {name}_labels[{upper}_CLASSES] = {{",
            *(f"    {string_literal(label)}," for label in labels or ()),
            "};",
            "",
        ]
        *takes, runs = self.prototypes(name)
        pixels = self.plan.offsets.get(INPUT if self.integer else PIXELS)
        tail = [
            *([] if labels is None else named),
            *([*takes, "{", f"    return arena->bytes + {pixels};", "}", ""] if takes else []),
            runs.replace("_arena *arena", "_arena *memory"),
            "{",
            f"    {kind} *const arena = ({kind} *)memory->bytes;"
            if kind != "uint8_t"
            else "    uint8_t *const arena = memory->bytes;",
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
        rows = self.memory.rows
        if rows is not None and layer.name in rows.layers:
            assert isinstance(layer, Weighted)  # as chain_of takes no other
            self.describe(number, layer)
            if layer.name == rows.layers[-1]:
                self.by_rows(rows, self.place(layer.name))
            return
        out = self.place(layer.name)
        match layer:
            case Convolution() | DepthwiseConvolution() | PointwiseConvolution() | Linear():
                self.describe(number, layer)
                arguments = [f"&layer_{number}", self.place(layer.inputs[0]), *self.targets(layer, out)]
                if layer.name in self.memory.scratch:
                    arguments.append(self.place(scratch_of(layer.name)))
                self.call(self.kernel(layer), *arguments)
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

    def by_rows(self, rows: RowPlan, out: str) -> None:
        """The one call that computes the first layers."""
        network = self.model.network
        begin, stages = self.plan.offsets[ROWS], []
        for number, (layer, size) in enumerate(zip(network.layers, band_sizes(network, rows), strict=False)):
            stages.append(f"    {{&layer_{number}, {kernel_of(layer)}, {begin}}},")
            begin += size
        self.constants.append("\n".join(["static const struct stage stages[] = {", *stages, "};"]))
        where = ["arena", "read_row", "context", out, self.place(scratch_of(ROWS))]
        self.call("rows", "stages", len(stages), rows.at_once, *where)

    def kernel(self, layer: Weighted) -> str:
        """The kernel of a layer with weights."""
        if not self.integer:
            return "depthwise" if isinstance(layer, DepthwiseConvolution) else "convolution"
        return kernel_of(layer, weight_zeros=layer.name in self.zeros)

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
            by_channel = self.integer and self.kernel(layer) == "depthwise"
            weight = weight.transpose(0, 1, 3, 2) if by_channel else weight.transpose(2, 3, 1, 0)
        elif isinstance(layer, Linear):
            source = self.model.network.input_shapes(layer)[0]
            weight = weight.reshape(len(weight), *source).transpose(0, 2, 3, 1)
        else:
            weight = weight.transpose(0, 2, 3, 1)
        bias = self.model.parameters[f"{layer.name}.bias"] if layer.bias else None
        fields: dict[str, object] = {}
        if self.integer and self.kernel(layer) in ("convolution", "depthwise"):
            bias = self.folded_bias(layer, bias)
        if self.integer and self.kernel(layer) == "convolution":
            rows = byte_matrix(weight)
            fields |= {"rows": self.array(f"weight_{number}", whole_vectors(rows)), "row_bytes": rows.shape[1]}
            made = self.model.network.shapes[layer.name]
            room = self.memory.room(layer.name)
            fields["threes"] = threes_of_pixels(rows.shape[1], made.height * made.width, room)
        else:
            fields["weight"] = self.array(f"weight_{number}", weight)
        if bias is not None:
            fields["bias"] = self.array(f"bias_{number}", bias)
        return fields

    def folded_bias(self, layer: Weighted, bias: Array | None) -> Array:
        """The bias with what the input's zero point adds to every sum, in int32 that wraps around."""
        weight = self.model.parameters[f"{layer.name}.weight"].astype(np.int64)
        zeros = self.model.parameters.get(f"{layer.name}.weight_zero_point", np.zeros(len(weight), np.int8))
        sums = weight.reshape(len(weight), -1).sum(axis=1) - zeros.astype(np.int64) * (weight.size // len(weight))
        assert self.quantization is not None
        added = self.quantization.activations[layer.inputs[0]].zero_point * sums
        own = np.zeros(len(weight), np.int64) if bias is None else bias.astype(np.int64)
        folded: Array = (own - added).astype(np.uint32).view(np.int32)
        return folded

    def integers(self, number: int, layer: Layer, quantization: Quantization) -> dict[str, object]:
        """Zero points, bounds and multipliers."""
        source = quantization.activations[layer.inputs[0]]
        target, low, high, table = self.result(number, layer, quantization)
        fields: dict[str, object] = {"in_zero": source.zero_point}
        if target is not None:
            fields |= {
                "out_zero": target.zero_point,
                "least": low - target.zero_point,
                "most": high - target.zero_point,
            }
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


def _crop_permille(preprocessing: Preprocessing) -> int:
    """What the example program keeps of an image's larger side, in thousandths; 0 where it stretches the whole."""
    match preprocessing.fit:
        case ResizeMode.CROP:
            return round(1000 * preprocessing.crop_fraction)
        case ResizeMode.SQUASH:
            return 0
        case ResizeMode.LETTERBOX:
            raise FormatError("the example program in C crops or stretches images; this Model's are letterboxed")
        case _:
            assert_never(preprocessing.fit)


def byte_matrix(weight: Array) -> Array:
    """int8 weights (out, …) as bytes 128 larger, in rows of a multiple of eight.

    >>> byte_matrix(np.array([[-128, 127, 0]], np.int8))
    array([[  0, 255, 128, 128, 128, 128, 128, 128]], dtype=uint8)
    """
    rows = weight.reshape(len(weight), -1).astype(np.int16) + 128
    return np.pad(rows, ((0, 0), (0, -rows.shape[1] % ROW)), constant_values=128).astype(np.uint8)


def whole_vectors(rows: Array) -> Array:
    """Rows of bytes, an even number of them, with enough behind the last for it to be read in vectors."""
    even = np.pad(rows, ((0, len(rows) % 2), (0, 0)), constant_values=128)
    return np.pad(even.ravel(), (0, -rows.shape[1] % VECTOR), constant_values=128)


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
    down, across = layer.strides
    if down != across:
        raise FormatError(f"{layer.name} steps {down} pixels down and {across} across; C files hold one stride a layer")
    return {"kernel": layer.kernel, "stride": down, "groups": groups, **sides}
