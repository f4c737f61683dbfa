"""The kernels, read as the compiler wrote them.

A tile is fast only while its sums stay in registers. Compilers like to move one of them to the stack inside the loop,
which costs more than half of the speed and changes no result; so the loops are disassembled and searched for it. And
code of one instruction set must not be linked into the rest of the program, where other processors would meet it.
"""

from __future__ import annotations

import platform
import re
from dataclasses import dataclass
from functools import cache

import pytest
from tests.native.build import OPTIMIZED, build, require_programs, run

BUSY = 16
"""Multiplications from which on a loop counts as hot."""

MULTIPLICATION = re.compile(r"^(vfmadd|vpdpbusd|vpmaddwd|vpmaddubsw|fmla|[su]dot|sudot|usdot|smlal)")
SPILL = re.compile(r"%[xyz]mm\d+,-?(0x)?[0-9a-f]*\(%r[sb]p[^()]*\)$")
"""A vector register written to the stack. Constants that the loop only reads may lie there."""


@dataclass(frozen=True)
class Instruction:
    address: int
    text: str

    @property
    def jumps_to(self) -> int | None:
        found = re.match(r"j\w+\s+([0-9a-f]+)", self.text)
        return int(found.group(1), 16) if found else None


def functions(listing: str) -> dict[str, list[Instruction]]:
    """The instructions of every function in the output of ``objdump -d -C --no-show-raw-insn``."""
    result: dict[str, list[Instruction]] = {}
    for line in listing.splitlines():
        if head := re.match(r"^[0-9a-f]+ <(.*)>:$", line):
            current = result.setdefault(head.group(1), [])
        elif body := re.match(r"^\s+([0-9a-f]+):\s+(.*)$", line):
            current.append(Instruction(int(body.group(1), 16), body.group(2)))
    return result


def innermost_loops(instructions: list[Instruction]) -> list[list[Instruction]]:
    """Stretches from the target of a backward jump to the jump, without those that hold another."""
    spans = [
        (target, instruction.address)
        for instruction in instructions
        if (target := instruction.jumps_to) is not None and instructions[0].address <= target <= instruction.address
    ]
    inner = [
        span
        for span in spans
        if not any(other != span and span[0] <= other[0] and other[1] <= span[1] for other in spans)
    ]
    return [[i for i in instructions if begin <= i.address <= end] for begin, end in inner]


def spills(listing: str) -> tuple[int, list[str]]:
    """How many hot loops there are, and those that write vector registers to the stack."""
    hot, found = 0, []
    for name, instructions in functions(listing).items():
        for loop in innermost_loops(instructions) if instructions else []:
            if sum(bool(MULTIPLICATION.match(i.text)) for i in loop) < BUSY:
                continue
            hot += 1
            written = [i.text for i in loop if SPILL.search(i.text)]
            if written:
                found.append(f"{name}: {'; '.join(written)}")
    return hot, found


def test_a_spill_in_a_loop_is_seen_and_one_outside_is_not() -> None:
    loop = "".join(f"   {10 + i:x}:\tvfmadd231ps %zmm1,%zmm2,%zmm{i}\n" for i in range(BUSY))
    inside = f"0 <tile>:\n{loop}   40:\tvmovaps %zmm3,0x40(%rsp)\n   48:\tjne    a <tile+0xa>\n"
    outside = f"0 <tile>:\n{loop}   40:\tjne    a <tile+0xa>\n   48:\tvmovaps %zmm3,0x40(%rsp)\n"
    assert spills(inside) == (1, ["tile: vmovaps %zmm3,0x40(%rsp)"])
    assert spills(outside) == (1, [])


FILES = ("f32/avx512", "f32/avx2", "u8/avx512vnni", "u8/avx512", "u8/avxvnni", "u8/avx2")
SPILL_FREE = {
    "f32/": "",
    "u8/avx512vnni": r"Pointwise|Depthwise(Wide|Flat)<.*, 1>::stride1<.*ReluRounding",
    "u8/": "Pointwise",
}
"""Functions whose hot loops may not spill, by the beginning of the file's name; the first that fits counts."""

WIDE = re.compile(r"%[yz]mm|%xmm(1[6-9]|[23][0-9])")
ANONYMOUS = re.compile(r"^([a-z ]+ )?mobilenets::\(anonymous namespace\)::")
"""Names of functions that no other file can link to, perhaps after the type that a template returns."""


@cache
def listing(file: str) -> str:
    """Disassembly of one file of kernels, as it is shipped."""
    if platform.machine() not in ("x86_64", "AMD64"):
        pytest.skip("reads x86-64 code")
    require_programs("g++", "objdump")
    objects = build("kernels", "engine", *OPTIMIZED) / "CMakeFiles" / "engine.dir" / "native" / "kernels"
    return run(["objdump", "-d", "-C", "--no-show-raw-insn", str(objects / f"{file}.cpp.o")])


@pytest.mark.parametrize("file", FILES)
def test_no_hot_loop_touches_the_stack(file: str) -> None:
    hot, found = spills(listing(file))
    pattern = next(pattern for beginning, pattern in SPILL_FREE.items() if file.startswith(beginning))
    assert hot > 5
    assert [name for name in found if re.search(pattern, name)] == []


@pytest.mark.parametrize("file", [*FILES, "u8/avx512vbmi"])
def test_nothing_with_wide_vectors_can_be_linked_to_from_elsewhere(file: str) -> None:
    wide = [
        name
        for name, instructions in functions(listing(file)).items()
        if any(WIDE.search(instruction.text) for instruction in instructions)
    ]
    assert len(wide) > (5 if file in FILES else 0)
    assert [name for name in wide if not ANONYMOUS.match(name)] == []
