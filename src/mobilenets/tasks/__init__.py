"""Tasks: what the outputs of a network mean. Plain data and NumPy."""
