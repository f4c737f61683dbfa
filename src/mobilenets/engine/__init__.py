"""The runtime: from pixels, pictures and labelled folders to logits, labels and accuracy."""
