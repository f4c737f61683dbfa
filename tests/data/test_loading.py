"""Many images at once: what was assumed of them is said once, with their number."""

from __future__ import annotations

import numpy as np
import pytest
from tests.support.encoded_images import gray_photo, photo

from mobilenets.base.progress import Progress
from mobilenets.data.image import ArrayImage
from mobilenets.data.loading import decode_all, prepare
from mobilenets.data.subset import Subset
from mobilenets.model.preprocessing import Preprocessing


class Notes(Progress):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, message: str) -> None:
        self.notes.append(message)


@pytest.mark.parametrize("decoded", ["prepared", "kept"])
def test_assumed_ranges_are_noted_with_the_number_of_images(decoded: str) -> None:
    deep = [ArrayImage(f"deep {number}", gray_photo().astype(np.uint16) * 16) for number in range(3)]
    subset = Subset((ArrayImage("plain", photo()), *deep), np.zeros(4, np.int64))
    progress = Notes()
    if decoded == "prepared":
        prepare(subset, Preprocessing(), 16, 16, progress=progress)
    else:
        decode_all(subset, 16, progress=progress)
    (note,) = progress.notes
    assert note.startswith("3 images: 16-bit samples are read as 12-bit, 0 to 4095; ")
