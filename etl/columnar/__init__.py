"""Columns from bytes: compiled loops, string buffers, JSON, rows of tables. Nothing here knows what a postback is."""
