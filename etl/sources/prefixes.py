"""Prefixes that containers and shippers put before a line."""

from __future__ import annotations


def without_prefix(line: bytes) -> bytes:
    """The line itself."""
    return line
