"""Run by test_sanitizers.py in a Python of its own: Sessions over random networks, with a sanitized extension."""

from __future__ import annotations

import importlib.util
import sys

import numpy as np


def load_extension(path: str) -> None:
    """Put the extension at this path where the engine looks for its own."""
    spec = importlib.util.spec_from_file_location("mobilenets._native", path)
    if spec is None or spec.loader is None:
        raise ImportError(path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    import mobilenets

    sys.modules["mobilenets._native"] = module
    mobilenets._native = module


def main() -> None:
    """Random float32 and int8 Models, on one and on three threads, whole batches and canaries."""
    load_extension(sys.argv[1])
    from tests.support.random_models import random_int8_model, random_model, random_network, random_pixels

    from mobilenets.engine.lowering import lower
    from mobilenets.engine.session import Session, instruction_sets
    from mobilenets.model import reference

    sets = [name for name, supported in instruction_sets().items() if supported]
    for seed in range(40):
        rng = np.random.default_rng(seed)
        network = random_network(rng)
        floats = seed % 2 == 1
        asymmetric = seed % 3 == 0
        model = random_model(rng, network) if floats else random_int8_model(rng, network, asymmetric_weights=asymmetric)
        pixels = random_pixels(rng, network, 3)
        expected = reference.run_reference(model, pixels)
        for threads in (1, 3):
            for name, value in Session(model, threads).outputs(pixels).items():
                tolerance = 1e-5 * np.abs(expected[name]).max() if floats else 0
                assert np.abs(value - expected[name]).max() <= tolerance, (seed, threads, name)
        for isa in sets:
            runner = lower(model, instruction_set=isa, threads=2, processors=2, guarded=True)
            results = [np.empty((1, *value.shape[1:]), np.float32) for value in expected.values()]
            assert runner.run_poisoned(pixels[:1], results, 0xC5), (seed, isa)


if __name__ == "__main__":
    main()
