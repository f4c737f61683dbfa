"""Hypothesis strategies over random networks and Models; what they draw is a seed, so a failure names it."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st
from tests.support.random_models import random_int8_model, random_model, random_network

from mobilenets.architecture.network import Network
from mobilenets.model.model import Model

SEEDS = st.integers(0, 2**32 - 1)


def networks() -> st.SearchStrategy[Network]:
    """Networks of every kind of layer, with branches, odd maps and asymmetric padding."""
    return SEEDS.map(lambda seed: random_network(np.random.default_rng(seed)))


def float_models() -> st.SearchStrategy[Model]:
    """float32 Models of such networks."""
    return SEEDS.map(_float_model)


def int8_models() -> st.SearchStrategy[Model]:
    """int8 Models of such networks, one in four with weight zero points."""
    return SEEDS.map(_int8_model)


def _float_model(seed: int) -> Model:
    rng = np.random.default_rng(seed)
    return random_model(rng, random_network(rng))


def _int8_model(seed: int) -> Model:
    rng = np.random.default_rng(seed)
    return random_int8_model(rng, random_network(rng), asymmetric_weights=seed % 4 == 3)
