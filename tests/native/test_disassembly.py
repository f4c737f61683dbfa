"""The hot loops keep their sums in registers: a compiler that spills them makes a kernel half as fast, silently."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

import mobilenets.engine

KERNELS = {
    "pointwise, AVX-512 VNNI": r"Pointwise<.*Avx512<true>.*::multiply_tiles<",
    "pointwise, AVX-512": r"Pointwise<.*Avx512<false>.*::multiply_tiles<",
    "pointwise, AVX-VNNI": r"Pointwise<.*Avx2<true>.*::multiply_tiles<",
    "pointwise, AVX2": r"Pointwise<.*Avx2<false>.*::multiply_tiles<",
    "depthwise, AVX-512 VNNI": r"DepthwiseWide<.*Avx512<true>, 1>::stride1<.*ReluRounding",
    "depthwise of few channels, AVX-512 VNNI": r"DepthwiseFlat<.*Avx512<true>.*, 1>::stride1<.*ReluRounding",
}
DOT_PRODUCT = re.compile(r"\bvpdpbusd|\bvpmaddwd")
VECTOR_ON_STACK = re.compile(r"(?=.*%[yz]mm)(?=.*\(%r[sb]p)")
WIDE = re.compile(r"%[yz]mm|%xmm(1[6-9]|[23][0-9])")
FUNCTION = re.compile(r"^[0-9a-f]+ <(.*)>:$")
INSTRUCTION = re.compile(r"^\s*([0-9a-f]+):\s+(.*)$")
JUMP = re.compile(r"^j[a-z]+\s+([0-9a-f]+)\b")


@dataclass(frozen=True)
class Instruction:
    address: int
    text: str


@cache
def functions() -> dict[str, list[Instruction]]:
    """Instructions of every function of the extension, by demangled name."""
    objdump = shutil.which("objdump")
    extensions = sorted(Path(mobilenets.engine.__file__).parent.glob("_native*.so"))
    if objdump is None or not extensions:
        pytest.skip("needs objdump and an extension in ELF")
    command = [objdump, "--disassemble", "--demangle", "--no-show-raw-insn", str(extensions[0])]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found: dict[str, list[Instruction]] = {}
    current: list[Instruction] = []
    for line in text.splitlines():
        if match := FUNCTION.match(line):
            current = found.setdefault(match[1], [])
        elif match := INSTRUCTION.match(line):
            current.append(Instruction(int(match[1], 16), match[2]))
    return found


def innermost_loops(instructions: list[Instruction]) -> Iterator[list[Instruction]]:
    """Runs of instructions that end in a jump back to their first, and hold no other such run."""
    ends = []
    for instruction in instructions:
        match = JUMP.match(instruction.text)
        if match and instructions[0].address <= int(match[1], 16) < instruction.address:
            ends.append((int(match[1], 16), instruction.address))
    for begin, end in ends:
        if not any((begin, end) != other and begin <= other[0] and other[1] <= end for other in ends):
            yield [instruction for instruction in instructions if begin <= instruction.address <= end]


@pytest.mark.parametrize("pattern", KERNELS.values(), ids=KERNELS.keys())
def test_dot_products_touch_no_stack(pattern: str) -> None:
    kernels = {name: body for name, body in functions().items() if re.search(pattern, name)}
    if not kernels:
        pytest.skip("the extension is stripped, or for another processor")
    loops = 0
    for name, body in kernels.items():
        for loop in innermost_loops(body):
            if not any(DOT_PRODUCT.search(instruction.text) for instruction in loop):
                continue
            loops += 1
            spills = [instruction.text for instruction in loop if VECTOR_ON_STACK.match(instruction.text)]
            assert not spills, f"{name} keeps vectors on the stack: {spills[:4]}"
    assert loops >= len(kernels) // 2


def test_no_wide_vectors_outside_of_anonymous_namespaces() -> None:
    """Code that files of several instruction sets share would be linked from any of them, and stop other processors."""
    wide = {name for name, body in functions().items() if any(WIDE.search(instruction.text) for instruction in body)}
    if not any("(anonymous namespace)::" in name for name in wide):
        pytest.skip("the extension is stripped, or for another processor")
    named = re.compile(r"^([a-z ]+ )?mobilenets::\(anonymous namespace\)::")  # after the type that a template returns
    assert not [name for name in wide if not named.match(name)]
