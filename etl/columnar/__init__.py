"""Bytes as columns: compiled loops, texts as places in a buffer, JSON, rows of cells. Nothing here knows postbacks."""
