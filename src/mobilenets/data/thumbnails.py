"""Small copies of images that programs keep in a folder beside them: no class, and no images of their own."""

from __future__ import annotations

import re

from mobilenets.base.text import plural
from mobilenets.data.findings import Finding, Kind, examples_of, listed
from mobilenets.data.masks import SAME_STEMS
from mobilenets.data.parts import tokens_of
from mobilenets.data.tree import Folder

THUMBNAIL_WORDS = frozenset({"thumb", "thumbs", "thumbnail", "thumbnails", "preview", "previews"})
"""Words of folders that may hold thumbnails. Any of them may be a class too, so the names of the images decide."""

_ENDING = re.compile(r"[ ._-]*(thumb|thumbs|thumbnail|small|preview)$", re.I)


def leave_thumbnails_out(root: Folder) -> tuple[Finding, ...]:
    """Take folders of thumbnails out of a tree: those called so, whose images are called like images beside them.

    Args:
        root: The tree, which loses them.

    Returns:
        What was left out.
    """
    left = [folder for node in list(root.walk()) for folder in _thumbnails_in(node)]
    if not left:
        return ()
    for node in list(root.walk()):
        node.folders = [folder for folder in node.folders if folder not in left]
    images = [image for folder in left for image in folder.all_images]
    message = f"{plural(len(images), 'thumbnail')} in {listed([folder.path for folder in left])}"
    return (Finding(Kind.LEFT_OUT, message, len(images), examples_of(images)),)


def _thumbnails_in(node: Folder) -> list[Folder]:
    called = [folder for folder in node.filled if not THUMBNAIL_WORDS.isdisjoint(tokens_of(folder.name))]
    if not called:
        return []
    beside = {image.stem for image in node.images}
    beside |= {image.stem for other in node.filled if other not in called for image in other.all_images}
    return [folder for folder in called if _are_copies(folder, beside)]


def _are_copies(folder: Folder, stems: set[str]) -> bool:
    own = {_ENDING.sub("", image.stem) for image in folder.all_images}
    return len(own & stems) >= SAME_STEMS * len(own)
