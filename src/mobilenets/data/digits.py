"""``digits``: the bundled real sample, 1,797 handwritten digits of 8×8 pixels.

Source: scikit-learn's copy of the test set of E. Alpaydin and C. Kaynak, "Optical Recognition of Handwritten Digits",
UCI machine learning repository, 1998.
"""

from __future__ import annotations

import numpy as np

from mobilenets.data.image import ArrayImage
from mobilenets.errors import MissingDependencyError

NAME = "digits"


def digits() -> dict[str, list[ArrayImage]]:
    """Class name → images, white on black.

    Raises:
        MissingDependencyError: If scikit-learn is not installed.
    """
    try:
        from sklearn.datasets import load_digits
    except ModuleNotFoundError:
        raise MissingDependencyError("scikit-learn", "train") from None
    sample = load_digits()
    grey = np.round(sample.images * (255 / 16)).astype(np.uint8)
    images: dict[str, list[ArrayImage]] = {str(digit): [] for digit in range(10)}
    for number, (pixels, target) in enumerate(zip(grey, sample.target, strict=True)):
        images[str(target)].append(ArrayImage(f"digits/{target}/{number}", np.stack([pixels] * 3, axis=-1)))
    return images
