"""Keras: networks of Keras 1 to 3, whole saved models and weights alone, read without Keras."""
