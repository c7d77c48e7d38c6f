"""Turns the bytes of inputs into requests."""
