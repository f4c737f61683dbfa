"""Every shell command that the documentation shows is run, and prints what the documentation says it prints.

A command stands in a block that begins with ```` ```console ````, after ``$ ``; a line that ends in a backslash goes on
in the next. What follows is its output, where ``...`` stands for anything. The blocks of one page are run in order, in
one temporary folder. Words after ``console`` say what a block needs:

``slow``     more than ten seconds
``not-run``  something that a test must not do, such as installing packages
``photos``   a folder ``photos`` of images of two classes, which the test makes
``weights``  the published Keras weights, which the test skips the block without
``shape``    its standard output is shown as it was once; figures may differ. ``python -m docs.make_examples`` writes it
"""

from __future__ import annotations

import ast
import importlib
import re
import shutil
import subprocess
import textwrap
from pathlib import Path

import click
import pytest
from tests.conftest import ROOT
from tests.support.pages import Command, agrees, commands_of, is_run, lines_of, make_programs, run_command

from mobilenets.cli.main import COMMANDS, group

PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("**/*.md")])


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``mobilenets`` and ``python``."""
    folder = tmp_path_factory.mktemp("bin")
    make_programs(folder)
    return folder


def run(command: Command, folder: Path, programs: Path, page: Path) -> None:
    done = run_command(command, folder, programs)
    place = f"{page.name}:{command.line}: {command.text}"
    if not command.output:
        assert done.returncode == 0, f"{place}\n{done.stderr}"
        return
    shape = "shape" in command.words
    printed = lines_of(done.stdout if shape else done.stdout + done.stderr)
    assert agrees(command.output, printed, figures=not shape), (
        f"{place}\nprinted:\n{printed}\nthe page says:\n{command.output}\n{done.stderr if shape else ''}"
        + ("\npython -m docs.make_examples writes it anew" if shape else "")
    )


def parts(*, slow: bool) -> list[Path]:
    """Pages that have a slow block, or those that have none."""
    return [page for page in PAGES if any("slow" in command.words for command in commands_of(page)) == slow]


@pytest.mark.parametrize("page", parts(slow=False), ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_of_a_page_do_what_it_says(page: Path, programs: Path, tmp_path: Path) -> None:
    run_page(page, programs, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("page", parts(slow=True), ids=lambda page: str(page.relative_to(ROOT)))
def test_slow_commands_of_a_page_do_what_it_says(page: Path, programs: Path, tmp_path: Path) -> None:
    run_page(page, programs, tmp_path)


def run_page(page: Path, programs: Path, folder: Path) -> None:
    for command in commands_of(page):
        if is_run(command, folder):
            run(command, folder, programs, page)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if "://" in target:
            continue
        name, _, anchor = target.partition("#")
        linked = page.parent / name if name else page
        assert linked.exists(), f"{page.name} links to {target}, which is not there"
        assert not anchor or anchor in anchors_of(linked), (
            f"{page.name} links to {target}; {linked.name} has no such part"
        )


def anchors_of(page: Path) -> set[str]:
    """What its headings are called in links: small letters, hyphens for spaces, and no other signs."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def options_of_the_commands() -> set[str]:
    """Every option that some command takes."""
    found: set[str] = set()
    with click.Context(group) as context:
        for name in COMMANDS:
            command = group.get_command(context, name)
            assert command is not None
            below = list(command.commands.values()) if isinstance(command, click.Group) else []
            for parameter in (one for each in (command, *below) for one in each.params):
                found.update(parameter.opts, parameter.secondary_opts)
    return found


OPTIONS_OF_PIP = {"--extra-index-url"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_options_that_a_page_names_are_there(page: Path) -> None:
    known = options_of_the_commands() | {"--help", *OPTIONS_OF_PIP}
    for script in (ROOT / "benchmarks").glob("*.py"):
        known |= set(re.findall(r'add_argument\(\s*"(--[a-z0-9-]+)"', script.read_text(encoding="utf-8")))
    named = set(re.findall(r"(?<![\w-])--[a-z0-9][a-z0-9-]*", page.read_text(encoding="utf-8")))
    named -= OF_OTHER_PROGRAMS
    assert named <= known, f"{page.name} names {', '.join(sorted(named - known))}, which no command or benchmark takes"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_examples_that_are_not_run_import_what_is_there(page: Path) -> None:
    for block in re.findall(r"^ *```python\n(.*?)^ *```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL):
        if ">>>" in block:  # a doctest, which is run
            continue
        for statement in ast.parse(textwrap.dedent(block)).body:
            if isinstance(statement, ast.ImportFrom):
                module = importlib.import_module(statement.module or "")
                for alias in statement.names:
                    assert hasattr(module, alias.name), f"{page.name}: {statement.module} has no {alias.name}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_cpp_examples_compile(page: Path, tmp_path: Path) -> None:
    blocks = re.findall(r"^```cpp\n(.*?)^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    compiler = shutil.which("g++") or shutil.which("clang++")
    if blocks and compiler is None:
        pytest.skip("no C++ compiler is installed")
    for block in blocks:
        (tmp_path / "example.cpp").write_text(block, encoding="utf-8")
        flags = ["-std=c++17", "-Wall", "-Wextra", "-Werror", "-fsyntax-only", f"-I{ROOT / 'native'}"]
        command = [str(compiler), *flags, str(tmp_path / "example.cpp")]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{page.name}:\n{done.stderr}"


LONGEST_LINE = 125
OF_TORCHRUN = {"--nproc-per-node", "--max-restarts", "--nnodes", "--rdzv-backend", "--rdzv-endpoint"}
OF_OTHER_PROGRAMS = {"--array", "--wrap", "--data-binary", "--extra-index-url", "--preload", *OF_TORCHRUN}
"""Options of pip, curl, gunicorn, sbatch and torchrun that pages name."""
"""Characters of a line of prose: a line that was cut or pasted by mistake is longer, or ends in the middle."""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_paragraphs_and_tables_are_whole(page: Path) -> None:
    for first, lines in paragraphs_of(page):
        place = f"{page.name}:{first}"
        assert "".join(lines).count("`") % 2 == 0, f"{place}: a backtick without its fellow"
        if lines[0].startswith("|"):
            cells = [len(re.findall(r"\|", re.sub(r"`[^`]*`|\\\|", "", line))) for line in lines]
            assert len(set(cells)) == 1, f"{place}: rows of a table have {sorted(set(cells))} borders"
        elif not lines[0].startswith(("#", ":::")):
            longest = max(map(len, lines))
            assert longest <= LONGEST_LINE, (
                f"{place}: a line has {longest} characters; at most {LONGEST_LINE} are usual"
            )
            assert lines[-1].endswith((".", ":", ")", "?")), f"{place}: a paragraph ends in {lines[-1][-20:]!r}"


def paragraphs_of(page: Path) -> list[tuple[int, list[str]]]:
    """The number of the first line, and the lines, of every heading, paragraph, list and table outside code blocks."""
    found: list[tuple[int, list[str]]] = []
    inside, lines = False, list[str]()
    for number, line in enumerate([*page.read_text(encoding="utf-8").splitlines(), ""], start=1):
        fence = line.lstrip().startswith("```")
        if not (fence or inside) and line.strip():
            lines.append(line)
            continue
        if lines:
            found.append((number - len(lines), lines))
        lines, inside = [], inside != fence
    assert not inside, f"{page.name} ends within a code block"
    return found
