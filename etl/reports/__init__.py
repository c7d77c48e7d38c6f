"""Answers about what was read and written."""
