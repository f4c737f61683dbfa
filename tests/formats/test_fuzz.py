"""A damaged file is refused or read, whatever the damage; ``benchmarks/fuzz_readers.py`` tries ten thousand times."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest

from mobilenets.errors import MobileNetsError
from mobilenets.formats.containers import tensor_bundle
from mobilenets.formats.importing import import_model

pytest.importorskip("h5py")
pytest.importorskip("torch")
pytest.importorskip("onnx")
pytest.importorskip("flatbuffers")

TRIES = 8


def test_damaged_files_are_read_or_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from benchmarks.fuzz_readers import fuzz, samples

    monkeypatch.setattr(tensor_bundle, "check_checksum", lambda *_: None)
    for sample in samples(tmp_path, tmp_path / "no real files"):
        import_model(sample.path.parent if sample.folder else sample.path)
        tally = fuzz(sample, range(TRIES))
        assert not [failure for failure in tally.failures if " took " not in failure], sample.name
        assert tally.read + tally.refused == TRIES


def archive(**members: bytes) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as file:
        for name, member in members.items():
            file.writestr(name.replace("__", "/").replace("_dot_", "."), member)
    return content.getvalue()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (archive(a__data_dot_pkl=b"\x80\x02" + b"(" * 500_000 + b"."), "more than 400000 instructions"),
        (archive(a__data_dot_pkl=b"\x80\x02X\xff\xff\xff\x7fabc."), "2147483647 bytes were to follow"),
        (archive(a__data_dot_pkl=b"\x80\x02N."), "holds a NoneType, not a state_dict"),
        # A tuple of one tuple twice, sixty times over, as a key: hashing it would take 2^60 steps.
        (archive(a__data_dot_pkl=b"\x80\x02})" + b"q\0h\0\x86" * 60 + b"Ns."), "holds no weights"),
        # A dictionary of a thousand items, copied a thousand times.
        (
            archive(
                a__data_dot_pkl=b"\x80\x02]("
                + b"".join(b"K%cK\x01\x86" % (n % 256) for n in range(1000))
                + b"eq\0"
                + b"ccollections\nOrderedDict\nq\1"
                + b"h\1h\0\x85R" * 1000
                + b"."
            ),
            "copied over and over",
        ),
        (
            archive(a__data_dot_pkl=b"\x80\x02}.", **{f"a__data__{number}": bytes(900_000) for number in range(9)}),
            "claims to unpack to 900000 bytes",
        ),
        (
            archive(config_dot_json=b" " * (50 << 20), model_dot_weights_dot_h5=b""),
            "claims to unpack to 52428800 bytes",
        ),
        ((500_005).to_bytes(8, "little") + b'{"a":' + b"[" * 500_000, "the header is not readable"),
        (b"\x08\x08\x3a\x80\x80\x40" + b"\x0a\x00" * (1 << 19), "more than 65536 fields"),
    ],
)
def test_small_files_that_ask_for_much_are_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "model"
    path.write_bytes(content)
    with pytest.raises(MobileNetsError, match=message):
        import_model(path)


@pytest.mark.parametrize("content", [b"", b"\0", b"PK", b"\x89HDF\r\n\x1a\n", b"\x08\x08", b"\x1c\0\0\0TFL3", b"{"])
def test_next_to_nothing_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    with pytest.raises(MobileNetsError):
        import_model(path)
