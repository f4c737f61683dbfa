"""Predictions for more images than fit in memory, into one file, on this machine or on a cluster."""
