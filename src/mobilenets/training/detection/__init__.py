"""Training of detectors: which anchors answer for which boxes, what a step minimizes, and from data to a Model."""
