"""Parses records into requests; each family of formats has one reader."""
