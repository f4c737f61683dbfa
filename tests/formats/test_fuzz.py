"""A damaged file is refused or read, whatever the damage; ``benchmarks/fuzz_readers.py`` tries ten thousand times."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from mobilenets.errors import MobileNetsError
from mobilenets.formats import tensor_bundle
from mobilenets.formats.importing import import_model

pytest.importorskip("h5py")
pytest.importorskip("torch")
pytest.importorskip("onnx")
pytest.importorskip("flatbuffers")

TRIES = 8


def test_damaged_files_are_read_or_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from benchmarks.fuzz_readers import damaged, samples

    monkeypatch.setattr(tensor_bundle, "check_checksum", lambda *_: None)
    for _, path, _ in samples(tmp_path, tmp_path / "no real files"):
        content = path.read_bytes()
        import_model(path)
        for seed in range(TRIES):
            path.write_bytes(damaged(content, np.random.default_rng(seed)))
            with suppress(MobileNetsError):  # anything else fails the test
                import_model(path)
        path.write_bytes(content)


@pytest.mark.parametrize("content", [b"", b"\0", b"PK", b"\x89HDF\r\n\x1a\n", b"\x08\x08", b"\x1c\0\0\0TFL3", b"{"])
def test_next_to_nothing_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    with pytest.raises(MobileNetsError):
        import_model(path)
