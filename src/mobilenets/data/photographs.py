"""Two real photographs that come with scikit-learn: a temple and a flower, 640×427.

Source: scikit-learn's ``load_sample_images``; both are under Creative Commons licences that its documentation names.
"""

from __future__ import annotations

import numpy as np

from mobilenets.data.picture import ArrayPicture
from mobilenets.errors import MissingDependencyError


def photographs() -> list[ArrayPicture]:
    """The photographs.

    Raises:
        MissingDependencyError: If scikit-learn is not installed.
    """
    try:
        from sklearn.datasets import load_sample_images
    except ModuleNotFoundError:
        raise MissingDependencyError("scikit-learn", "train") from None
    sample = load_sample_images()
    return [
        ArrayPicture(f"photographs/{name}", np.asarray(pixels, np.uint8))
        for name, pixels in zip(sample.filenames, sample.images, strict=True)
    ]
