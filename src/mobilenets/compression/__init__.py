"""From a float Model to a smaller one that answers the same: folding, equalisation, calibration, int8, and the gate."""
