"""Training in PyTorch: from labelled pictures and a Network to a Model."""
