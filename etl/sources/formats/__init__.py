"""Lists the formats, one row each."""
