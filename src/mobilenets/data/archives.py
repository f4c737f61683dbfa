"""Images in tar archives, such as the shards of WebDataset, one after the other and without unpacking."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

from PIL import Image

from mobilenets.data.decoding import decode_image
from mobilenets.data.image import BytesImage, ImageSource
from mobilenets.data.remote import open_binary, reason_of
from mobilenets.data.sources import IMAGE_SUFFIXES, is_address
from mobilenets.data.system_files import is_system_name
from mobilenets.errors import DataError

TAR_SUFFIXES = (".tar", ".tar.gz", ".tgz")


@dataclass(frozen=True)
class ArchivedImage:
    """An image in a tar archive of this machine that is not compressed.

    Attributes:
        archive: Path of the archive.
        member: Name of the image in it.
        offset: Where its content begins, in bytes.
        length: Bytes of its content.
    """

    archive: str
    member: str
    offset: int
    length: int

    @property
    def name(self) -> str:
        return f"{self.archive}/{self.member}"

    def open(self, shortest_side: int | None = None) -> Image.Image:
        return decode_image(io.BytesIO(self.content()), self.name, shortest_side)

    def digest(self) -> bytes:
        import hashlib

        return hashlib.sha256(self.content()).digest()

    def content(self) -> bytes:
        """The encoded image.

        Raises:
            DataError: If the archive cannot be read.
        """
        try:
            with open(self.archive, "rb") as file:
                file.seek(self.offset)
                return file.read(self.length)
        except OSError as error:
            raise DataError(f"{self.name} cannot be read: {reason_of(error)}") from None


def is_archive(name: str) -> bool:
    """Whether a file is called like a tar archive.

    >>> is_archive("train-000001.tar"), is_archive("train.TGZ"), is_archive("tar.jpg")
    (True, True, False)
    """
    return name.lower().endswith(TAR_SUFFIXES)


def archived_images(archive: str) -> Iterator[ImageSource]:
    """The images of an archive, in its order; other members and hidden files are passed over.

    Args:
        archive: Path or address.

    Raises:
        DataError: If it cannot be read, or is damaged; the images before the damage have been given then.
    """
    compressed = not archive.lower().endswith(".tar")
    random_access = not is_address(archive) and not compressed
    with open_binary(archive) as file:
        try:
            with tarfile.open(fileobj=file, mode="r:" if random_access else "r|*") as members:
                for member in members:
                    members.members.clear()  # type: ignore[attr-defined]  # tarfile would remember each
                    if not member.isfile() or not _is_image(member.name):
                        continue
                    if random_access:
                        yield ArchivedImage(archive, member.name, member.offset_data, member.size)
                    elif (content := members.extractfile(member)) is not None:
                        yield BytesImage(f"{archive}/{member.name}", content.read())
        except (tarfile.TarError, OSError, EOFError) as error:
            raise DataError(f"{archive} is no tar archive, or is damaged: {reason_of(error)}") from None


def _is_image(member: str) -> bool:
    path = PurePosixPath(member)
    return path.suffix.lower() in IMAGE_SUFFIXES and not any(map(is_system_name, path.parts))
