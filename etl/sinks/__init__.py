"""Tables to published files."""
