"""Files of versions 1 and 2, written by the code of commit 0228315, are read for ever, tensors bit for bit."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import safe_open

from mobilenets.engine.session import Session
from mobilenets.model import reference
from mobilenets.model.file import load, save
from mobilenets.model.model import Model
from mobilenets.model.preprocessing import Interpolation, ResizeMode
from mobilenets.tasks.classification import Classification

FOLDER = Path(__file__).parent / "old_files"
EXPECTED: dict[str, Any] = json.loads((FOLDER / "expected.json").read_text(encoding="utf-8"))
"""By file: type, shape and hash of every tensor in memory, statistics of subnets, logits and provenance."""
FILES = sorted(EXPECTED)


def pixels_for(model: Model) -> np.ndarray[Any, np.dtype[np.uint8]]:
    shape = (2, model.network.height, model.network.width, 3)
    return np.random.default_rng(3).integers(0, 256, shape, dtype=np.uint8)


def digest(tensor: np.ndarray[Any, Any]) -> str:
    return hashlib.sha256(np.ascontiguousarray(tensor).tobytes()).hexdigest()[:16]


def test_there_are_files_of_both_versions_and_of_every_kind() -> None:
    assert {path.stem for path in FOLDER.glob("*.safetensors")} == set(FILES)
    for name in FILES:
        with safe_open(FOLDER / f"{name}.safetensors", framework="numpy") as file:
            assert file.metadata()["format_version"] == name[-1]
            assert "task" not in file.metadata()


@pytest.mark.parametrize("name", FILES)
def test_an_old_file_is_read_with_its_numbers(name: str) -> None:
    model = load(FOLDER / f"{name}.safetensors")
    assert model.task == Classification(("cat", "dog", "Größe 🦓"))
    assert (model.preprocessing.fit, model.preprocessing.crop_fraction) == (ResizeMode.SQUASH, 0.9)
    assert model.preprocessing.interpolation is Interpolation.BICUBIC
    assert model.provenance == EXPECTED[name]["provenance"]
    found = {key: [str(value.dtype), list(value.shape), digest(value)] for key, value in model.parameters.items()}
    assert found == EXPECTED[name]["tensors"]
    assert {f"{width:g}-{side}": digest(value) for (width, side), value in model.subnets.items()} == EXPECTED[name][
        "subnets"
    ]


@pytest.mark.parametrize("name", FILES)
def test_an_old_file_answers_as_it_did(name: str) -> None:
    model = load(FOLDER / f"{name}.safetensors")
    expected = np.array(EXPECTED[name]["logits"], np.float32)
    found = reference.run_reference(model, pixels_for(model))["classifier"]
    # int8: a multiplier may differ in its last bit, which moves a byte by a step where the product is a tie.
    tolerance = 1e-6 if model.precision == "float32" else 5e-3
    assert np.abs(found - expected).max() <= tolerance * np.abs(expected).max()
    assert found.argmax(axis=1).tolist() == expected.argmax(axis=1).tolist()
    ran = Session(model, 1).run(pixels_for(model))
    np.testing.assert_allclose(ran, found, rtol=1e-4, atol=1e-5 * np.abs(expected).max())


def split(path: Path) -> tuple[dict[str, Any], bytes]:
    """Header and data of a safetensors file."""
    content = path.read_bytes()
    begin = 8 + int.from_bytes(content[:8], "little")
    return json.loads(content[8:begin]), content[begin:]


@pytest.mark.parametrize("name", FILES)
def test_an_old_file_is_written_again_so_that_older_readers_can_read_it(name: str, tmp_path: Path) -> None:
    """But for int8, whose arithmetic they do not know: of that only version and arithmetic are new."""
    old, path = FOLDER / f"{name}.safetensors", tmp_path / "model.safetensors"
    model = load(old)
    save(model, path)
    if model.precision == "float32":
        assert path.read_bytes() == old.read_bytes()
        return
    (before, data), (after, written) = split(old), split(path)
    assert written == data
    known, found = before.pop("__metadata__"), after.pop("__metadata__")
    assert after == before
    assert found.pop("format_version") == "3"
    assert json.loads(found.pop("task")) == {"kind": "classification", "labels": json.loads(known.pop("labels"))}
    quantization = {"arithmetic": "float32", **json.loads(known.pop("quantization"))}
    assert json.loads(found.pop("quantization")) == quantization
    del known["format_version"]
    assert found == known
