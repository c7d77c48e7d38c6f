"""Answers about inputs and published tables."""
