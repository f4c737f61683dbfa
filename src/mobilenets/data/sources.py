"""Finding images anywhere below a folder; and the bundled samples."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from mobilenets.data.image import ArrayImage, FileImage
from mobilenets.data.system_files import is_system_name
from mobilenets.errors import DataError, MissingDependencyError

IMAGE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".dib", ".gif", ".webp", ".tif", ".tiff"}
    | {".ppm", ".pgm", ".pbm", ".pnm", ".avif", ".heic", ".heif", ".apng", ".mpo", ".tga"}
    | {".jp2", ".j2k", ".jpf", ".jpx"}
)
OTHER_SUFFIXES = frozenset(
    {".npy", ".npz", ".mat", ".pkl", ".h5", ".hdf5", ".tfrecord", ".tfrecords", ".fits", ".exr", ".hdr", ".pfm", ".jxl"}
    | {".dcm", ".dicom", ".nii", ".svs", ".ndpi", ".czi", ".svg", ".psd", ".ai", ".eps", ".pdf", ".xcf"}
    | {".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".wmv", ".3gp", ".mts"}
    | {".cr2", ".cr3", ".nef", ".nrw", ".arw", ".dng", ".orf", ".rw2", ".raf", ".pef", ".srw", ".x3f"}
)
"""Suffixes of files that hold what people may take for images: arrays, scans, drawings, films, and raw data of cameras.

Raw data begins as TIFF does, and what Pillow reads in it is a thumbnail.
"""
SIGNATURES = (b"\xff\xd8\xff", b"\x89PNG\r\n", b"GIF8", b"BM", b"RIFF", b"II*\x00", b"MM\x00*")
"""First bytes of images, for files whose suffix says something else."""

DIGITS = "digits"
"""Name of the sample that :func:`digits` gives."""
PHOTOGRAPHS = ("china.jpg", "flower.jpg")


def images_under(folder: Path) -> list[FileImage]:
    """Every image below a folder, in order of path. Links are followed, and loops of links end.

    Hidden files and those of operating systems are passed over; so are files that neither are called nor begin like an
    image.

    Raises:
        DataError: If the folder cannot be listed.
    """
    return [FileImage(path) for path in sorted(_files(folder, set())) if looks_like_image(path)]


def _files(folder: Path, seen: set[tuple[int, int]]) -> Iterator[Path]:
    try:
        status = folder.stat()
        if (status.st_dev, status.st_ino) in seen:
            return
        seen.add((status.st_dev, status.st_ino))
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        raise DataError(f"{folder} cannot be listed: {error.strerror}") from None
    for entry in entries:
        if is_system_name(entry.name):
            continue
        try:
            is_folder, is_file = entry.is_dir(), entry.is_file()
        except OSError:  # a link that leads to itself is neither
            continue
        if is_folder:
            yield from _files(Path(entry.path), seen)
        elif is_file:
            yield Path(entry.path)


def looks_like_image(path: Path) -> bool:
    """Whether a file is called like an image, or begins like one."""
    suffix = path.suffix.lower()
    if suffix in IMAGE_SUFFIXES or suffix in OTHER_SUFFIXES:
        return suffix in IMAGE_SUFFIXES
    try:
        with path.open("rb") as file:
            return file.read(8).startswith(SIGNATURES)
    except OSError:
        return False


NOT_FETCHED = "is an address, which is not fetched; download it and name the file"


def is_address(source: str | Path) -> bool:
    """Whether a source is an address of the internet or of a store, which a path may have lost a slash of.

    >>> is_address("https://example.com/a.jpg"), is_address("photos"), is_address("C:/photos")
    (True, False, False)
    """
    return re.match(r"[A-Za-z][\w+.-]+:/", str(source)) is not None


def images_of(sources: str | Path | Iterable[str | Path]) -> list[FileImage]:
    """Unlabeled images: every file that is named, and every image below every folder that is named.

    Args:
        sources: One file or folder, or several.

    Raises:
        DataError: If a name does not exist, or nothing was found at all.
    """
    found: list[FileImage] = []
    names = [sources] if isinstance(sources, str | Path) else list(sources)
    for source in names:
        path = Path(source)
        if path.is_dir():
            found += images_under(path)
        elif path.exists():
            found.append(FileImage(path))
        else:
            raise DataError(f"{source} {NOT_FETCHED if is_address(source) else 'does not exist'}")
    if not found:
        raise DataError(f"no images in {', '.join(map(str, names)) or 'nothing'}")
    return found


def digits() -> dict[str, list[ArrayImage]]:
    """The bundled sample: 1,797 handwritten digits of 8×8 pixels, white on black, by class.

    Source: scikit-learn's copy of the test set of E. Alpaydin and C. Kaynak, "Optical Recognition of Handwritten
    Digits", UCI machine learning repository, 1998.

    Raises:
        MissingDependencyError: If scikit-learn is not installed.
    """
    try:
        from sklearn.datasets import load_digits
    except ModuleNotFoundError:
        raise MissingDependencyError("scikit-learn", "train", alone=True) from None
    sample = load_digits()
    gray = np.round(sample.images * (255 / 16)).astype(np.uint8)
    images: dict[str, list[ArrayImage]] = {str(digit): [] for digit in range(10)}
    for number, (pixels, target) in enumerate(zip(gray, sample.target, strict=True)):
        images[str(target)].append(ArrayImage(f"digits/{target}/{number}", np.stack([pixels] * 3, axis=-1)))
    return images


def photographs() -> list[FileImage]:
    """Two photographs that come with scikit-learn: a temple and a flower, 640×427.

    Both are under Creative Commons licences that scikit-learn's documentation of ``load_sample_images`` names.

    Raises:
        MissingDependencyError: If scikit-learn is not installed.
    """
    # Found and not imported: scikit-learn takes a second of processor time to load, and two files are wanted.
    package = find_spec("sklearn")
    for place in () if package is None else package.submodule_search_locations or ():
        files = [Path(place, "datasets", "images", name) for name in PHOTOGRAPHS]
        if all(file.is_file() for file in files):
            return [FileImage(file) for file in files]
    raise MissingDependencyError("scikit-learn", "train", alone=True)
