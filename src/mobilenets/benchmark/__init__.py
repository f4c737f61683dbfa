"""Networks and runtimes measured side by side."""
