"""Two real photographs that come with scikit-learn: a temple and a flower, 640×427.

Source: scikit-learn's ``load_sample_images``; both are under Creative Commons licences that its documentation names.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from mobilenets.data.image import FileImage
from mobilenets.errors import MissingDependencyError

FOLDER, NAMES = Path("datasets", "images"), ("china.jpg", "flower.jpg")


def photographs() -> list[FileImage]:
    """The photographs.

    Raises:
        MissingDependencyError: If scikit-learn is not installed.
    """
    # Found and not imported: scikit-learn takes a second of the processor's time to load, and two files are wanted.
    package = find_spec("sklearn")
    places = [] if package is None else [Path(place) / FOLDER for place in package.submodule_search_locations or ()]
    for place in places:
        if all((place / name).is_file() for name in NAMES):
            return [FileImage(place / name) for name in NAMES]
    raise MissingDependencyError("scikit-learn", "train")
