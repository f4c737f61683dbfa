"""Training in PyTorch: from labeled images and a Network to a Model."""

import os

# How long OpenMP's threads wait for each other awake, in turns of a loop: some tens of microseconds, then they sleep.
# Threads that sleep at once make small networks train at the rate of one core; threads that never sleep make training
# ten times slower as soon as other work wants the cores. It is read when torch is first imported.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "20000")
