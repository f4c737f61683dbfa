"""Published weights that nobody published: random ones, in a cache of the test's own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from tests.support.random_models import random_model

from mobilenets.formats.download import put_download
from mobilenets.formats.exporting import export
from mobilenets.formats.known_weights import known_weights
from mobilenets.formats.published import published_source
from mobilenets.model.model import Model
from mobilenets.model.preprocessing import Preprocessing


def weights_called(name: str, seed: int = 0) -> Model:
    """A Model of the network that published weights of this name are of, with random weights."""
    network = known_weights(name)[0].specification.network()
    symmetric = Preprocessing(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
    return random_model(np.random.default_rng(seed), network, symmetric)


def fill_cache(folder: Path, *names: str) -> None:
    """Put random weights into the cache under the names of published ones.

    Args:
        folder: For the files, as another machine may have fetched them.
        names: Short names.
    """
    for seed, name in enumerate(names):
        file = folder / f"{seed}.tflite"
        export(weights_called(name, seed), file, verify=False)
        put_download(published_source(name), file)
