"""From data and a budget to the best network that meets it."""
