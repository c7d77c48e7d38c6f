"""Transforms requests into tables; each module is one step."""
