"""Training in PyTorch: from labelled pictures and a Network to a Model."""

import os

# Threads that wait for each other sleep. OpenMP lets them spin, which gains next to nothing where the cores are
# free and makes training ten times slower where other work wants them too. It is read when torch is first imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
