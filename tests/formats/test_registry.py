"""The registry of formats: what the commands and the documentation say comes from its rows."""

from __future__ import annotations

from dataclasses import MISSING, fields, replace
from pathlib import Path

import numpy as np
import pytest
from tests.conftest import ROOT
from tests.support.random_models import random_model, random_network

from mobilenets.errors import FormatError
from mobilenets.formats.importing import import_model, recognition
from mobilenets.formats.registry import FORMATS, readable, writable
from mobilenets.model.file import save


def table(head: list[str], rows: list[list[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("|" + "|".join(f" {cell} " if cell != "---" else cell for cell in line) + "|" for line in lines)


def suffixes(each: tuple[str, ...]) -> str:
    return ", ".join(f"`{suffix}`" for suffix in each)


def test_the_table_of_sources_in_the_documentation_is_the_registrys() -> None:
    rows = [
        [f"{row.title} {suffixes(row.suffixes)}", reader.covers, reader.assumes] for row, reader in readable().values()
    ]
    expected = table(["source", "what is read", "assumed, because the file does not say it"], rows)
    assert expected in (ROOT / "docs" / "import.md").read_text(encoding="utf-8"), f"docs/import.md needs\n{expected}"


def test_the_table_of_targets_in_the_documentation_is_the_registrys() -> None:
    rows = [
        [f"`{name}`", suffixes(row.suffixes), writer.float32, writer.int8, writer.runtime]
        for name, (row, writer) in writable().items()
    ]
    expected = table(["`--to`", "file", "float32", "int8", "runs it here"], rows)
    assert expected in (ROOT / "docs" / "export.md").read_text(encoding="utf-8"), f"docs/export.md needs\n{expected}"


@pytest.mark.parametrize("name", FORMATS)
def test_a_row_says_what_a_format_is(name: str) -> None:
    row = FORMATS[name]
    assert row.name == name
    assert row.reader is not None or row.writer is not None
    assert all(suffix.startswith(".") for suffix in row.suffixes)


def test_options_of_one_name_mean_the_same_in_every_format() -> None:
    known: dict[str, tuple[object, object]] = {}
    for _, writer in writable().values():
        for field in fields(writer.options):
            assert field.default is not MISSING
            said = field.default, field.metadata["help"]
            assert known.setdefault(field.name, said) == said


def test_a_file_of_no_format_is_told_all_that_are_read(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("not a network")
    with pytest.raises(FormatError) as caught:
        import_model(tmp_path / "notes.txt")
    assert all(row.title in str(caught.value) for row, _ in readable().values())


def test_a_folder_without_weights_is_told_what_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"holds no weights: neither model\.safetensors, pytorch_model\.bin nor"):
        import_model(tmp_path)


@pytest.mark.parametrize("provenance", [{"imported": "from somewhere"}, {"imported": [1]}, {"imported": {"from": 3}}])
def test_provenance_of_another_type_is_no_crash(tmp_path: Path, provenance: dict[str, object]) -> None:
    network = random_network(np.random.default_rng(0))
    model = replace(random_model(np.random.default_rng(0), network), provenance=provenance)
    save(model, tmp_path / "model.safetensors")
    read = import_model(tmp_path / "model.safetensors")
    assert read.provenance["imported"]["source"] == "model.safetensors"
    assert recognition(read)["resolution"] == f"{network.height}×{network.width}"


def test_a_file_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, opened = tmp_path / "model.h5", []
    path.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))
    read = Path.read_bytes

    def counted(self: Path) -> bytes:
        opened.append(self)
        return read(self)

    monkeypatch.setattr(Path, "read_bytes", counted)
    with pytest.raises(FormatError):
        import_model(path)
    assert opened == [path]
