"""The runtime: from pixels, images and labeled folders to logits, labels and metrics."""
