"""The formats, one row each."""
