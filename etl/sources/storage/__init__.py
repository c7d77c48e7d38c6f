"""Finds inputs, opens them where they are stored, and decompresses them."""
