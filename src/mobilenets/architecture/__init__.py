"""What a network is and what it costs. Nothing here needs more than the standard library."""
