"""``mobilenets import``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.conftest import shared

from mobilenets.cli.input_size import InputSize
from mobilenets.cli.main import main
from mobilenets.formats.registry import readable
from mobilenets.model.file import load
from mobilenets.tasks.classification import class_count


def run(arguments: list[str]) -> int:
    try:
        main(arguments)
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


def test_what_was_recognised_is_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, output = shared("weights/mobilenet_v1_0.25_224.h5"), tmp_path / "model.safetensors"
    assert run(["import", str(source), "-o", str(output)]) == 0
    printed = capsys.readouterr().out
    for fact in ("keras", "0.25", "224×224", "1000", "same", "ε 0.001", "(pixel / 255 − 0.5) / 0.5", "tench"):
        assert fact in printed
    assert class_count(load(output).network) == 1000


def test_an_official_network_keeps_its_integers_or_loses_them_on_request(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, output = shared("weights/mobilenet_v1_0.25_128_quant.tflite"), tmp_path / "model.safetensors"
    assert run(["import", str(source), "-o", str(output), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["precision"] == "int8"
    assert load(output).precision == "int8"
    assert run(["import", str(source), "-o", str(output), "--dequantize", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["precision"] == "float32"
    assert load(output).precision == "float32"


def test_quietly_nothing_is_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, output = shared("weights/mobilenet_v1_0.25_224.h5"), tmp_path / "model.safetensors"
    assert run(["import", str(source), "-o", str(output), "-q"]) == 0
    assert capsys.readouterr() == ("", "")
    assert output.exists()


def test_labels_come_from_a_file(tmp_path: Path) -> None:
    labels, output = tmp_path / "names.txt", tmp_path / "model.safetensors"
    labels.write_text("".join(f"thing {index}\n" for index in range(1000)))
    source = shared("weights/mobilenet_v1_0.25_224.h5")
    assert run(["import", str(source), "-o", str(output), "--labels", str(labels)]) == 0
    assert load(output).labels[999] == "thing 999"


def test_an_unknown_file_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    unknown = tmp_path / "notes.txt"
    unknown.write_text("not a network")
    assert run(["import", str(unknown), "-o", str(tmp_path / "model.safetensors")]) == 1
    error = capsys.readouterr().err
    assert "is of no format that is read" in error
    assert error.count("\n") == 1
    assert not (tmp_path / "model.safetensors").exists()


def test_every_format_and_short_name_is_in_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["import", "--help"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    for row, _ in readable().values():
        assert f"{row.title} ({', '.join(row.suffixes)})" in text
    assert "keras:0.25-224" in text


def test_how_images_are_prepared_can_be_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, output = shared("weights/mobilenet_v1_0.25_224.h5"), tmp_path / "model.safetensors"
    options = ["--input-scaling", "-1..1", "--crop", "1", "--resize", "squash", "--json"]
    assert run(["import", str(source), "-o", str(output), *options]) == 0
    found = json.loads(capsys.readouterr().out)["preprocessing"]
    assert found["input_scaling"] == {"value": "-1..1", "from": "given"}
    assert found["interpolation"] == {"value": "bilinear", "from": "assumed"}
    assert load(output).preprocessing.crop_fraction == 1
    assert load(output).provenance["imported"]["preprocessing"] == found


def test_what_is_assumed_is_printed_with_the_options_that_change_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = shared("weights/mobilenet_v1_0.25_224.h5")
    assert run(["import", str(source), "-o", str(tmp_path / "model.safetensors")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert any(line.split() == ["crop", "0.875", "[assumed]"] for line in lines)
    assert lines[-1] == "[assumed]: say it with --input-scaling, --crop, --resize, --interpolation"


@pytest.mark.parametrize(("text", "expected"), [("224", 224), ("48x192", (48, 192)), ("48×192", (48, 192))])
def test_a_size_is_one_side_or_two(text: str, expected: int | tuple[int, int]) -> None:
    assert InputSize().convert(text, None, None) == expected


@pytest.mark.parametrize("text", ["48x", "x48", "wide", "16x192", "1x2x3", ""])
def test_what_is_no_size_is_a_misuse(text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["import", "model.onnx", "-o", str(tmp_path / "model.safetensors"), "--resolution", text]) == 2
    assert "Invalid value for '--resolution'" in capsys.readouterr().err
