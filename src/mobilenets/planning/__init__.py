"""Which size of network meets a budget, with latencies that were measured."""
