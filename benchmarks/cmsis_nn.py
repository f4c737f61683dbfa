"""The C export's kernels beside Arm's own, CMSIS-NN: instructions for the same layers, counted in the same emulator.

The convolutions of MLPerf Tiny's person detector (V1 0.25-96, int8, random weights). Every layer of CMSIS-NN reads the
reference's bytes, and its answers must lie within a step of them (it rounds with fixed-point multipliers). CMSIS-NN is
compiled with the level of optimization that it takes the fewest instructions at; ours, with its pooling and classifier,
at -O2. Give the folder of its sources with ``--source``, a checkout of github.com/ARM-software/CMSIS-NN; without one
there is nothing to compare, and the script says so.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
from tests.support.random_models import random_int8_model

from mobilenets.architecture.layers import (
    INPUT,
    Convolution,
    DepthwiseConvolution,
    PointwiseConvolution,
)
from mobilenets.architecture.networks.mobilenet_v1 import mobilenet_v1
from mobilenets.benchmark.microcontroller.count import (
    COMPILER,
    PROCESSORS,
    build_program,
    count_instructions,
    run_program,
)
from mobilenets.engine.timing import random_pixels
from mobilenets.formats.c.text import numbers
from mobilenets.model import reference
from mobilenets.model.model import Model
from mobilenets.model.quantization import requantization_multiplier

Weighted = Convolution | DepthwiseConvolution | PointwiseConvolution
ARCHIVER = "arm-none-eabi-ar"
LEVELS = ("-O2", "-O3", "-Ofast")
MAIN = """
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>
#include "arm_nnfunctions.h"
@arrays@
static int8_t input[@largest@] __attribute__((aligned(16))), output[@largest@] __attribute__((aligned(16)));
static int32_t buffer[@largest@ / 4] __attribute__((aligned(16)));
static volatile uint32_t *const systick = (volatile uint32_t *)0xe000e010; /* control, reload, current */
static uint32_t begin;

static void start(int file, int size)
{
    for (int got, done = 0; done < size && (got = read(file, input + done, size - done)) > 0; done += got) {
    }
    systick[1] = 0xffffff, systick[2] = 0, systick[0] = 5;
    begin = systick[2];
}

static void stop(int file, int size)
{
    const uint32_t end = systick[2];
    printf("%lu\\n", (unsigned long)((begin - end) & 0xffffff));
    write(file, output, size);
}

int main(void)
{
    const int in = open("in.bin", O_RDONLY), out = open("out.bin", O_WRONLY | O_CREAT | O_TRUNC, 0600);
    cmsis_nn_context context = {buffer, sizeof buffer};
@calls@
    close(out);
    return 0;
}
"""


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--source", type=Path, help="folder of CMSIS-NN's sources")
    parser.add_argument("--processors", default="cortex-m4,cortex-m55", help="separated by commas")
    parser.add_argument("--layers", action="store_true", help="also print CMSIS-NN's instructions by layer")
    chosen = parser.parse_args()
    if chosen.source is None or not (chosen.source / "Include" / "arm_nnfunctions.h").is_file():
        raise SystemExit("nothing to compare: give the folder of CMSIS-NN's sources with --source")
    model = random_int8_model(np.random.default_rng(0), mobilenet_v1(width_multiplier=0.25, resolution=96, classes=2))
    pixels = random_pixels(model.network)
    print("| processor | ours, million instructions | CMSIS-NN | of it |\n|---|---|---|---|")
    for processor in chosen.processors.split(","):
        ours = count_instructions(model, pixels[0], processor)
        theirs = min((count_cmsis_nn(model, pixels, processor, chosen.source, level) for level in LEVELS), key=sum)
        share = ours.instructions / sum(theirs)
        title = PROCESSORS[processor].title
        print(f"| {title} | {ours.instructions / 1e6:.2f} | {sum(theirs) / 1e6:.2f} | {share:.3f} |")
        if chosen.layers:
            for layer, count in zip(convolutions(model), theirs, strict=True):
                print(f"  {layer.name}: {count:,.0f}")


def convolutions(model: Model) -> list[Weighted]:
    """The layers that are compared."""
    return [layer for layer in model.network.layers if isinstance(layer, Weighted)]


def count_cmsis_nn(model: Model, pixels: np.ndarray, processor: str, source: Path, level: str) -> list[float]:
    """Instructions of each convolution, whose answers have been held against the reference."""
    expected = reference.activations(model, pixels)
    expected[INPUT] = pixels.transpose(0, 3, 1, 2)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        order = [layer.inputs[0] for layer in convolutions(model)]
        (folder / "in.bin").write_bytes(b"".join(signed(expected[one]).tobytes() for one in order))
        arrays, calls = [], []
        for number, layer in enumerate(convolutions(model)):
            arrays += constants(model, layer, number)
            calls += call(model, layer, number)
        largest = max(shape.size for shape in model.network.shapes.values())
        text = MAIN.replace("@arrays@", "\n".join(arrays)).replace("@calls@", "\n".join(calls))
        (folder / "main.c").write_text(text.replace("@largest@", str(largest)))
        library = compile_library(folder, processor, source, level)
        build_program(folder, ["main.c", library], processor, optimize=level, include=[source / "Include"])
        ticks = [int(line) for line in run_program(folder, processor).split()]
        found = np.frombuffer((folder / "out.bin").read_bytes(), np.int8).astype(np.int32)
    wanted = np.concatenate([signed(expected[layer.name]).ravel() for layer in convolutions(model)])
    if np.abs(found - wanted).max() > 1:
        raise SystemExit(f"{processor}: CMSIS-NN's answers are not the reference's")
    return [tick * PROCESSORS[processor].tick for tick in ticks]


def compile_library(folder: Path, processor: str, source: Path, level: str) -> str:
    """A library of all int8 kernels."""
    (folder / "library").mkdir()
    files = [*source.glob("Source/ConvolutionFunctions/*_s8*.c"), *source.glob("Source/NNSupportFunctions/*_s8*.c")]
    files += [
        *source.glob("Source/NNSupportFunctions/arm_q7_to_q15*.c"),
        *source.glob("Source/TransposeFunctions/*_s8.c"),
    ]
    target = ["-std=c99", level, "-mthumb", *PROCESSORS[processor].target]
    command = [COMPILER, *target, f"-I{(source / 'Include').resolve()}", "-c", *(str(one.resolve()) for one in files)]
    subprocess.run(command, cwd=folder / "library", check=True)
    objects = [f"{one.stem}.o" for one in files]
    subprocess.run([ARCHIVER, "rc", "libnn.a", *objects], cwd=folder / "library", check=True)
    return "library/libnn.a"


def signed(values: np.ndarray) -> np.ndarray:
    """Bytes as int8 less 128, channels last."""
    moved: np.ndarray = (values[0].transpose(1, 2, 0).astype(np.int16) - 128).astype(np.int8)
    return moved


def constants(model: Model, layer: Weighted, number: int) -> list[str]:
    """Weights, channels last, biases, and multipliers as 31 bits and a shift."""
    assert model.quantization is not None
    weight = model.parameters[f"{layer.name}.weight"]
    depthwise = isinstance(layer, DepthwiseConvolution)
    weight = weight.transpose(2, 3, 1, 0) if depthwise else weight.transpose(0, 2, 3, 1)
    scales = [model.quantization.activations[name].scale for name in (layer.inputs[0], layer.name)]
    real = requantization_multiplier(scales[0], model.parameters[f"{layer.name}.weight_scale"], scales[1])
    mantissa, exponent = np.frexp(real.astype(np.float64))
    arrays = {
        "int8_t weight": weight.ravel(),
        "int32_t bias": model.parameters[f"{layer.name}.bias"],
        "int32_t multiplier": np.minimum(np.rint(mantissa * 2**31), 2**31 - 1).astype(np.int32),
        "int32_t shift": exponent.astype(np.int32),
    }
    return [f"static const {name}_{number}[] = {{{numbers(values)}}};" for name, values in arrays.items()]


def call(model: Model, layer: Weighted, number: int) -> list[str]:
    """One layer's lines of C."""
    assert model.quantization is not None
    source, made = model.network.input_shapes(layer)[0], model.network.shapes[layer.name]
    before, after = (model.quantization.activations[name] for name in (layer.inputs[0], layer.name))
    low, high = after.clamp(layer.activation)
    side, stride, padding = 1, 1, (0, 0)
    if not isinstance(layer, PointwiseConvolution):
        side, stride, padding = layer.kernel, layer.stride, (layer.padding.left, layer.padding.top)
    depthwise = isinstance(layer, DepthwiseConvolution)
    kind, multiplier = ("dw_conv", "1, ") if depthwise else ("conv", "")
    function = "arm_depthwise_conv_wrapper_s8" if depthwise else "arm_convolve_wrapper_s8"
    filters = (1, side, side, made.channels) if depthwise else (made.channels, side, side, source.channels)
    return [
        "    {",
        f"        const cmsis_nn_{kind}_params parameters = {{{128 - before.zero_point}, {after.zero_point - 128}, "
        f"{multiplier}{{{stride}, {stride}}}, {{{padding[0]}, {padding[1]}}}, {{1, 1}}, "
        f"{{{low - 128}, {high - 128}}}}};",
        f"        const cmsis_nn_per_channel_quant_params quant = {{(int32_t *)multiplier_{number}, "
        f"(int32_t *)shift_{number}}};",
        f"        const cmsis_nn_dims in_dims = {{1, {source.height}, {source.width}, {source.channels}}};",
        f"        const cmsis_nn_dims filter_dims = {{{', '.join(map(str, filters))}}};",
        f"        const cmsis_nn_dims bias_dims = {{1, 1, 1, {made.channels}}};",
        f"        const cmsis_nn_dims out_dims = {{1, {made.height}, {made.width}, {made.channels}}};",
        f"        start(in, {source.size});",
        f"        {function}(&context, &parameters, &quant, &in_dims, input, &filter_dims, weight_{number},",
        f"            &bias_dims, bias_{number}, &out_dims, output);",
        f"        stop(out, {made.size});",
        "    }",
    ]


if __name__ == "__main__":
    main()
