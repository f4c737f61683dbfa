"""The runtime: from pixels, images and labelled folders to logits, labels and metrics."""
