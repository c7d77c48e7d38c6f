"""Cuts bytes into records."""
