"""Bytes cut into records."""
