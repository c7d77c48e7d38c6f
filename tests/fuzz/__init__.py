"""Draws inputs by a seed, and holds what the tool must keep for any bytes: `make fuzz`, `python -m tests.fuzz`."""
