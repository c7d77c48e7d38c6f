"""Bytes: what the arguments name, where it is stored, how it is compressed."""
