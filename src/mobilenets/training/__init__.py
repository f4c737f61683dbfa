"""Training in PyTorch: from labeled images and a Network to a Model."""

import os

# How long OpenMP's threads wait for each other awake, in turns of a loop: half a millisecond or less, then they sleep.
# It is read when torch is first imported; thread_waits.py has them sleep at once where other processes want the cores.
_SPIN_COUNT = "20000"
SPIN_COUNT_IS_OURS = (
    "OMP_WAIT_POLICY" not in os.environ and os.environ.setdefault("GOMP_SPINCOUNT", _SPIN_COUNT) == _SPIN_COUNT
)
"""Whether nobody has said otherwise."""
