"""No option is passed over in silence: one that would do nothing beside another is a misuse, and says so at once."""

from __future__ import annotations

import pytest
from tests.cli.conftest import RunCommand


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("benchmark m.safetensors --device cortex-m4 --seconds 1", "it goes with --max-ram only"),
        ("benchmark m.safetensors --max-ram 64kB", "--max-ram goes with --device"),
        ("compare photos --published", "--published is drawn into the figures of --plot FOLDER"),
        ("compare photos --resume --force", "give one"),
        ("export m.safetensors --to onnx --max-ram 64kB", "--max-ram is an option of c, and what is written is ONNX"),
        ("export m.safetensors --to onnx --no-verify --images a.jpg", "which --no-verify forbids: give one"),
        ("fit photos --resume --force", "give one"),
        ("fit photos --max-size 1MB --int8", "say --precision int8"),
        ("models --device cortex-m4", "--device and --threads say where a budget holds"),
        ("models --threads 2", "--device and --threads say where a budget holds"),
        ("plan --supernet s.safetensors --family mobilenet_v2", "are of published networks; a supernet has its own"),
        ("plan --supernet s.safetensors --all", "are of published networks; a supernet has its own"),
        ("plan --sizes 0.25-64", "go with --supernet"),
        ("predict m.safetensors a.jpg --features f.npy --unknown", "which --unknown is about; leave it out"),
        ("predict m.safetensors a.jpg --link", "--link says how --sort-into FOLDER sorts"),
        ("quantize m.safetensors --calibration photos --percentile 99", "--percentile is of --ranges percentile"),
        ("quantize m.safetensors --calibration photos --auto --qat", "give one of them"),
        ("quantize m.safetensors --calibration photos --epochs 3", "give --qat or --auto too"),
        ("show mobilenet_v1 --draw sheet.jpg", "--draw goes with a folder or table of images"),
    ],
)
def test_an_option_that_would_do_nothing_is_refused(words: str, message: str, mobilenets: RunCommand) -> None:
    outcome = mobilenets(*words.split())
    assert outcome.code == 2
    assert message in " ".join(outcome.err.split())
