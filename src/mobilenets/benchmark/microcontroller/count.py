"""How many instructions the C file of a Model takes on a microcontroller, counted by running it in an emulator.

QEMU lets every instruction take one nanosecond of the emulated clock (``-icount shift=0``), which the processor's own
timer reads. That counts instructions, not cycles: a load that waits or a branch that is taken costs a real processor
more than one. Counts are exact to a tick of the timer, and the same every time.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from mobilenets.errors import FormatError
from mobilenets.formats.c.run import NoCompilerError
from mobilenets.formats.c.write import to_c
from mobilenets.model.model import Model
from mobilenets.model.preprocessing import Pixels, check_pixels

COMPILER, EMULATOR, SIZE = "arm-none-eabi-gcc", "qemu-system-arm", "arm-none-eabi-size"
INSTALL = "on Debian: apt install gcc-arm-none-eabi libnewlib-arm-none-eabi qemu-system-arm"
MOST_SECONDS = 300
_READER = """\
static void read_row(void *context, int row, uint8_t *pixels)
{
    (void)context;
    memcpy(pixels, image + row * MODEL_WIDTH * MODEL_CHANNELS, MODEL_WIDTH * MODEL_CHANNELS);
}
"""
TICKS = 1 << 24
"""After so many ticks the timer begins anew."""


@dataclass(frozen=True)
class Processor:
    """A microcontroller's processor.

    Attributes:
        title: What its maker calls it.
        target: Flags of the compiler.
        board: Flags of the emulator.
        tick: Instructions that pass between two ticks of its timer.
        code: Size of the memory for code, as the linker takes it.
        data: Size of the memory for data.
    """

    title: str
    target: tuple[str, ...]
    board: tuple[str, ...]
    tick: float = 40
    code: str = "4M"
    data: str = "4M"


_M4_FLOATS = ("-mfpu=fpv4-sp-d16", "-mfloat-abi=hard")
_LARGE_NRF51 = ("-global", "nrf51-soc.sram-size=262144", "-global", "nrf51-soc.flash-size=4194304")

PROCESSORS: Mapping[str, Processor] = MappingProxyType(
    {
        "cortex-m0plus": Processor(
            "Cortex-M0+", ("-mcpu=cortex-m0plus",), ("-M", "microbit", *_LARGE_NRF51), 62.5, data="256K"
        ),
        "cortex-m3": Processor("Cortex-M3", ("-mcpu=cortex-m3",), ("-M", "mps2-an385")),
        "cortex-m4": Processor("Cortex-M4", ("-mcpu=cortex-m4", *_M4_FLOATS), ("-M", "mps2-an386")),
        "cortex-m4-soft": Processor("Cortex-M4 without floating point", ("-mcpu=cortex-m4",), ("-M", "mps2-an386")),
        "cortex-m7": Processor(
            "Cortex-M7", ("-mcpu=cortex-m7", "-mfpu=fpv5-sp-d16", "-mfloat-abi=hard"), ("-M", "mps2-an500")
        ),
        "cortex-m55": Processor(
            "Cortex-M55", ("-mcpu=cortex-m55", "-mfloat-abi=hard"), ("-M", "mps3-an547"), 31.25, "512K", "512K"
        ),
    }
)
"""By the name that a device profile and the command line have for it."""


@dataclass(frozen=True, eq=False)
class Count:
    """One run of a network.

    Attributes:
        instructions: Of ``model_run``.
        outputs: By output name, float32, (height, width, channels), to be held against the reference.
        flash_bytes: Of the network's object file: weights and code.
        ram_bytes: Of the arena, the image included, unless it is read by rows.
    """

    instructions: int
    outputs: Mapping[str, npt.NDArray[Any]]
    flash_bytes: int
    ram_bytes: int


def count_instructions(
    model: Model,
    image: Pixels,
    processor: str = "cortex-m4",
    *,
    optimize: str = "-O2",
    max_ram: int | None = None,
) -> Count:
    """Compile a Model's C file for a processor and run it once in an emulator.

    Args:
        model: float32 or int8.
        image: uint8, (height, width, channels) of the network's input.
        processor: A name of :data:`PROCESSORS`.
        optimize: How hard the compiler tries.
        max_ram: Bytes of RAM to fit into, as :func:`~mobilenets.formats.c.write.to_c` takes them.

    Raises:
        FormatError: If the processor is unknown, or the program does not build or run, as when a network takes more
            memory than the emulated board has.
        NoCompilerError: If the compiler, its C library or the emulator is not installed.
        ModelError: If the image is not one of the network's input.
    """
    if processor not in PROCESSORS:
        raise FormatError(f"processor {processor!r} must be one of {', '.join(PROCESSORS)}")
    check_pixels(model.network, image[None])
    for program in (COMPILER, EMULATOR):
        if shutil.which(program) is None:
            raise NoCompilerError(f"{program} is not installed; {INSTALL}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        needed = to_c(model, folder / "model.c", max_ram=max_ram)
        flash_bytes = _build(model, image, processor, folder, optimize, by_rows=needed.by_rows > 0)
        lines = run_program(folder, processor).split()
    bits = np.array([int(line, 16) for line in lines[1:]], np.uint32).view(np.float32)
    outputs, begin = {}, 0
    for output in model.network.outputs:
        shape = model.network.shapes[output]
        values = bits[begin : begin + shape.size].reshape(shape.height, shape.width, shape.channels)
        outputs[output], begin = values, begin + shape.size
    return Count(round(int(lines[0]) * PROCESSORS[processor].tick), outputs, flash_bytes, needed.ram_bytes)


@dataclass(frozen=True)
class LayerCounts:
    """One run of a network, layer after layer.

    Attributes:
        instructions: By layer, to about a tick of the timer.
        flash_bytes: Of the network's object file: weights, code and labels.
    """

    instructions: Mapping[str, int]
    flash_bytes: int


def count_layers(model: Model, image: Pixels, processor: str, *, optimize: str = "-O2") -> LayerCounts:
    """Count the instructions of every layer, as :func:`count_instructions` does those of all.

    Args:
        model: int8, without batch norms.
        image: uint8, (height, width, channels) of the network's input.
        processor: A name of :data:`PROCESSORS`.
        optimize: How hard the compiler tries.

    Raises:
        FormatError: If the program does not build or run.
        NoCompilerError: If the compiler, its C library or the emulator is not installed.
    """
    layers = model.network.layers
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        to_c(model, folder / "model.c")
        head, mark, body = (folder / "model.c").read_text(encoding="utf-8").partition("\nvoid model_run(")
        lines = body.split("\n")
        ends = [number for number, line in enumerate(lines) if line.endswith(");") or line == "    }"]
        for number in reversed(ends[: len(layers)]):
            lines.insert(number + 1, "    end_of_layer();")
        marked = f"{head}\nvoid end_of_layer(void);\n{mark}" + "\n".join(lines)
        (folder / "model.c").write_text(marked, encoding="utf-8")
        flash_bytes = _build(model, image, processor, folder, optimize, "count_layers.c")
        ticks = [int(line) for line in run_program(folder, processor).split()]
    counts = [round(each * PROCESSORS[processor].tick) for each in ticks]
    return LayerCounts({layer.name: count for layer, count in zip(layers, counts, strict=True)}, flash_bytes)


def _build(
    model: Model,
    image: Pixels,
    processor: str,
    folder: Path,
    optimize: str,
    program: str = "count.c",
    *,
    by_rows: bool = False,
) -> int:
    """Build ``main.elf``; returns the bytes of the network's code and constants."""
    sizes = [model.network.shapes[output].size for output in model.network.outputs]
    begins = np.cumsum([0, *sizes])
    words = {
        "reader": _READER if by_rows else "",
        "feed": "" if by_rows else "memcpy(model_input(&arena), image, sizeof image);",
        "how": "read_row, 0, " if by_rows else "",
        "image": ",".join(map(str, image.ravel())),
        "outputs": str(begins[-1]),
        "layers": str(len(model.network.layers)),
        "places": ", ".join(
            f"&outputs[{begin}].real" if program == "count.c" else f"outputs + {begin}" for begin in begins[:-1]
        ),
    }
    (folder / "count.c").write_text(_template(program, words))
    _call([COMPILER, "-std=c99", optimize, "-mthumb", *PROCESSORS[processor].target, "-c", "model.c"], folder)
    build_program(folder, ["count.c", "model.o"], processor, optimize=optimize)
    size = _call([SIZE, "model.o"], folder).split()
    return int(size[size.index("filename") + 1])


def build_program(
    folder: Path, sources: Sequence[str], processor: str, *, optimize: str = "-O2", include: Sequence[Path] = ()
) -> None:
    """Build ``main.elf`` for an emulated processor; its program may read and write files of the folder.

    Args:
        folder: Where the sources are and the program goes.
        sources: C and object files.
        processor: A name of :data:`PROCESSORS`.
        optimize: How hard the compiler tries.
        include: Folders of headers.

    Raises:
        FormatError: If the program does not build.
        NoCompilerError: If the C library of the compiler is not installed.
    """
    chosen = PROCESSORS[processor]
    (folder / "startup.c").write_text(_template("startup.c", {}))
    (folder / "cortex_m.ld").write_text(_template("cortex_m.ld", {"code": chosen.code, "data": chosen.data}))
    target = ["-std=gnu99", optimize, "-mthumb", *chosen.target, *(f"-I{one.resolve()}" for one in include)]
    linking = ["--specs=rdimon.specs", "-T", "cortex_m.ld", "-Wl,--no-warn-rwx-segments"]
    _call([COMPILER, *target, *linking, *sources, "startup.c", "-lm", "-o", "main.elf"], folder)


def run_program(folder: Path, processor: str) -> str:
    """Run ``main.elf`` in the emulator; returns what it prints.

    Raises:
        FormatError: If it fails, or does not end.
    """
    quiet = ["-nographic", "-monitor", "none", "-serial", "none"]
    counting = ["-icount", "shift=0", "-semihosting-config", "enable=on,target=native"]
    return _call([EMULATOR, *PROCESSORS[processor].board, *quiet, *counting, "-kernel", "main.elf"], folder)


def _template(name: str, words: Mapping[str, str]) -> str:
    text = files("mobilenets.benchmark").joinpath("microcontroller", name).read_text(encoding="utf-8")
    for word, value in words.items():
        text = text.replace(f"@{word}@", value)
    return text


def _call(command: list[str], folder: Path) -> str:
    try:
        ran = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=MOST_SECONDS)
    except subprocess.TimeoutExpired as error:
        raise FormatError(f"{command[0]} did not end within {MOST_SECONDS} seconds") from error
    if "rdimon.specs" in ran.stderr:
        raise NoCompilerError(f"newlib for arm-none-eabi is not installed; {INSTALL}")
    if ran.returncode != 0:
        raise FormatError(f"{command[0]} failed: {ran.stderr.strip()[-500:]}")
    return ran.stdout
