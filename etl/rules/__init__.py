"""The endpoint's reference page as tables, the ruleset built from the tables, and parsers of names and values."""
