"""Nothing is left behind: no file handle and no thread, after an error or at the end of the interpreter."""

from __future__ import annotations

import gc
import os
import re
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.conftest import ROOT
from tests.support.random_models import random_int8_model, random_network, random_pixels

from mobilenets.data.sources import images_of
from mobilenets.engine.predictor import Classifier
from mobilenets.engine.session import Session
from mobilenets.errors import DataError, EngineError, ModelFileError
from mobilenets.model.file import load, save
from mobilenets.model.model import Model

needs_proc = pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="handles can't be counted here")


def handles() -> int:
    gc.collect()
    return len(os.listdir("/proc/self/fd"))


def threads() -> int:
    return len(os.listdir("/proc/self/task"))


@pytest.fixture
def model() -> Model:
    rng = np.random.default_rng(3)
    return random_int8_model(rng, random_network(rng))


@pytest.fixture
def file(model: Model, tmp_path: Path) -> Path:
    save(model, tmp_path / "model.safetensors")
    return tmp_path / "model.safetensors"


def truncated(content: bytes) -> bytes:
    return content[: len(content) // 2]


def of_another_version(content: bytes) -> bytes:
    return re.sub(rb'"format_version":"\d"', b'"format_version":"9"', content)


def of_another_network(content: bytes) -> bytes:
    return content.replace(b'"random', b'"ransom').replace(b'\\"kernel\\":', b'\\"kerNel\\":')


@needs_proc
@pytest.mark.parametrize("spoil", [truncated, of_another_version, of_another_network])
def test_a_file_that_cannot_be_loaded_leaves_no_handle(file: Path, spoil: Callable[[bytes], bytes]) -> None:
    spoilt = file.with_name("spoilt.safetensors")
    spoilt.write_bytes(spoil(file.read_bytes()))
    before = handles()
    for _ in range(5):
        with pytest.raises(ModelFileError):
            load(spoilt)
    assert handles() == before


def test_a_file_of_another_version_says_which_is_read(file: Path) -> None:
    file.write_bytes(of_another_version(file.read_bytes()))
    with pytest.raises(ModelFileError, match=r"has format version '9'; this package reads"):
        Classifier(file)


@needs_proc
def test_a_classifier_that_is_gone_leaves_no_handle(file: Path, tmp_path: Path) -> None:
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8\xff broken")
    Image.new("RGB", (9, 7)).save(tmp_path / "good.png")

    def use() -> None:  # what an error's traceback holds is gone when this returns
        answers = list(Classifier(file).predict_many(images_of([tmp_path / "broken.jpg", tmp_path / "good.png"])))
        assert isinstance(answers[0], DataError)
        assert not isinstance(answers[1], DataError)
        with pytest.raises(DataError):
            Classifier(file).predict(tmp_path / "broken.jpg")

    before = handles()
    for _ in range(3):
        use()
    assert handles() == before


@needs_proc
def test_errors_start_no_threads_and_sessions_share_those_that_there_are(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    sessions = [Session(model, 3) for _ in range(4)]
    pixels = random_pixels(np.random.default_rng(0), model.network, 2)
    for session in sessions:
        session.run(pixels)
    during = threads()
    for session in sessions:
        session.run(pixels)
        for wrong in (pixels.astype(np.int8), pixels[0], pixels[:, :-1]):
            with pytest.raises(EngineError):
                session.run(wrong)
        with pytest.raises(EngineError, match="threads must be from 1 to 256, not 0"):
            session.run(pixels, threads=0)
    monkeypatch.setenv("MOBILENETS_ISA", "mmx")
    with pytest.raises(EngineError, match="MOBILENETS_ISA is 'mmx'"):
        Session(model)
    assert threads() == during


@pytest.mark.parametrize("threads_of_a_run", [1, 2, None])
def test_a_run_may_be_given_fewer_threads(model: Model, threads_of_a_run: int | None) -> None:
    session = Session(model, 3)
    pixels = random_pixels(np.random.default_rng(0), model.network, 4)
    assert np.array_equal(session.run(pixels, threads=threads_of_a_run), Session(model, 1).run(pixels))


def test_the_interpreter_ends_without_a_warning(file: Path, tmp_path: Path) -> None:
    Image.new("RGB", (9, 7)).save(tmp_path / "good.png")
    code = """
        import sys
        from mobilenets import Classifier
        from mobilenets.data.sources import images_of
        classifier = Classifier(sys.argv[1], threads=2)
        print(len(list(classifier.predict_many(images_of([sys.argv[2]] * 3)))))
    """
    done = subprocess.run(
        [
            sys.executable,
            "-X",
            "dev",
            "-W",
            "error",
            "-c",
            textwrap.dedent(code),
            str(file),
            str(tmp_path / "good.png"),
        ],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT / "src")},
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "3\n", "")
