"""Readers of foreign bytes that know nothing of networks."""
