"""One run: inputs are staged, deduplicated, written and published."""
