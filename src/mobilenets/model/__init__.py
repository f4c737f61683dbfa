"""The Model, its file, its preprocessing, and the slow and obviously right operators."""
