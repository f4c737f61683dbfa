"""Model → a C99 file and its header for devices without an operating system.

The file holds the weights in constant arrays and the kernels that the network needs; the caller gives the memory for
all activations, planned by :mod:`mobilenets.formats.c.arena`. It allocates nothing and needs little of the mathematical
library: ``rintf``, ``fmaf`` where the processor has an instruction for it, and ``expf`` for probabilities. An int8
Model gives the bits of :mod:`mobilenets.model.reference`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mobilenets.base.atomic_write import write_atomically
from mobilenets.base.quantities import size_in_bytes
from mobilenets.errors import FormatError
from mobilenets.formats.c.memory import STACK_BYTES
from mobilenets.formats.c.source import SourceWriter, kernel_source
from mobilenets.formats.c.text import comment
from mobilenets.formats.format import PROBABILITIES, Footprint, Options, option
from mobilenets.formats.verification import ending_of
from mobilenets.model.folding import fold
from mobilenets.model.model import Model
from mobilenets.tasks.classification import Classification


def _manner(writer: SourceWriter) -> dict[str, str]:
    """What the page and the example say of how the image is given; other words may stand in it."""
    rows = writer.memory.rows
    if rows is None:
        two = {"functions": "two functions"}
        camera = "Write straight to `@name@_input(&arena)`; no other copy of the image is needed."
        return {
            "use": kernel_source("use.md"),
            "run": _EXAMPLE_RUN,
            "camera": camera,
            "image": "the image included",
            **two,
        }
    camera = "Write each row straight to `pixels`; no other copy of the image is needed."
    image = "with the rows of the image that are worked on"
    counts = {"functions": "one function", "stages": str(len(rows.layers)), "at_once": str(rows.at_once)}
    return {"use": kernel_source("use_rows.md"), "run": _EXAMPLE_BY_ROWS, "camera": camera, "image": image, **counts}


_EXAMPLE_RUN = """\
for (int row = 0; row < @NAME@_HEIGHT; row++) {
        shrink_row(&whole, row, @name@_input(&arena) + row * @NAME@_WIDTH * @NAME@_CHANNELS);
    }
    @name@_run(&arena, scores);"""
_EXAMPLE_BY_ROWS = "@name@_run(&arena, shrink_row, &whole, scores);"


@dataclass(frozen=True)
class ProjectKind:
    """What a build system wants.

    Attributes:
        sources: Folder of the C files.
        files: By path in the project, where ``{project}`` is its name, the template.
        entry: How its system declares what a program begins with.
    """

    sources: str
    files: Mapping[str, str]
    entry: str = "int main(void)"


PROJECTS: Mapping[str, ProjectKind] = {
    "cmake": ProjectKind(".", {"CMakeLists.txt": "projects/cmake.txt", "main.c": "projects/program.c"}),
    "arduino": ProjectKind(".", {"{project}.ino": "projects/arduino.ino"}),
    "zephyr": ProjectKind(
        "src",
        {
            "CMakeLists.txt": "projects/zephyr.txt",
            "prj.conf": "projects/zephyr.conf",
            "src/main.c": "projects/program.c",
        },
    ),
    "esp-idf": ProjectKind(
        "main",
        {
            "CMakeLists.txt": "projects/esp_idf.txt",
            "main/CMakeLists.txt": "projects/esp_idf_main.txt",
            "main/main.c": "projects/program.c",
        },
        entry="void app_main(void)",
    ),
}
"""Projects that a Model can be written as, by the build system."""


_BY_ROWS = {
    "projects/program.c": "projects/program_rows.c",
    "projects/arduino.ino": "projects/arduino_rows.ino",
}
"""Programs of Models that read the image by rows, by those of others."""


@dataclass(frozen=True)
class COptions(Options):
    """Options of :func:`to_c`."""

    name: str = option("model", "Beginning of the public names")
    example: bool = option(False, "Write main.c beside it, which classifies a PPM image")
    project: str = option("", f"Write FILE as the folder of a project that builds: {', '.join(PROJECTS)}")
    probabilities: bool = option(False, PROBABILITIES)
    max_ram: str = option(
        "", "RAM to fit into, stack included, such as 24kB: the image is then read by rows, if needed"
    )

    @property
    def ram(self) -> int | None:
        """The RAM in bytes; None for no limit.

        Raises:
            FormatError: If the text is no size.
        """
        if not self.max_ram:
            return None
        size = size_in_bytes(self.max_ram)
        if size is None:
            raise FormatError(f"max_ram {self.max_ram!r} is not a size such as 24kB or 24KiB")
        return size


def write_c(model: Model, path: Path, options: COptions) -> Footprint:
    """:func:`to_c`, or a project around it, as the registry of formats calls it."""
    if options.project:
        return write_project(
            model, path, options.project, name=options.name, probabilities=options.probabilities, max_ram=options.ram
        )
    return to_c(
        model,
        path,
        name=options.name,
        example=options.example,
        probabilities=options.probabilities,
        max_ram=options.ram,
    )


def to_c(
    model: Model,
    path: str | Path,
    *,
    name: str = "model",
    example: bool = False,
    probabilities: bool = False,
    max_ram: int | None = None,
) -> Footprint:
    """Write a Model as a C99 file, its header, for C and C++, and a page on how they are used.

    The header declares ``<name>_arena``, all memory that a run works in; ``uint8_t *<name>_input(<name>_arena *)``,
    where the image goes as (height, width, channels) bytes before every run; ``void <name>_run(<name>_arena *, float
    *output, ...)``, one array of floats per output, maps as (height, width, channels); ``<NAME>_HEIGHT``, ``_WIDTH``,
    ``_CHANNELS``, ``_FLASH_BYTES`` and ``_RAM_BYTES``; and, of a classifier, ``<name>_labels`` and ``<NAME>_CLASSES``.
    Nothing else is kept between runs or shared by them: several arenas may be at work at the same time.

    Args:
        model: float32 or int8; batch norms are folded, which the file does not know.
        path: Where to, such as ``model.c``; ``model.h`` and ``model.md`` come beside it.
        name: Beginning of every public name: lower case letters, digits and underscores.
        example: Whether to write ``main.c`` beside it, which classifies a PPM image.
        probabilities: Whether the file gives probabilities: ``softmax(logits / temperature)`` of a classifier, sigmoids
            of a Model with several labels an image.
        max_ram: Bytes of RAM that an int8 Model should fit into, with the stack. Where it does not by itself, its first
            layers are computed by rows: ``<name>_run`` then takes a function that writes one row of the image at a
            time, and the context that it is called with, and there is no ``<name>_input``.

    Raises:
        CompressionError: If a batch norm to fold holds what is not a finite number.
        FormatError: If the path does not end in ``.c``, the name is not a C identifier, a label is too long for C, or
            an example or probabilities are asked for and the Model is no classifier, or it does not fit into
            ``max_ram``.
        OSError: If a file cannot be written.
    """
    path = Path(path)
    if path.suffix != ".c":
        raise FormatError(f"C files end in .c, not {path.suffix or 'in nothing'!r}: {path.name}")
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,40}", name):
        raise FormatError(f"name {name!r} must be a C identifier in lower case, of at most 41 characters")
    if example and path.name == "main.c":
        raise FormatError("the example is called main.c; give the model another file name")
    if example:
        require_labels(model, "the example")
    ending = ending_of(model) if probabilities else None
    writer = SourceWriter(_folded(model), ending, max_ram)
    if max_ram is not None:
        _check_ram(writer, max_ram)
    source = writer.source(name, path.with_suffix(".h").name)
    words = {
        **_manner(writer),
        "NAME": name.upper(),
        "name": name,
        "stem": path.stem,
        "arena_kib": f"{writer.footprint.ram_bytes / 1024:.1f}",
    }
    words |= {key: str(value) for key, value in writer.figures().items()}
    words |= {"network": comment(model.network.name), "precision": model.precision}
    words |= {"outputs": ", ".join(f"output_{number}" for number in range(len(model.network.outputs)))}
    words |= {"meaning": "probabilities" if probabilities else "scores, the larger the likelier"}
    words |= {"flash_kib": f"{writer.footprint.flash_bytes / 1024:.1f}"}
    write_atomically(path, source)
    write_atomically(path.with_suffix(".h"), writer.header(name, path.stem))
    write_atomically(path.with_suffix(".md"), template("readme.md", words).encode())
    if example:
        write_atomically(path.with_name("main.c"), template("main.c", words).encode())
    return writer.footprint


def write_project(
    model: Model,
    folder: Path,
    kind: str,
    *,
    name: str = "model",
    probabilities: bool = False,
    max_ram: int | None = None,
) -> Footprint:
    """Write a Model as a folder that a build system of microcontrollers takes.

    Args:
        model: A classifier, float32 or int8.
        folder: Where to: a folder that is made.
        kind: One of :data:`PROJECTS`.
        name: Beginning of every public name.
        probabilities: As in :func:`to_c`.
        max_ram: As in :func:`to_c`.

    Raises:
        FormatError: If the kind is unknown, the folder ends in ``.c``, or what :func:`to_c` refuses.
        OSError: If a file cannot be written.
    """
    if kind not in PROJECTS:
        raise FormatError(f"project {kind!r} must be one of {', '.join(PROJECTS)}")
    if folder.suffix == ".c":
        raise FormatError(f"a project is a folder, and {folder.name} is named like a file")
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", folder.name):
        raise FormatError(
            f"build systems take no project of the name {folder.name!r}: letters, digits, _, - and . only"
        )
    require_labels(model, "a project's program")
    sources = folder / PROJECTS[kind].sources
    if max_ram is not None:
        _check_ram(SourceWriter(_folded(model), None, max_ram), max_ram)  # before a folder is made
    sources.mkdir(parents=True)
    footprint = to_c(model, sources / "model.c", name=name, probabilities=probabilities, max_ram=max_ram)
    os.replace(sources / "model.md", folder / "README.md")
    words = {"NAME": name.upper(), "name": name, "stem": "model", "project": folder.name, "entry": PROJECTS[kind].entry}
    for target, source in PROJECTS[kind].files.items():
        place = folder / target.format(project=folder.name)
        place.parent.mkdir(parents=True, exist_ok=True)
        chosen = _BY_ROWS.get(source, source) if footprint.by_rows else source
        write_atomically(place, template(chosen, words).encode())
    return footprint


def _folded(model: Model) -> Model:
    return fold(model) if any(layer.batch_norm for layer in model.network.layers) else model


def _check_ram(writer: SourceWriter, max_ram: int) -> None:
    """Raise FormatError where a network does not fit into so many bytes of RAM."""
    needed = writer.footprint.ram_bytes + STACK_BYTES
    if needed <= max_ram:
        return
    if not writer.integer:
        raise FormatError(
            f"{needed} bytes of RAM are needed and {max_ram} allowed: layers are computed by rows in int8 only, which "
            "takes a quarter of the memory too"
        )
    raise FormatError(
        f"{needed} bytes of RAM are needed at least, {STACK_BYTES} of them for the stack, and {max_ram} allowed: a "
        "narrower network or a smaller resolution takes less"
    )


def require_labels(model: Model, what: str) -> None:
    """Raise FormatError unless a Model classifies images."""
    if not isinstance(model.task, Classification):
        raise FormatError(f"{what} classifies an image, and this Model's task is {model.task.kind}")


def template(name: str, words: Mapping[str, str]) -> str:
    """A file of this folder, with ``@word@`` replaced."""
    text = kernel_source(name)
    for word, value in words.items():
        text = text.replace(f"@{word}@", value)
    return text
