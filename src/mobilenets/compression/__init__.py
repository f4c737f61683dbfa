"""From a float32 Model to an int8 one that answers the same: calibration, equalization, rounding, quality report."""
