"""Foreign files in and out: one file per format, each a function from a file to a Model or from a Model to a file."""
